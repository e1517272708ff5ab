internal import CCurl
internal import Foundation

/// A POST to one address, and its answer.
struct HTTPPost: Sendable {
    var url: String
    /// What is connected to, whatever the URL's host stands for; the host is what the certificate is checked for.
    var address: IPAddress
    var headers: [(name: String, value: String)]
    var body: [UInt8]
    var connectTimeout: Duration
    /// Until the head of the answer.
    var timeout: Duration
    /// What is said where that passes: an attempt may have spent a part of it on other addresses.
    var configuredTimeout: Duration
    /// Behind the head, for the body of the answer.
    var bodyTimeout: Duration
    /// More of the answer's body is not read.
    var bodyBytesMax: Int
    /// PEM certificates that are trusted beside the system's.
    var authorities: [UInt8]?
}

struct HTTPPostAnswer: Sendable {
    var status: Int
    var retryAfter: String?
    /// The beginning of its body, as it came.
    var beginning: [UInt8]
}

/// A post under way. Once it is submitted, only the thread of ``HTTPTransfers`` uses it.
final class HTTPTransfer: @unchecked Sendable {
    typealias Outcome = Result<HTTPPostAnswer, WebhookFailure>

    let handle: UnsafeMutableRawPointer
    private var headers: UnsafeMutablePointer<curl_slist>?
    private var connectTo: UnsafeMutablePointer<curl_slist>?
    private let body: UnsafeMutableBufferPointer<UInt8>
    private let post: HTTPPost
    private let end: @Sendable (Outcome) -> Void
    private var status = 0
    private var hasHead = false
    private var headBytes = 0
    private var bodyBytes = 0
    private var retryAfter: String?
    private let excerpt: ExcerptBuffer
    private(set) var deadline: ContinuousClock.Instant

    /// A receiver that sends more of them is none.
    private static let headBytesMax = 64 << 10
    private static let idleTime = 30

    /// - Parameter end: called once, with the outcome.
    init(_ post: HTTPPost, end: @escaping @Sendable (Outcome) -> Void) {
        guard let handle = curl_easy_init() else { preconditionFailure("libcurl has no memory for a handle") }
        self.handle = handle
        self.post = post
        self.end = end
        self.deadline = .now + post.timeout
        // More than is shown: what is shown is taken out of it once credentials are gone.
        self.excerpt = ExcerptBuffer(bytesMax: post.bodyBytesMax)
        self.body = .allocate(capacity: post.body.count)
        _ = self.body.initialize(from: post.body)
        for (name, value) in post.headers { self.headers = curl_slist_append(self.headers, "\(name): \(value)") }
        // libcurl's own: a receiver that does not know the first makes each attempt a second longer.
        for name in ["Expect", "Accept"] { self.headers = curl_slist_append(self.headers, "\(name):") }
        self.setRequest()
        self.setConnection()
    }

    deinit {
        curl_easy_cleanup(self.handle)
        curl_slist_free_all(self.headers)
        curl_slist_free_all(self.connectTo)
        self.body.deallocate()
    }

    private func set(_ option: CURLoption, _ value: Int) { _ = tidemark_curl_set_long(self.handle, option, value) }
    private func set(_ option: CURLoption, _ value: String) { _ = tidemark_curl_set_text(self.handle, option, value) }

    private func setRequest() {
        self.set(CURLOPT_URL, self.post.url)
        self.set(CURLOPT_POST, 1)
        _ = tidemark_curl_set_pointer(self.handle, CURLOPT_POSTFIELDS, self.body.baseAddress)
        _ = tidemark_curl_set_size(self.handle, CURLOPT_POSTFIELDSIZE_LARGE, Int(self.body.count))
        _ = tidemark_curl_set_pointer(self.handle, CURLOPT_HTTPHEADER, self.headers)
        let transfer = Unmanaged.passUnretained(self).toOpaque()
        _ = tidemark_curl_set_pointer(self.handle, CURLOPT_HEADERDATA, transfer)
        _ = tidemark_curl_set_pointer(self.handle, CURLOPT_WRITEDATA, transfer)
        _ = tidemark_curl_set_sink(self.handle, CURLOPT_HEADERFUNCTION) { bytes, size, count, transfer in
            HTTPTransfer.of(transfer).takeHeader(bytes, size * count)
        }
        _ = tidemark_curl_set_sink(self.handle, CURLOPT_WRITEFUNCTION) { bytes, size, count, transfer in
            HTTPTransfer.of(transfer).takeBody(bytes, size * count)
        }
    }

    private func setConnection() {
        // Signals are the program's own.
        self.set(CURLOPT_NOSIGNAL, 1)
        // No redirects, no proxy of the environment, no other protocol: only what was checked is connected to.
        self.set(CURLOPT_FOLLOWLOCATION, 0)
        self.set(CURLOPT_PROXY, "")
        self.set(CURLOPT_PROTOCOLS_STR, "http,https")
        let address = self.post.address.description
        self.connectTo = curl_slist_append(nil, "::\(address.contains(":") ? "[\(address)]" : address):")
        _ = tidemark_curl_set_pointer(self.handle, CURLOPT_CONNECT_TO, self.connectTo)
        // One request at a time on a connection, so that a reset ends only one.
        self.set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        self.set(CURLOPT_MAXAGE_CONN, Self.idleTime)
        self.set(CURLOPT_CONNECTTIMEOUT_MS, self.post.connectTimeout.wholeMilliseconds)
        if let authorities = self.post.authorities {
            _ = tidemark_curl_set_blob(self.handle, CURLOPT_CAINFO_BLOB, authorities, authorities.count)
        }
    }

    private static func of(_ transfer: UnsafeMutableRawPointer?) -> HTTPTransfer {
        guard let transfer else { preconditionFailure("libcurl gives back what it was given") }
        return Unmanaged<HTTPTransfer>.fromOpaque(transfer).takeUnretainedValue()
    }

    // MARK: The answer

    /// - Returns: how many bytes were taken; another number ends the transfer.
    private func takeHeader(_ bytes: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
        guard let bytes else { return 0 }
        self.headBytes += count
        guard self.headBytes <= Self.headBytesMax else { return 0 }
        // Those behind the body are of no use.
        guard !self.hasHead else { return count }
        let line = String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        if line.hasPrefix("HTTP/") {
            self.status = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
            self.retryAfter = nil
        } else if line.isEmpty {
            // Behind an informational answer the real one comes. A number that HTTP does not have is none.
            guard self.status >= 200 else { return self.status >= 100 ? count : 0 }
            self.hasHead = true
            self.deadline = .now + self.post.bodyTimeout
        } else if let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == "retry-after" {
            self.retryAfter = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        return count
    }

    private func takeBody(_ bytes: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
        guard let bytes, self.hasHead else { return 0 }
        self.excerpt.append(UnsafeRawBufferPointer(start: bytes, count: count))
        self.bodyBytes += count
        return self.bodyBytes <= self.post.bodyBytesMax ? count : 0
    }

    /// The transfer has ended, or is given up. The head decides: what comes behind it does not change the result.
    /// - Parameter code: libcurl's; `nil` once the deadline has passed.
    func finish(_ code: CURLcode?) {
        guard self.hasHead else {
            return self.end(.failure(WebhookFailure(code, of: self.handle, timeout: self.post.configuredTimeout)))
        }
        self.end(
            .success(HTTPPostAnswer(status: self.status, retryAfter: self.retryAfter, beginning: self.excerpt.bytes))
        )
    }
}

extension Duration {
    /// At least one; years are not needed.
    fileprivate var wholeMilliseconds: Int { Int(min(max(self / .milliseconds(1), 1), 1e9)) }
}
