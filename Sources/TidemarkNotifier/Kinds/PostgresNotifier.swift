package import LibPQ

/// Sends each delivery as a `NOTIFY` to a channel: the body where it fits, else `{"id":…}` alone, by which a listener
/// finds the delivery in `tidemark.deliveries` and the row by its key.
///
/// Only current listeners get a notification, and the server does not report them: delivered means that the server has
/// accepted it. Other listeners query the table.
package actor PostgresNotifier: Notifier {
    /// PostgreSQL accepts payloads under 8,000 bytes.
    static let payloadBytesMax = 7999

    private let options: ConnectionOptions
    private let channel: String
    private var connection: Connection?

    package init(channel: String, options: ConnectionOptions) {
        self.channel = channel
        self.options = options
    }

    public nonisolated var attemptTimeout: Duration { self.options.connectTimeout + .seconds(20) }

    public func deliver(_ delivery: Delivery) async -> DeliveryResult {
        let fits = delivery.body.count <= Self.payloadBytesMax
        let payload = fits ? String(decoding: delivery.body, as: UTF8.self) : #"{"id":"\#(delivery.id)"}"#
        do throws(PostgresError) {
            let connection = try await self.connected()
            _ = try await connection.query(
                "select pg_notify($1::text, $2::text)",
                [.text(self.channel), .text(payload)]
            )
            return .delivered
        } catch {
            if error.isConnectionLoss || error.isRetriable {
                if let connection, await connection.isBroken { await self.shutdown() }
                return .retry(reason: "the database is not available (\(Self.name(of: error)))")
            }
            return .dead(reason: "the database refuses the notification (\(Self.name(of: error)))")
        }
    }

    public func shutdown() async {
        await self.connection?.close()
        self.connection = nil
    }

    /// Our own text, because the server's may repeat the payload.
    private static func name(of error: PostgresError) -> String {
        error.sqlState.map { "SQLSTATE \($0)" } ?? "\(error.code)"
    }

    private func connected() async throws(PostgresError) -> Connection {
        if let connection { return connection }
        let connection = try await Connection.connect(self.options)
        try await connection.execute("set statement_timeout = '15s'")
        // A concurrent attempt may have connected.
        if let earlier = self.connection {
            await connection.close()
            return earlier
        }
        self.connection = connection
        return connection
    }
}
