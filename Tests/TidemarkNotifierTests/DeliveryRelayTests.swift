import LibPQ
import Logging
import NIOHTTP1
import Testing
@testable import TidemarkNotifier
import TidemarkStore

@Suite(.timeLimit(.minutes(15)))
struct DeliveryRelayTests {
    private static func relay(
        _ database: TestDatabase,
        _ notifiers: [String: any Notifier],
        concurrency: Int = 16,
        schedule: RetrySchedule = RetrySchedule()
    ) -> DeliveryRelay {
        DeliveryRelay(
            queue: DeliveryQueue(options: database.options),
            notifiers: notifiers.mapValues { RelayedNotifier($0, schedule: schedule, concurrency: concurrency) },
            settings: RelaySettings(projections: ["orders"], databaseWait: .seconds(30)),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    /// Runs the relay beside `body`, and stops it.
    private static func run(_ relay: DeliveryRelay, _ body: () async throws -> Void) async throws {
        let running = Task { try await relay.run() }
        do {
            try await body()
        } catch {
            relay.stop()
            try? await running.value
            throw error
        }
        relay.stop()
        try await running.value
    }

    private static let soon: Duration = .seconds(300)

    @Test func deliversEachEntitysMilestonesInOrderAndOneByOne() async throws {
        try await TestDatabase.with { database in
            let milestones = ["paid", "shipped", "delivered", "completed"]
            for milestone in milestones { try await database.insert((0..<25).map { (key: $0, milestone: milestone) }) }
            let warehouse = ScriptedNotifier()
            let relay = Self.relay(database, ["warehouse": warehouse], concurrency: 4)
            try await Self.run(relay) {
                #expect(await relay.drain(until: .now + Self.soon) == .drained)
            }
            #expect(warehouse.begun.count == 100)
            for key in 0..<25 {
                let mine = warehouse.begun.filter { $0.keyJSON == "[\(key)]" }.map(\.milestone)
                #expect(mine == milestones)
            }
            #expect(!warehouse.isOverlapping && warehouse.mostUnderWay <= 4 && warehouse.isShutDown)
            let first = try #require(warehouse.begun.first)
            #expect(first.body == Array(#"{"type":"test"}"#.utf8) && first.attempt == 1 && first.projection == "orders")
            #expect(try await database.rows().allSatisfy { $0.status == "delivered" && $0.attempts == 1 })
        }
    }

    @Test func aDeliveryThatFailsHoldsUpItsEntityAlone() async throws {
        try await TestDatabase.with { database in
            for milestone in ["paid", "shipped"] {
                try await database.insert((1...10).map { (key: $0, milestone: milestone) })
            }
            let warehouse = ScriptedNotifier { delivery in
                delivery.keyJSON == "[3]" ? .retry(reason: "status 500") : .delivered
            }
            let relay = Self.relay(database, ["warehouse": warehouse])
            try await Self.run(relay) {
                #expect(await relay.drain(until: .now + Self.soon) == .drained)
            }
            let open = try await database.rows().filter { $0.status == "due" }
            #expect(open.map(\.key) == ["[3]", "[3]"])
            #expect(open.map(\.attempts) == [1, 0])
            #expect(open[0].lastError == "status 500")
            #expect(warehouse.labels.filter { $0.hasPrefix("3 ") } == ["3 paid"])
        }
    }

    @Test func drainingEndsWithEveryReceiverDownAndWithNothingToDo() async throws {
        try await TestDatabase.with { database in
            try await database.insert((1...50).map { (key: $0, milestone: "paid") })
            try await database.insert((1...50).map { (key: $0, milestone: "shipped") })
            // No notifier of this relay delivers these.
            try await database.insert([(1, "paid")], notifier: "removed")
            let warehouse = ScriptedNotifier { _ in .retry(reason: "connection refused") }
            // However long it takes, no second attempt falls due.
            let schedule = RetrySchedule(delays: [.zero, .seconds(24 * 3600)])
            let relay = Self.relay(database, ["warehouse": warehouse], schedule: schedule)
            try await Self.run(relay) {
                #expect(await relay.drain(until: .now + Self.soon) == .drained)
                #expect(await relay.drain(until: .now + Self.soon) == .drained)
            }
            #expect(try await database.rows().map(\.attempts).reduce(0, +) == 50)
            #expect(await relay.drain(until: .now + Self.soon) == .stopped)
        }
    }

    @Test func drainingTakesNoLongerThanItMay() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid")])
            let gate = Gate()
            let warehouse = ScriptedNotifier { _ in
                await gate.wait()
                return .delivered
            }
            let relay = Self.relay(database, ["warehouse": warehouse])
            try await Self.run(relay) {
                await warehouse.untilBegun(1)
                #expect(await relay.drain(until: .now) == .deadlineReached)
                let untried = try await database.untried()
                #expect(untried == 1)
                gate.open()
            }
            // What was under way came to its end.
            #expect(try await database.rows().map(\.status) == ["delivered"])
        }
    }

    @Test func stoppingFinishesWhatIsUnderWayAndGivesTheRestBack() async throws {
        try await TestDatabase.with { database in
            try await database.insert((1...20).map { (key: $0, milestone: "paid") })
            let gate = Gate()
            let warehouse = ScriptedNotifier { _ in
                await gate.wait()
                return .delivered
            }
            let relay = Self.relay(database, ["warehouse": warehouse], concurrency: 2)
            let running = Task { try await relay.run() }
            await warehouse.untilBegun(2)
            // As a signal would.
            running.cancel()
            gate.open()
            try await running.value
            #expect(warehouse.begun.count == 2)
            let rows = try await database.rows()
            #expect(rows.count { $0.status == "delivered" } == 2)
            #expect(rows.count { $0.status == "due" && $0.attempts == 0 } == 18)
            // Nothing of it has to wait for a lease.
            #expect(try await database.claim().count == 18)
        }
    }

    @Test func anotherRelayTakesOverFromOneThatDied() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (1, "shipped")])
            let dead = try await database.claim(lease: .seconds(60))
            try await database.passTime("61 seconds")
            let warehouse = ScriptedNotifier()
            let relay = Self.relay(database, ["warehouse": warehouse])
            try await Self.run(relay) {
                #expect(await relay.drain(until: .now + Self.soon) == .drained)
            }
            #expect(warehouse.labels == ["1 paid", "1 shipped"])
            #expect(warehouse.begun.first?.id == dead.first?.id)
            #expect(try await database.record(dead, .dead).isEmpty)
        }
    }

    @Test func anEndpointThatIsGoneIsLeftAlone() async throws {
        try await TestDatabase.with { database in
            try await database.insert((1...30).map { (key: $0, milestone: "paid") })
            try await database.insert((1...30).map { (key: $0, milestone: "paid") }, notifier: "crm")
            let warehouse = ScriptedNotifier { _ in .gone(reason: "status 410") }
            let crm = ScriptedNotifier()
            let relay = Self.relay(database, ["warehouse": warehouse, "crm": crm], concurrency: 1)
            try await Self.run(relay) {
                #expect(await relay.drain(until: .now + Self.soon) == .drained)
            }
            #expect(warehouse.begun.count == 1 && crm.begun.count == 30)
            let rows = try await database.rows().filter { $0.notifier == "warehouse" }
            #expect(rows.allSatisfy { $0.status == "due" })
            #expect(rows.map(\.attempts).reduce(0, +) == 1)
        }
    }

    @Test func deliversWhatComesWhileItRuns() async throws {
        try await TestDatabase.with { database in
            let warehouse = ScriptedNotifier()
            let relay = Self.relay(database, ["warehouse": warehouse])
            try await Self.run(relay) {
                #expect(await relay.drain(until: .now + Self.soon) == .drained)
                try await database.insert([(1, "paid")])
                relay.wake()
                await warehouse.untilBegun(1)
                // A notification wakes it too, and without either it looks by itself.
                try await database.insert([(1, "shipped")])
                try await database.connection.execute("notify \(DeliveryStore.channel)")
                await warehouse.untilBegun(2)
                try await database.insert([(1, "delivered")])
                await warehouse.untilBegun(3)
            }
            #expect(warehouse.labels == ["1 paid", "1 shipped", "1 delivered"])
        }
    }

    @Test func goesOnAfterItsConnectionWasLost() async throws {
        try await TestDatabase.with { database in
            try await database.insert((1...60).map { (key: $0, milestone: "paid") })
            let (killed, gate) = (Counter(), Gate())
            let warehouse = ScriptedNotifier { _ in
                await gate.wait()
                return .delivered
            }
            let relay = Self.relay(database, ["warehouse": warehouse], concurrency: 4)
            try await Self.run(relay) {
                await warehouse.untilBegun(4)
                let gone = try await database.connection.query(
                    """
                    select pg_terminate_backend(pid, 10000) from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid()
                    """
                )
                for _ in 0..<gone.rowCount { killed.increment() }
                gate.open()
                #expect(await relay.drain(until: .now + Self.soon) == .drained)
            }
            #expect(killed.value == 1)
            #expect(try await database.rows().allSatisfy { $0.status == "delivered" && $0.attempts == 1 })
            #expect(warehouse.begun.count == 60)
        }
    }

    @Test func whatTheDatabaseRefusesEndsIt() async throws {
        try await TestDatabase.with { database in
            try await database.connection.execute("drop table tidemark_internal.deliveries cascade")
            let relay = Self.relay(database, ["warehouse": ScriptedNotifier()])
            let running = Task { try await relay.run() }
            #expect(await relay.drain(until: .now + Self.soon) == .stopped)
            let error = await #expect(throws: PostgresError.self) { try await running.value }
            #expect(error?.sqlState == "42P01")
        }
    }

    @Test func postsToAReceiver() async throws {
        try await TestDatabase.with { database in
            try await database.insert((1...20).map { (key: $0, milestone: "paid") })
            try await Receiver.with({ _ in .status(200) }) { receiver in
                var settings = WebhookSettings(url: "http://127.0.0.1:\(receiver.port)/", secrets: ["s"])
                settings.allowPrivate = true
                let relay = Self.relay(database, ["warehouse": try WebhookNotifier(settings)])
                try await Self.run(relay) {
                    #expect(await relay.drain(until: .now + Self.soon) == .drained)
                }
                let ids = Set(receiver.requests.compactMap { $0.headers.first(name: "webhook-id") })
                #expect(ids == Set(try await database.rows().map(\.id)) && ids.count == 20)
            }
        }
    }
}
