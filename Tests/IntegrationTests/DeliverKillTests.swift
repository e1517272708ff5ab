import Foundation
import LibPQ
import NIOHTTP1
import Synchronization
import Testing
import TidemarkReceiver
import TidemarkStore
import TidemarkTesting

/// `kill -9` of one of two instances that share an outbox: nothing is lost, and only what was under way comes twice.
@Suite(.freshDatabase, .serialized, .timeLimit(.minutes(15)))
struct DeliverKillTests {
    private static let kills = 30
    private static let deliveries = 5000
    private static let milestones = ["paid", "packed", "shipped", "delivered"]

    /// What has come, and from which run of which instance: each has a path of its own.
    private final class Arrivals: Sendable {
        struct Request: Sendable {
            var id: String
            var instance: String
        }

        private struct State {
            var requests: [Request] = []
            var byInstance: [String: Int] = [:]
            var watchers: [(instance: String, count: Int, continuation: CheckedContinuation<Void, Never>)] = []
        }

        private let state = Mutex(State())

        var requests: [Request] { self.state.withLock { $0.requests } }

        func note(_ request: WebhookReceiver.Request) {
            let id = request.headers.first(name: "webhook-id") ?? ""
            let instance = String(request.uri.dropFirst())
            let ready = self.state.withLock { state in
                state.requests.append(Request(id: id, instance: instance))
                state.byInstance[instance, default: 0] += 1
                let count = state.byInstance[instance, default: 0]
                let ready = state.watchers.filter { $0.instance == instance && $0.count <= count }
                state.watchers.removeAll { $0.instance == instance && $0.count <= count }
                return ready
            }
            for watcher in ready { watcher.continuation.resume() }
        }

        /// Returns once so many have come from an instance.
        func until(_ count: Int, from instance: String) async {
            await withCheckedContinuation { continuation in
                let isReached = self.state.withLock { state in
                    guard state.byInstance[instance, default: 0] < count else { return true }
                    state.watchers.append((instance, count, continuation))
                    return false
                }
                if isReached { continuation.resume() }
            }
        }
    }

    private static let configuration = """
        projections:
          - name: orders
            from: shop.orders
            key: id
            sequence: version
            state: status
            columns: { id: bigint, status: text, version: bigint }
            milestones: { paid: { notify: warehouse }, packed: { notify: warehouse } }
        notifiers:
          warehouse:
            type: webhook
            url: "http://127.0.0.1:${RECEIVER_PORT}/${INSTANCE}"
            secret: "whsec_dGlkZW1hcmsgdGVzdCBzZWNyZXQgMDEyMzQ1Njc4OQ=="
            allow_private: true
            # Not long, so that what one has died over is soon taken by the other.
            connect_timeout: 10s
            timeout: 10s

        """

    private static func fill(_ connection: Connection) async throws {
        _ = try await connection.query(
            """
            insert into tidemark_internal.deliveries
                (id, projection, key, milestone, notifier, status, next_attempt_at, body)
            select gen_random_uuid(), 'orders', jsonb_build_array(entity), milestone, 'warehouse', 'due', now(), '{}'
            from generate_series(1, $1::integer) as entity,
                unnest($2::text[]) with ordinality as step(milestone, place)
            order by place, entity
            """,
            [
                .int32(Int32(Self.deliveries / Self.milestones.count)),
                .text("{\(Self.milestones.joined(separator: ","))}"),
            ]
        )
    }

    @Test
    func thirtyKillsOfOneOfTwoInstancesLoseNothing() async throws {
        var generator = SeededGenerator.forTest("kills while delivering")
        let database = TestDatabase.current
        let connection = try await database.connect("tests (observer)")
        _ = try await Migrator.migrate(connection)
        try await Self.fill(connection)
        let arrivals = Arrivals()
        try await withFolder { folder in
            let file = folder.appendingPathComponent("tidemark.yaml")
            try Data(Self.configuration.utf8).write(to: file)
            let receiver = try await WebhookReceiver.start { request, _ in
                arrivals.note(request)
                // As slow as receivers are, so that there is something under way whenever a kill comes.
                try? await Task.sleep(for: .milliseconds(100))
                return .reply(.noContent)
            }
            func start(_ instance: String) throws -> TidemarkProcess {
                try TidemarkProcess(
                    ["deliver", "--config", file.path],
                    environment: [
                        "DATABASE_URL": database.url, "RECEIVER_PORT": "\(receiver.port)", "INSTANCE": instance,
                    ]
                )
            }
            let began = ContinuousClock.now
            let survivor = try start("survivor")
            for kill in 0..<Self.kills {
                let victim = try start("victim-\(kill)")
                await arrivals.until(Int.random(in: 1...30, using: &generator), from: "victim-\(kill)")
                victim.kill()
                let result = try await victim.result()
                #expect(result.signal == SIGKILL, "\(result.error)")
            }
            let left = try await connection.number("select count(*) from tidemark.deliveries where status = 'due'")
            #expect(left > 0, "all was delivered before the last kill")
            while try await connection.number("select count(*) from tidemark.deliveries where status <> 'delivered'")
                > 0
            {
                try Task.checkCancellation()
                try await Task.sleep(for: .milliseconds(100))
            }
            survivor.send(SIGTERM)
            #expect(try await survivor.result().status == 143)
            await receiver.stop()
            try await Self.check(arrivals.requests, connection, took: began.duration(to: .now))
        }
        await connection.close()
    }

    private static func check(
        _ requests: [Arrivals.Request],
        _ connection: Connection,
        took: Duration
    ) async throws {
        let byID = Dictionary(grouping: requests, by: \.id)
        let repeats = byID.values.reduce(0) { $0 + $1.count - 1 }
        print(
            """
            \(Self.kills) kills of one of two instances during \(Self.deliveries) deliveries, in \(took): \
            \(repeats) came twice
            """
        )
        // Nothing is lost, and nothing has another id.
        let rows = try await connection.rows(
            "select id, key::text, milestone, attempts from tidemark.deliveries order by created_at"
        )
        #expect(rows.count == Self.deliveries && Set(rows.map { $0[0] }) == Set(byID.keys))
        // What came twice was under way when its first sender was killed: the other came after it, from somebody else.
        for (id, arrived) in byID where arrived.count > 1 {
            #expect(arrived.dropLast().allSatisfy { $0.instance.hasPrefix("victim") }, "\(id) \(arrived)")
            #expect(Set(arrived.map(\.instance)).count == arrived.count)
        }
        // In order, also across a takeover.
        let delivery = Dictionary(uniqueKeysWithValues: rows.map { ($0[0], (key: $0[1], milestone: $0[2])) })
        var order: [String: [String]] = [:]
        var seen: Set<String> = []
        for request in requests where seen.insert(request.id).inserted {
            guard let known = delivery[request.id] else { continue }
            order[known.key, default: []].append(known.milestone)
        }
        #expect(order.values.allSatisfy { $0 == Self.milestones })
        // The attempts that a kill has cut off are those that nobody could write down.
        let cut = requests.count - rows.reduce(0) { $0 + (Int($1[3]) ?? 0) }
        #expect(cut == repeats, "every delivery has one attempt that came to its end")
    }
}
