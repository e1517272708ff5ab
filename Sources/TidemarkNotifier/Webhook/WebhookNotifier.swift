internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1

/// Posts deliveries to a URL, as Standard Webhooks 1.0 says.
///
/// `http` is allowed: the signature protects the content from changes, but not from being read. Over `https` the
/// receiver's certificate is verified for the host's name. Loopback, private and link-local addresses are refused
/// unless ``WebhookSettings/allowPrivate``: the host's addresses are checked, and only checked ones are connected to
/// (``EndpointClients``).
///
/// The beginning of an answer's body is kept, without parts of the URL and the secrets.
package final class WebhookNotifier: Notifier {
    private let settings: WebhookSettings
    private let target: WebhookTarget
    private let signer: WebhookSigner
    private let clients: EndpointClients
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
        self.clients = try EndpointClients(target: self.target, settings: settings, lookUp: lookUp)
        self.redaction = Redaction(url: settings.url, secrets: settings.secrets)
        self.now = now
    }

    @Sendable
    package static func wallClock() -> Int64 {
        Int64(Date().timeIntervalSince1970)
    }

    public var attemptTimeout: Duration { self.settings.timeout + self.settings.responseBodyTimeout }

    public func shutdown() async {
        await self.clients.shutdown()
    }

    public func deliver(_ delivery: Delivery) async -> DeliveryResult {
        let deadline = ContinuousClock.now + self.settings.timeout
        let addresses: [IPAddress]
        do {
            addresses = try await self.clients.addresses(within: self.settings.timeout)
        } catch {
            return self.retry("the host was not looked up: \(error.message)")
        }
        let request = self.request(for: delivery)
        var failure: any Error = HTTPClientError.deadlineExceeded
        for address in addresses {
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { break }
            do {
                return try await self.clients.withClient(of: address) { client in
                    let response = try await client.execute(request, timeout: TimeAmount(left))
                    self.clients.answered(address)
                    let result = self.result(response.status, response.headers)
                    let body = await self.beginning(of: response.body)
                    return result.answered(
                        status: Int(response.status.code),
                        excerpt: body.map(self.redaction.redacted)
                    )
                }
            } catch {
                failure = error
                guard WebhookFailure.isBeforeRequest(error) else { break }
                self.clients.failed(address)
            }
        }
        return self.retry(WebhookFailure.text(failure, timeout: self.settings.timeout))
    }

    private func request(for delivery: Delivery) -> HTTPClientRequest {
        let timestamp = self.now()
        var request = HTTPClientRequest(url: self.target.url)
        request.method = .POST
        request.headers = [
            "content-type": "application/json",
            "user-agent": self.settings.userAgent,
            "webhook-id": delivery.id,
            "webhook-timestamp": String(timestamp),
            "webhook-signature": self.signer.signature(
                id: delivery.id,
                timestamp: timestamp,
                body: delivery.body
            ),
        ]
        request.body = .bytes(delivery.body)
        return request
    }

    private func result(_ status: HTTPResponseStatus, _ headers: HTTPHeaders) -> DeliveryResult {
        let reason = "\(self.target.name): status \(status.code)"
        switch status.code {
        case 200..<300:
            return .delivered
        case 300..<400:
            return .dead(reason: reason + ", a redirect, which is not followed")
        case 410:
            return .gone(reason: reason + ", the endpoint is gone")
        case 408, 425, 429, 500...:
            let isTimed = status.code == 429 || status.code == 503
            let wish = isTimed ? headers.first(name: "retry-after") : nil
            return .retry(after: wish.flatMap { RetryAfter.parse($0, now: self.now()) }, reason: reason)
        default:
            return .dead(reason: reason)
        }
    }

    private func retry(_ reason: String) -> DeliveryResult {
        .retry(after: nil, reason: "\(self.target.name): \(reason)")
    }

    /// Reads an answer's body to its end, so that the connection can be reused. A body that is too long or too slow is
    /// aborted with the connection.
    /// - Returns: the excerpt to keep.
    private func beginning(of body: HTTPClientResponse.Body) async -> String? {
        let (bytesMax, timeout) = (self.settings.responseBytesMax, self.settings.responseBodyTimeout)
        let beginning = ExcerptBuffer()
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                var bytes = 0
                do {
                    for try await chunk in body {
                        bytes += chunk.readableBytes
                        beginning.append(chunk.readableBytesView)
                        guard bytes <= bytesMax else { break }
                    }
                } catch {
                    // The head decided the result.
                }
            }
            group.addTask { try? await Task.sleep(for: timeout) }
            await group.next()
            group.cancelAll()
        }
        return beginning.text
    }
}
