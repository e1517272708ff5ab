internal import CCurl
internal import PlatformC

/// Why an attempt has no answer. Never in words of libcurl or the receiver: those may hold the URL, or what was sent.
struct WebhookFailure: Error, Sendable {
    var text: String
    /// Nothing was sent, because no connection was accepted.
    var isBeforeRequest = false

    init(_ text: String) { self.text = text }

    static func noAnswer(within timeout: Duration) -> WebhookFailure { .init("no answer within \(timeout)") }

    /// - Parameter code: libcurl's; `nil` for a deadline that passed.
    init(_ code: CURLcode?, of handle: UnsafeMutableRawPointer, timeout: Duration) {
        switch code {
        case nil, CURLE_OPERATION_TIMEDOUT?:
            self.init(late: handle, timeout: timeout)
        case CURLE_COULDNT_CONNECT?:
            let number = Int32(tidemark_curl_get_long(handle, CURLINFO_OS_ERRNO))
            let reason = number == 0 ? nil : strerror(number).map { String(cString: $0) }
            self.init(reason.map(Self.plain) ?? "the connection failed")
            self.isBeforeRequest = true
        case CURLE_PEER_FAILED_VERIFICATION?, CURLE_SSL_CACERT_BADFILE?, CURLE_SSL_ISSUER_ERROR?:
            self.init("the receiver's certificate is not valid for this host, or not trusted")
        case CURLE_SSL_CONNECT_ERROR?:
            self.init("the TLS handshake failed")
        case CURLE_GOT_NOTHING?, CURLE_RECV_ERROR?, CURLE_SEND_ERROR?, CURLE_PARTIAL_FILE?:
            self.init("the connection was closed before an answer")
        case CURLE_OK?, CURLE_UNSUPPORTED_PROTOCOL?, CURLE_WEIRD_SERVER_REPLY?, CURLE_WRITE_ERROR?,
            CURLE_BAD_CONTENT_ENCODING?:
            self.init("the answer is not HTTP")
        // libcurl says so of headers that are longer than it takes.
        case CURLE_OUT_OF_MEMORY?:
            self.init("the answer has more than 300 KiB of headers, or memory is short")
        case let code?:
            self.init("the request failed (\(Self.plain(String(cString: curl_easy_strerror(code)))))")
        }
    }

    private init(late handle: UnsafeMutableRawPointer, timeout: Duration) {
        // Both are 0 on a connection that is used again, which is known by the request being sent.
        let isSent = tidemark_curl_get_time(handle, CURLINFO_PRETRANSFER_TIME_T) > 0
        if isSent {
            self.init("no answer within \(timeout)")
        } else if tidemark_curl_get_time(handle, CURLINFO_CONNECT_TIME_T) == 0 {
            self.init("no connection in time")
        } else {
            self.init("no TLS handshake in time")
        }
        self.isBeforeRequest = !isSent
    }

    private static func plain(_ text: String) -> String {
        text.prefix(1).lowercased() + text.dropFirst()
    }
}
