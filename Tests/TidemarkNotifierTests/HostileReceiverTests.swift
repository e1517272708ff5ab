import Foundation
import LibPQ
import Logging
import NIOHTTP1
import Synchronization
import Testing
@testable import TidemarkNotifier
import TidemarkStore
import TidemarkTesting

/// A receiver with every known misbehaviour. Each milestone is delivered at least once, in order per entity, always the
/// same bytes under the same id.
@Suite(.serialized, .timeLimit(.minutes(15)))
struct HostileReceiverTests {
    private static let milestones = ["paid", "packed", "shipped", "delivered"]

    /// 10,000 is the full size: `TIDEMARK_TEST_MILESTONES=10000`.
    private static var count: Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_MILESTONES"].flatMap { Int($0) } ?? 1000
    }

    /// What it took, and how it behaves.
    private final class Mischief: Sendable {
        struct Taken: Hashable {
            var id: String
            var entity: String
            var milestone: String
        }

        private struct State {
            var generator: SeededGenerator
            var taken: [Taken] = []
            var bodies: [String: [UInt8]] = [:]
            var requests = 0
            var hasOtherBytes = false
        }

        private let state: Mutex<State>

        init(_ generator: SeededGenerator) { self.state = Mutex(State(generator: generator)) }

        var taken: [Taken] { self.state.withLock { $0.taken } }
        var requestCount: Int { self.state.withLock { $0.requests } }
        /// An id came with another body than before.
        var hasOtherBytes: Bool { self.state.withLock { $0.hasOtherBytes } }

        @Sendable
        func answer(_ request: Receiver.Request) -> Receiver.Answer {
            let id = request.headers.first(name: "webhook-id") ?? ""
            let body = try? JSONDecoder().decode([String: String].self, from: Data(request.body))
            let taken = Taken(id: id, entity: body?["entity"] ?? "", milestone: body?["milestone"] ?? "")
            return self.state.withLock { state in
                state.requests += 1
                if let known = state.bodies[id], known != request.body { state.hasOtherBytes = true }
                state.bodies[id] = request.body
                let answer = Self.choose(&state.generator)
                if answer.isTaken { state.taken.append(taken) }
                return answer.answer
            }
        }

        private static func choose(_ generator: inout SeededGenerator) -> (answer: Receiver.Answer, isTaken: Bool) {
            // A third of what it says at all is 500.
            if Int.random(in: 0..<3, using: &generator) == 0 { return (.status(500, body: "try again"), false) }
            switch Int.random(in: 0..<100, using: &generator) {
            case 0..<2: return (.silence, false)
            case 2..<4: return (.close, false)
            // It has accepted the delivery, and does not answer.
            case 4..<6: return (.close, true)
            case 6..<8: return (.drip(200, every: .milliseconds(1)), true)
            case 8..<10: return (.drip(200, every: .milliseconds(20)), true)
            case 10..<12: return (.flood(200), true)
            case 12..<13: return (.status(302, ["location": "http://169.254.169.254/"], body: ""), false)
            case 13..<15: return (.bytes("\u{1B}[2J you owe me\r\n\r\n"), false)
            case 15..<16: return (.refuse(for: .milliseconds(30)), false)
            case 16..<18: return (.status(503, ["retry-after": "0"]), false)
            default: return (.status(200), true)
            }
        }
    }

    private static func webhook(_ receiver: Receiver, timeout: Duration) throws -> WebhookNotifier {
        var settings = WebhookSettings(url: "http://127.0.0.1:\(receiver.port)/", secrets: ["whsec_c2VjcmV0"])
        settings.allowPrivate = true
        settings.timeout = timeout
        settings.responseBodyTimeout = .milliseconds(100)
        return try WebhookNotifier(settings)
    }

    private static func fill(_ database: TestDatabase, _ count: Int) async throws {
        _ = try await database.connection.query(
            """
            insert into tidemark_internal.deliveries
                (id, projection, key, milestone, notifier, status, next_attempt_at, body)
            select gen_random_uuid(), 'orders', jsonb_build_array(entity), milestone, 'warehouse', 'due', now(),
                jsonb_build_object('entity', entity::text, 'milestone', milestone)::text
            from generate_series(1, $1::integer) as entity,
                unnest($2::text[]) with ordinality as step(milestone, step_index)
            order by step_index, entity
            """,
            [
                .int32(Int32(count / Self.milestones.count)),
                .text("{\(Self.milestones.joined(separator: ","))}"),
            ]
        )
    }

    @Test func whateverTheReceiverDoesEverythingArrivesInOrder() async throws {
        let mischief = Mischief(SeededGenerator.forTest("hostile receiver"))
        let arrivals = Mutex<[ContinuousClock.Instant]>([])
        try await TestDatabase.with { database in
            try await Receiver.with(mischief.answer) { hostile in
                try await Receiver.with({ _ in
                    arrivals.withLock { $0.append(.now) }
                    return .status(200)
                }) { healthy in
                    let schedule = RetrySchedule(delays: [.zero, .milliseconds(5)], attemptsMax: 1000)
                    let relay = DeliveryRelay(
                        queue: DeliveryQueue(options: database.options),
                        notifiers: [
                            "warehouse": RelayedNotifier(
                                try Self.webhook(hostile, timeout: .milliseconds(200)),
                                schedule: schedule,
                                circuit: .init(failures: 10, pause: .milliseconds(20), pauseMax: .milliseconds(40))
                            ),
                            "crm": RelayedNotifier(try Self.webhook(healthy, timeout: .seconds(15))),
                        ],
                        settings: RelaySettings(projections: ["orders"], databaseWait: .seconds(30)),
                        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
                    )
                    let running = Task { try await relay.run() }
                    defer { relay.stop() }
                    func latencies(_ count: Int) async throws -> [Duration] {
                        var latencies: [Duration] = []
                        for probe in 0..<count {
                            let before = arrivals.withLock { $0.count }
                            let start = ContinuousClock.now
                            try await database.insert([(key: 1_000_000 + probe, milestone: "paid")], notifier: "crm")
                            while arrivals.withLock({ $0.count }) == before {
                                try Task.checkCancellation()
                                await Task.yield()
                            }
                            latencies.append(start.duration(to: arrivals.withLock { $0[before] }))
                        }
                        return latencies.sorted()
                    }
                    let alone = try await latencies(100)
                    try await Self.fill(database, Self.count)
                    let beside = try await latencies(100)
                    let byHand = try await Self.untilDelivered(database)
                    relay.stop()
                    try await running.value
                    print(
                        """
                        hostile receiver: \(Self.count) milestones in \(mischief.requestCount) requests, \
                        \(mischief.taken.count - Set(mischief.taken).count) of them repeats of what it had taken, \
                        \(byHand) made due again by hand; another receiver's median latency \
                        \(alone[50]) alone, \(beside[50]) beside it (99th \(alone[98]), \(beside[98]))
                        """
                    )
                }
            }
            try await Self.check(mischief, database)
        }
    }

    /// The operator retries deliveries that a redirect has left dead.
    private static func untilDelivered(_ database: TestDatabase) async throws -> Int {
        var byHand = 0
        while true {
            try Task.checkCancellation()
            byHand += try await DeliveryStore.retry(
                DeliveryFilter(status: "dead", notifier: "warehouse"),
                on: database.connection
            )
            let open = try await database.connection.query(
                "select count(*) from tidemark_internal.deliveries where status <> 'delivered'"
            )
            if try open.int64(0, 0) == 0 { return byHand }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private static func check(_ mischief: Mischief, _ database: TestDatabase) async throws {
        let rows = try await database.rows().filter { $0.notifier == "warehouse" }
        let taken = mischief.taken
        #expect(rows.count == Self.count && Set(taken.map(\.id)) == Set(rows.map(\.id)))
        #expect(!mischief.hasOtherBytes)
        // In the order in which the receiver first took them.
        var order: [String: [String]] = [:]
        var seen: Set<String> = []
        for item in taken where seen.insert(item.id).inserted { order[item.entity, default: []].append(item.milestone) }
        #expect(order.count == Self.count / Self.milestones.count)
        #expect(order.values.allSatisfy { $0 == Self.milestones })
        // Each attempt that came to an end is kept.
        let attempts = try await database.connection.query(
            """
            select count(*), bool_and(d.attempts = (
                select count(*) from tidemark_internal.attempts as a where a.seq = d.seq
            ))
            from tidemark_internal.deliveries as d
            """
        )
        #expect(try attempts.bool(0, 1) == true)
    }

    /// A silent receiver takes all slots of one notifier; the other delivers everything meanwhile.
    @Test func aReceiverThatHangsHoldsUpNoOther() async throws {
        try await TestDatabase.with { database in
            try await Self.fill(database, 400)
            for key in 1...200 { try await database.insert([(key: key, milestone: "paid")], notifier: "crm") }
            let gate = Gate()
            let warehouse = ScriptedNotifier { _ in
                await gate.wait()
                return .delivered
            }
            let crm = ScriptedNotifier()
            let relay = DeliveryRelay(
                queue: DeliveryQueue(options: database.options),
                notifiers: ["warehouse": RelayedNotifier(warehouse), "crm": RelayedNotifier(crm)],
                settings: RelaySettings(projections: ["orders"]),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            let running = Task { try await relay.run() }
            await crm.untilBegun(200)
            #expect(warehouse.begun.count <= 16)
            gate.open()
            relay.stop()
            try await running.value
        }
    }
}
