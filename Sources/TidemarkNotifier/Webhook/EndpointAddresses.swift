internal import Synchronization

/// The addresses of an endpoint that may be connected to. Each post connects to one of them and to nothing else, so the
/// checked address is the one that is used, and DNS rebinding has no effect.
final class EndpointAddresses: Sendable {
    /// The most addresses, which one attempt tries in turn until one accepts a connection.
    static let most = 4

    private let allowPrivate: Bool
    private let addresses: HostAddresses
    /// The address that answered last.
    private let preferred = Mutex<IPAddress?>(nil)

    init(target: WebhookTarget, settings: WebhookSettings, lookUp: @escaping HostLookUp) {
        self.allowPrivate = settings.allowPrivate
        self.addresses = HostAddresses(host: target.host, lifetime: settings.addressLifetime, lookUp: lookUp)
    }

    /// The host's addresses, the one that answered last first. All must be allowed: a name with a private address among
    /// public ones is refused.
    func get(within timeout: Duration) async throws(ResolutionError) -> [IPAddress] {
        let found = try await self.addresses.get(within: timeout)
        if !self.allowPrivate, !found.allSatisfy(\.isPublic) {
            self.addresses.forget()
            throw ResolutionError("the name stands for a loopback, private or link-local address (allow_private: true)")
        }
        let preferred = self.preferred.withLock { $0 }
        guard let preferred, found.contains(preferred) else { return Array(found.prefix(Self.most)) }
        return [preferred] + found.filter { $0 != preferred }.prefix(Self.most - 1)
    }

    func answered(_ address: IPAddress) {
        self.preferred.withLock { $0 = address }
    }

    /// Forgets an address that did not answer, since the name may have moved.
    func failed(_ address: IPAddress) {
        self.addresses.forget()
        self.preferred.withLock { preferred in
            if preferred == address { preferred = nil }
        }
    }
}
