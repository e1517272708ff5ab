import CLibSSL
import Foundation

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

    /// As ``reason()``, of a file that was read, in words for who wrote it.
    static func reasonOfFile() -> String {
        switch Self.reason() {
        case "no start line", "no certificate or crl found": "it has no certificate in PEM"
        case "unsupported": "it has no private key in PEM"
        case "key values mismatch", "key type mismatch", "no certificate assigned":
            "it is not the key of the certificate"
        case "problems getting password", "bad password read", "interrupted or cancelled", "bad decrypt":
            "it has a passphrase, and nobody to ask for it; write the key without one"
        case let reason: reason
        }
    }

    /// What OpenSSL says of the last call that failed on this thread, in its words. The queue is empty behind it.
    static func reason() -> String {
        // The first one names what went wrong, those behind it what was tried.
        let code = ERR_peek_error()
        ERR_clear_error()
        guard code != 0 else { return "it gives no reason" }
        let number = tidemark_ssl_system_error(code)
        guard number == 0 else { return String(cString: strerror(number)).lowercased() }
        guard let text = ERR_reason_error_string(code) else { return "error \(code)" }
        return String(cString: text)
    }
}
