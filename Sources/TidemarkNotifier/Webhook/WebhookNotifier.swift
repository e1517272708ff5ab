internal import CLibCrypto
internal import Foundation

/// Posts deliveries to a URL, as Standard Webhooks 1.0 says.
///
/// `http` is allowed: the signature protects the content from changes, but not from being read. Over `https` the
/// receiver's certificate is verified for the host's name. Loopback, private and link-local addresses are refused
/// unless ``WebhookSettings/allowPrivate``: the host's addresses are checked, and only checked ones are connected to
/// (``EndpointAddresses``).
///
/// The beginning of an answer's body is kept, without parts of the URL and the secrets.
package final class WebhookNotifier: Notifier {
    private let settings: WebhookSettings
    private let target: WebhookTarget
    private let signer: WebhookSigner
    private let addresses: EndpointAddresses
    private let redaction: Redaction
    private let now: @Sendable () -> Int64

    /// - Parameters:
    ///   - lookUp: finds the addresses of a host.
    ///   - now: seconds since 1970.
    /// - Throws: `.invalidURL`, `.invalidSecret`, `.invalidAuthority`.
    package init(
        _ settings: WebhookSettings,
        lookUp: @escaping HostLookUp = HostResolver.system,
        now: @escaping @Sendable () -> Int64 = WebhookNotifier.wallClock
    ) throws(NotifierError) {
        self.settings = settings
        self.target = try WebhookTarget(settings.url)
        self.signer = try WebhookSigner(secrets: settings.secrets)
        if let authorities = settings.authorities, !Self.holdsCertificate(authorities) {
            throw NotifierError(code: .invalidAuthority, message: "there is no PEM certificate in the file of the CA")
        }
        self.addresses = EndpointAddresses(target: self.target, settings: settings, lookUp: lookUp)
        self.redaction = Redaction(url: settings.url, secrets: settings.secrets)
        self.now = now
    }

    @Sendable
    package static func wallClock() -> Int64 {
        Int64(Date().timeIntervalSince1970)
    }

    public var attemptTimeout: Duration { self.settings.timeout + self.settings.responseBodyTimeout }

    public func deliver(_ delivery: Delivery) async -> DeliveryResult {
        let deadline = ContinuousClock.now + self.settings.timeout
        let addresses: [IPAddress]
        do {
            addresses = try await self.addresses.get(within: self.settings.timeout)
        } catch {
            return self.retry("the host was not looked up: \(error.message)")
        }
        let headers = self.headers(of: delivery)
        var failure = WebhookFailure.noAnswer(within: self.settings.timeout)
        for address in addresses {
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { break }
            do {
                let answer = try await HTTPTransfers.shared.send(
                    self.post(delivery.body, headers, to: address, within: left)
                )
                self.addresses.answered(address)
                return self.result(answer).answered(
                    status: answer.status,
                    excerpt: LogSafeText.excerpt(self.redaction.redacted(answer.beginning))
                )
            } catch {
                failure = error
                guard error.isBeforeRequest else { break }
                self.addresses.failed(address)
            }
        }
        return self.retry(failure.text)
    }

    private func headers(of delivery: Delivery) -> [(name: String, value: String)] {
        let timestamp = self.now()
        let signature = self.signer.signature(id: delivery.id, timestamp: timestamp, body: delivery.body)
        return [
            ("content-type", "application/json"), ("user-agent", self.settings.userAgent), ("webhook-id", delivery.id),
            ("webhook-timestamp", String(timestamp)), ("webhook-signature", signature),
        ]
    }

    private func post(
        _ body: [UInt8],
        _ headers: [(name: String, value: String)],
        to address: IPAddress,
        within timeout: Duration
    ) -> HTTPPost {
        HTTPPost(
            url: self.target.url,
            address: address,
            headers: headers,
            body: body,
            connectTimeout: min(self.settings.connectTimeout, timeout),
            timeout: timeout,
            configuredTimeout: self.settings.timeout,
            bodyTimeout: self.settings.responseBodyTimeout,
            bodyBytesMax: self.settings.responseBytesMax,
            authorities: self.settings.authorities
        )
    }

    private func result(_ answer: HTTPPostAnswer) -> DeliveryResult {
        let status = answer.status
        let reason = "\(self.target.name): status \(status)"
        switch status {
        case 200..<300:
            return .delivered
        case 300..<400:
            return .dead(reason: reason + ", a redirect, which is not followed")
        case 410:
            return .gone(reason: reason + ", the endpoint is gone")
        case 408, 425, 429, 500...:
            let wish = status == 429 || status == 503 ? answer.retryAfter : nil
            return .retry(after: wish.flatMap { RetryAfter.parse($0, now: self.now()) }, reason: reason)
        default:
            return .dead(reason: reason)
        }
    }

    private func retry(_ reason: String) -> DeliveryResult {
        .retry(after: nil, reason: "\(self.target.name): \(reason)")
    }

    /// Whether there is a certificate in a text. What libcurl cannot use it would report at each connection only.
    private static func holdsCertificate(_ pem: [UInt8]) -> Bool {
        pem.withUnsafeBytes { bytes in
            guard let memory = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count)) else { return false }
            defer { BIO_free(memory) }
            let certificate = PEM_read_bio_X509(memory, nil, nil, nil)
            X509_free(certificate)
            ERR_clear_error()
            return certificate != nil
        }
    }
}
