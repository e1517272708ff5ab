internal import AsyncHTTPClient
internal import NIOCore
internal import PlatformC

/// What an attempt without an answer is called. Never the error's own words: they may hold what the receiver sent, or
/// the URL.
enum WebhookFailure {
    /// Nothing was sent, because no connection was accepted.
    static func isBeforeRequest(_ error: any Error) -> Bool {
        switch error {
        case let error as HTTPClientError:
            error == .connectTimeout || error == .tlsHandshakeTimeout || error == .getConnectionFromPoolTimeout
        case let error as IOError:
            [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, EHOSTDOWN, ENETDOWN].contains(error.errnoCode)
        default:
            error is ChannelError
        }
    }

    static func text(_ error: any Error, timeout: Duration) -> String {
        switch error {
        case let error as HTTPClientError:
            switch error {
            case .connectTimeout, .getConnectionFromPoolTimeout: "no connection in time"
            case .tlsHandshakeTimeout: "no TLS handshake in time"
            case .deadlineExceeded, .readTimeout, .writeTimeout: "no answer within \(timeout)"
            case .remoteConnectionClosed, .uncleanShutdown: "the connection was closed before an answer"
            default: "the request failed (\(Self.plain(error.shortDescription)))"
            }
        case let error as IOError:
            Self.plain(strerror(error.errnoCode).map { String(cString: $0) } ?? "errno \(error.errnoCode)")
        case let error as ChannelError:
            if case .connectTimeout = error { "no connection in time" } else { "the connection failed" }
        default:
            Self.text(of: String(reflecting: type(of: error)), error)
        }
    }

    /// Errors of modules that are not imported here, by their types' names.
    private static func text(of type: String, _ error: any Error) -> String {
        if type.hasPrefix("NIOSSL.") {
            let isCertificate = ["CERTIFICATE", "Certificate", "Hostname"].contains { "\(type) \(error)".contains($0) }
            return isCertificate
                ? "the receiver's certificate is not valid for this host, or not trusted" : "the TLS handshake failed"
        }
        if type.contains("HTTPParserError") { return "the answer is not HTTP" }
        return "the request failed (\(Self.plain(type)))"
    }

    private static func plain(_ text: String) -> String {
        let first = text.prefix(1).lowercased()
        return first + text.dropFirst()
    }
}

extension TimeAmount {
    /// Microseconds will do, and years are not needed.
    init(_ duration: Duration) {
        self = .microseconds(Int64(min(max(duration / .microseconds(1), 1), 1e15)))
    }
}
