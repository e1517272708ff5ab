import LibPQ
import Synchronization

/// Connections that are given up together when the server does not answer.
final class ConnectionSet: Sendable {
    private let connections = Mutex<[ObjectIdentifier: Connection]>([:])

    func insert(_ connection: Connection) {
        self.connections.withLock { $0[ObjectIdentifier(connection)] = connection }
    }

    func remove(_ connection: Connection) {
        _ = self.connections.withLock { $0.removeValue(forKey: ObjectIdentifier(connection)) }
    }

    func with(_ connection: Connection, _ body: () async throws -> Void) async throws {
        self.insert(connection)
        defer { self.remove(connection) }
        try await body()
    }

    func abandon() {
        for connection in self.connections.withLock({ Array($0.values) }) { connection.abandon() }
    }
}
