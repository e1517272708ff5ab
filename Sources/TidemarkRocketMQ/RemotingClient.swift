import Foundation
import RocketMQCodec
import TidemarkCore
import TidemarkTLS

/// Connections to name servers and brokers, one for each address. One that is lost is opened again by the next request,
/// after pauses that grow.
actor RemotingClient {
    private enum Entry {
        case opening(Task<RemotingConnection, any Error>)
        case open(RemotingConnection)
        case failed(reason: String, until: ContinuousClock.Instant)
    }

    private let tls: TLSContext?
    private let credentials: RocketMQAccess.Credentials?
    private let onRequest: @Sendable (RemotingCommand) -> Void
    private let onOpen: @Sendable (_ address: String) -> Void
    private var entries: [String: Entry] = [:]
    /// Failures in a row, until the peer answers a request: one that closes each connection at once is waited for too.
    private var attempts: [String: Int] = [:]
    private var isClosed = false

    /// - Parameters:
    ///   - onRequest: gets what brokers ask.
    ///   - onOpen: called with each address that a connection was opened to.
    /// - Throws: ``BrokerError`` for files of TLS that cannot be used.
    init(
        _ access: RocketMQAccess,
        onRequest: @escaping @Sendable (RemotingCommand) -> Void = { _ in },
        onOpen: @escaping @Sendable (_ address: String) -> Void = { _ in }
    ) throws(BrokerError) {
        self.tls = try access.tls.map { tls throws(BrokerError) in try Self.context(tls) }
        self.credentials = access.credentials
        self.onRequest = onRequest
        self.onOpen = onOpen
    }

    /// - Throws: ``BrokerError`` that names the file.
    static func context(_ tls: RocketMQAccess.TLS) throws(BrokerError) -> TLSContext {
        do {
            var identity: (certificate: String, key: String)?
            if let certificate = tls.certificate, let key = tls.key { identity = (certificate, key) }
            return try .client(authorities: tls.authorities, identity: identity, verifies: tls.verifies)
        } catch {
            throw BrokerError(
                .operatorNeeded,
                "TLS cannot be set up: \(error)",
                remedy: "correct tls: { ca_file: …, certificate: …, key: … }; all are in PEM"
            )
        }
    }

    /// - Parameter broker: its name, which a proxy asks for; `nil` for a name server.
    /// - Throws: ``RemotingFailure``; `CancellationError`; ``RocketMQDataError`` for a request that is too long.
    func request(
        _ command: RemotingCommand,
        at address: String,
        broker: String?,
        timeout: Duration
    ) async throws -> RemotingCommand {
        try await self.request([command], at: address, broker: broker, timeout: timeout)[0]
    }

    /// As ``request(_:at:broker:timeout:)``, with several requests that are sent at once. Their answers have their order.
    func request(
        _ commands: [RemotingCommand],
        at address: String,
        broker: String?,
        timeout: Duration
    ) async throws -> [RemotingCommand] {
        let connection = try await self.connection(to: address)
        return try await connection.request(commands.map { self.completed($0, broker) }, timeout: timeout)
    }

    /// Sends a request that is not answered, where a connection is open.
    /// - Returns: whether it is on its way.
    @discardableResult
    func tell(_ command: RemotingCommand, at address: String, broker: String) -> Bool {
        guard case .open(let connection)? = self.entries[address], connection.isActive else { return false }
        var command = self.completed(command, broker)
        command.flag = 2
        return (try? connection.send(command)) != nil
    }

    private func completed(_ command: RemotingCommand, _ broker: String?) -> RemotingCommand {
        var command = command
        if let broker, command.code != RequestCode.sendShort, command.code != RequestCode.sendBatch {
            command.fields.append(.init("bname", broker))
        }
        if broker != nil, let credentials {
            AccessSignature.sign(
                &command,
                accessKey: credentials.accessKey,
                secretKey: credentials.secretKey,
                token: credentials.securityToken
            )
        }
        return command
    }

    /// The pause behind so many failures in a row.
    static func pause(after attempts: Int) -> Duration {
        let most = min(10_000, 100 << min(attempts, 8))
        return .milliseconds(Int.random(in: (most / 2)...most))
    }

    private func connection(to address: String) async throws -> RemotingConnection {
        guard !self.isClosed else { throw CancellationError() }
        switch self.entries[address] {
        case .open(let connection) where connection.isActive: return connection
        case .opening(let task): return try await task.valueUnlessCancelled
        case .failed(let reason, let until) where until > .now:
            throw RemotingFailure.unreachable(address: address, reason: reason)
        case .failed, .open, nil: break
        }
        let (tls, onRequest) = (self.tls, self.onRequest)
        let task = Task {
            do throws(RemotingFailure) {
                let connection = try await RemotingConnection.open(address, tls: tls, onRequest: onRequest)
                self.opened(connection)
                return connection
            } catch {
                self.failed(address, error)
                throw error
            }
        }
        self.entries[address] = .opening(task)
        return try await task.valueUnlessCancelled
    }

    private func opened(_ connection: RemotingConnection) {
        guard !self.isClosed else { return connection.close() }
        self.entries[connection.address] = .open(connection)
        self.onOpen(connection.address)
    }

    private func failed(_ address: String, _ failure: RemotingFailure) {
        let attempts = (self.attempts[address] ?? 0) + 1
        self.attempts[address] = attempts
        var reason = failure.description
        if case .unreachable(_, let text) = failure { reason = text }
        self.entries[address] = .failed(reason: reason, until: .now + Self.pause(after: attempts))
    }

    /// A peer has answered: the next pause before a connection to it is the shortest again.
    func noteAnswer(of address: String) { self.attempts[address] = nil }

    func close() {
        self.isClosed = true
        for entry in self.entries.values {
            switch entry {
            case .open(let connection): connection.close()
            case .opening(let task): task.cancel()
            case .failed: break
            }
        }
        self.entries = [:]
    }
}
