import CLibSSL

/// What keeps a connection from being encrypted.
package enum TLSError: Error, Equatable, CustomStringConvertible {
    /// A file that cannot be used.
    case file(String, reason: String)
    /// The two ends did not agree.
    case handshake(reason: String)
    /// The other end closed the connection before it had said that nothing more comes, so what came may be cut.
    case cut
    /// What came cannot be decrypted, or the other end sent an alert.
    case broken(reason: String)
    /// OpenSSL is out of memory, or not what it should be.
    case library(reason: String)

    package var description: String {
        switch self {
        case .file(let path, let reason): "\(path): \(reason)"
        case .handshake(let reason): "TLS handshake failed: \(reason)"
        case .cut: "the other end closed the connection without ending its TLS"
        case .broken(let reason): "TLS failed: \(reason)"
        case .library(let reason): "OpenSSL: \(reason)"
        }
    }

    /// What OpenSSL says of the last call that failed on this thread, in its words. The queue is empty behind it.
    static func reason() -> String {
        // The last one names what was tried, those before it what went wrong inside.
        let code = ERR_peek_last_error()
        ERR_clear_error()
        guard code != 0 else { return "it gives no reason" }
        guard let text = ERR_reason_error_string(code) else { return "error \(code)" }
        return String(cString: text)
    }
}
