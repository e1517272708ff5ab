internal import AsyncHTTPClient
internal import NIOCore
internal import NIOSSL
internal import Synchronization

/// The HTTP clients of one endpoint, one for each allowed address of its host.
///
/// Each client connects only to its address, so the checked address is the one that is used, and DNS rebinding has no
/// effect. At most ``addressesMax`` clients take requests; one whose address is no longer the host's is shut down after
/// its last request.
final class EndpointClients: Sendable {
    /// The most addresses, which one attempt tries in turn until one accepts a connection.
    static let addressesMax = 4

    private struct Pooled {
        var client: HTTPClient
        var uses = 0
        var isRetired = false
    }

    private struct State {
        var pooled: [IPAddress: Pooled] = [:]
        /// The address that answered last.
        var preferred: IPAddress?
        var isShutDown = false
    }

    private let target: WebhookTarget
    private let settings: WebhookSettings
    private let addresses: HostAddresses
    /// `nil` trusts the system's CAs.
    private let authorities: [NIOSSLCertificate]?
    private let state = Mutex(State())

    /// - Throws: `.invalidAuthority`.
    init(target: WebhookTarget, settings: WebhookSettings, lookUp: @escaping HostLookUp) throws(NotifierError) {
        self.authorities = try settings.authorities.map(Self.certificates)
        self.target = target
        self.settings = settings
        self.addresses = HostAddresses(host: target.host, lifetime: settings.addressLifetime, lookUp: lookUp)
    }

    /// The host's addresses, the one that answered last first. All must be allowed: a name with a private address among
    /// public ones is refused.
    func addresses(within timeout: Duration) async throws(ResolutionError) -> [IPAddress] {
        let found = try await self.addresses.get(within: timeout)
        if !self.settings.allowPrivate, !found.allSatisfy(\.isPublic) {
            self.addresses.forget()
            throw ResolutionError("the name stands for a loopback, private or link-local address (allow_private: true)")
        }
        let retired = self.state.withLock { state in Self.retire(&state, allBut: found) }
        for client in retired { Self.shutDown(client) }
        let preferred = self.state.withLock { $0.preferred }
        guard let preferred, found.contains(preferred) else { return Array(found.prefix(Self.addressesMax)) }
        return [preferred] + found.filter { $0 != preferred }.prefix(Self.addressesMax - 1)
    }

    /// Calls the body with the client of an address.
    func withClient<R>(of address: IPAddress, _ body: (HTTPClient) async throws -> R) async throws -> R {
        guard let client = self.takeClient(of: address) else { throw CancellationError() }
        defer { self.giveBack(address) }
        return try await body(client)
    }

    func answered(_ address: IPAddress) {
        self.state.withLock { $0.preferred = address }
    }

    /// Forgets an address that did not answer, since the name may have moved.
    func failed(_ address: IPAddress) {
        self.addresses.forget()
        self.state.withLock { state in
            if state.preferred == address { state.preferred = nil }
        }
    }

    /// Shuts the clients down, requests under way included.
    func shutdown() async {
        let clients = self.state.withLock { state in
            state.isShutDown = true
            defer { state.pooled = [:] }
            return state.pooled.values.map(\.client)
        }
        for client in clients { try? await client.shutdown() }
    }

    private func takeClient(of address: IPAddress) -> HTTPClient? {
        self.state.withLock { state in
            guard !state.isShutDown else { return nil }
            var pooled = state.pooled[address] ?? Pooled(client: self.makeClient(address))
            pooled.uses += 1
            pooled.isRetired = false
            state.pooled[address] = pooled
            return pooled.client
        }
    }

    private func giveBack(_ address: IPAddress) {
        let retired = self.state.withLock { state -> HTTPClient? in
            state.pooled[address]?.uses -= 1
            guard let pooled = state.pooled[address], pooled.isRetired, pooled.uses == 0 else { return nil }
            state.pooled[address] = nil
            return pooled.client
        }
        if let retired { Self.shutDown(retired) }
    }

    private static func retire(_ state: inout State, allBut addresses: [IPAddress]) -> [HTTPClient] {
        var idle: [HTTPClient] = []
        for address in state.pooled.keys where !addresses.contains(address) {
            state.pooled[address]?.isRetired = true
            if state.pooled[address]?.uses == 0, let pooled = state.pooled.removeValue(forKey: address) {
                idle.append(pooled.client)
            }
        }
        return idle
    }

    private static func shutDown(_ client: HTTPClient) {
        // It has no requests, so this only closes idle connections, and is not waited for.
        Task { try? await client.shutdown() }
    }

    private static func certificates(_ pem: [UInt8]) throws(NotifierError) -> [NIOSSLCertificate] {
        let certificates = (try? NIOSSLCertificate.fromPEMBytes(pem)) ?? []
        guard !certificates.isEmpty else {
            throw NotifierError(code: .invalidAuthority, message: "there is no PEM certificate in the file of the CA")
        }
        return certificates
    }

    private func makeClient(_ address: IPAddress) -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        if let authorities {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.additionalTrustRoots = [.certificates(authorities)]
            configuration.tlsConfiguration = tls
        }
        configuration.dnsOverride = [self.target.host: address.description]
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = TimeAmount(self.settings.connectTimeout)
        configuration.decompression = .disabled
        // Failed deliveries are retried by a schedule, so a refused connection fails the attempt at once.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.idleTimeout = .seconds(30)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = Self.connectionsMax
        // HTTP/1.1, one request at a time on a connection, so that a reset ends only one request.
        configuration.httpVersion = .http1Only
        return HTTPClient(
            eventLoopGroupProvider: .shared(HTTPClient.defaultEventLoopGroup),
            configuration: configuration
        )
    }

    /// More than the most attempts under way for one endpoint, so that no request waits for a connection.
    private static let connectionsMax = 1024
}
