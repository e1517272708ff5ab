import LibPQ
import Logging
import TidemarkNotifier
import TidemarkStore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `notifier-benchmark`: how long it is from a row's commit to the request, and how many go out in a second, into the
/// database that `DATABASE_URL` names. With `DELIVERED=10000000` so many delivered rows are put there first.
@main
enum Main {
    private static let probes = 2000
    private static let deliveries = 60_000
    private static let hostileDeliveries = 10_000
    private static let hostileProbes = 400

    static func main() async throws {
        let environment = ProcessInfo.processInfo.environment
        let options = ConnectionOptions(environment["DATABASE_URL"] ?? "", applicationName: "notifier-benchmark")
        let connection = try await Connection.connect(options)
        _ = try await Migrator.migrate(connection)
        let receiver = try await CountingReceiver()
        if let delivered = environment["DELIVERED"].flatMap({ Int($0) }) {
            try await Self.fill(connection, delivered, status: "delivered")
            try await connection.execute("vacuum analyze tidemark_internal.deliveries")
            print("behind \(delivered) delivered rows:")
        }
        try await Self.measureLatency(connection, options, receiver)
        try await Self.measureThroughput(connection, options, receiver)
        try await Self.measureBesideHostile(connection, options, receiver)
        await connection.close()
    }

    private static func relay(_ options: ConnectionOptions, _ receiver: CountingReceiver) throws -> DeliveryRelay {
        var settings = WebhookSettings(url: "http://127.0.0.1:\(receiver.port)/", secrets: ["whsec_c2VjcmV0"])
        settings.allowPrivate = true
        return DeliveryRelay(
            queue: DeliveryQueue(options: options),
            notifiers: ["warehouse": RelayedNotifier(try WebhookNotifier(settings))],
            settings: RelaySettings(projections: ["orders"]),
            logger: Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    private static func fill(
        _ connection: Connection,
        _ count: Int,
        status: String,
        notifier: String = "warehouse"
    ) async throws {
        _ = try await connection.query(
            """
            insert into tidemark_internal.deliveries
                (id, projection, key, milestone, notifier, status, next_attempt_at, delivered_at, body)
            select gen_random_uuid(), 'orders', jsonb_build_array(i), 'shipped', $3::text, $2::text,
                case when $2::text = 'due' then now() end, case when $2::text = 'delivered' then now() end,
                jsonb_build_object('type', 'orders.shipped', 'data', jsonb_build_object('key', jsonb_build_array(i),
                    'row', jsonb_build_object('id', i, 'status', 'shipped', 'amount', 12.5, 'city', 'a city')))::text
            from generate_series(1, $1::bigint) as i
            """,
            [.int64(Int64(count)), .text(status), .text(notifier)]
        )
        // As who commits a batch does.
        _ = try await connection.query("select pg_notify('tidemark_deliveries', '')")
    }

    /// One at a time, on a system that does nothing else. The relay hears of each as one in another process would: by
    /// the notification at commit.
    private static func measureLatency(
        _ connection: Connection,
        _ options: ConnectionOptions,
        _ receiver: CountingReceiver
    ) async throws {
        let relay = try Self.relay(options, receiver)
        let running = Task { try await relay.run() }
        let latencies = try await Self.latencies(connection, receiver, Self.probes, notifier: "warehouse")
        relay.stop()
        try await running.value
        print("commit to request, idle: \(latencies)")
    }

    private static func latencies(
        _ connection: Connection,
        _ receiver: CountingReceiver,
        _ count: Int,
        notifier: String
    ) async throws -> String {
        var latencies: [Duration] = []
        for _ in 0..<count {
            let next = receiver.count + 1
            try await Self.fill(connection, 1, status: "due", notifier: notifier)
            let committed = ContinuousClock.now
            let arrived = await receiver.arrival(of: next)
            latencies.append(committed.duration(to: arrived))
            // The answer's way into the database is not part of the next one's time.
            try await Task.sleep(for: .milliseconds(5))
        }
        latencies.sort()
        func milliseconds(_ share: Double) -> String {
            let value = latencies[Int(Double(latencies.count - 1) * share)] / .milliseconds(1)
            return String((value * 100).rounded() / 100)
        }
        return "median \(milliseconds(0.5)) ms, 99th percentile \(milliseconds(0.99)) ms (\(count) deliveries)"
    }

    /// One receiver's latency while the same relay has a backlog for a hostile one. On a small machine it has less of
    /// the processors then, like anybody else.
    private static func measureBesideHostile(
        _ connection: Connection,
        _ options: ConnectionOptions,
        _ receiver: CountingReceiver
    ) async throws {
        let hostile = try await CountingReceiver(isHostile: true)
        func webhook(_ receiver: CountingReceiver, timeout: Duration) throws -> WebhookNotifier {
            var settings = WebhookSettings(url: "http://127.0.0.1:\(receiver.port)/", secrets: ["whsec_c2VjcmV0"])
            settings.allowPrivate = true
            settings.timeout = timeout
            return try WebhookNotifier(settings)
        }
        let schedule = RetrySchedule(delays: [.zero, .milliseconds(5)], attemptsMax: 1000)
        let relay = DeliveryRelay(
            queue: DeliveryQueue(options: options),
            notifiers: [
                "warehouse": RelayedNotifier(try webhook(hostile, timeout: .milliseconds(200)), schedule: schedule),
                "crm": RelayedNotifier(try webhook(receiver, timeout: .seconds(15))),
            ],
            settings: RelaySettings(projections: ["orders"]),
            logger: Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
        )
        let running = Task { try await relay.run() }
        let alone = try await Self.latencies(connection, receiver, Self.hostileProbes, notifier: "crm")
        try await Self.fill(connection, Self.hostileDeliveries, status: "due")
        let beside = try await Self.latencies(connection, receiver, Self.hostileProbes, notifier: "crm")
        let left = try await connection.query(
            "select count(*) from tidemark_internal.deliveries where notifier = 'warehouse' and status = 'due'"
        )
        relay.stop()
        try await running.value
        print("another receiver, alone: \(alone)")
        print(
            "another receiver, beside a hostile one with a backlog of \(Self.hostileDeliveries) "
                + "(\(hostile.count) requests, \(try left.int64(0, 0) ?? 0) left): \(beside)"
        )
    }

    private static func measureThroughput(
        _ connection: Connection,
        _ options: ConnectionOptions,
        _ receiver: CountingReceiver
    ) async throws {
        try await Self.fill(connection, Self.deliveries, status: "due")
        let relay = try Self.relay(options, receiver)
        let last = receiver.count + Self.deliveries
        let start = ContinuousClock.now
        let running = Task { try await relay.run() }
        let took = start.duration(to: await receiver.arrival(of: last))
        relay.stop()
        try await running.value
        print("throughput to a fast receiver: \(Int(Double(Self.deliveries) / (took / .seconds(1)))) deliveries/s")
    }
}
