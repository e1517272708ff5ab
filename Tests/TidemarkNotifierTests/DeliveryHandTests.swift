import LibPQ
import Testing

@testable import TidemarkStore

/// Attempts, blocking dead deliveries, and the operators' commands.
@Suite(.timeLimit(.minutes(15)))
struct DeliveryHandTests {
    private static func claim(_ database: TestDatabase, holds: Bool) async throws -> [ClaimedDelivery] {
        let request = ClaimRequest(
            notifier: "warehouse",
            limit: 100,
            lease: .seconds(60),
            holdsBehindDead: holds
        )
        return try await DeliveryStore.claim([request], token: UUIDText.random(), on: database.connection).deliveries
    }

    private static func labels(_ database: TestDatabase, holds: Bool) async throws -> [String] {
        try await Self.claim(database, holds: holds).map(\.label)
    }

    // MARK: Attempts

    @Test func everyAttemptIsKept() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid")])
            let records = [
                DeliveryRecord(
                    seq: 0,
                    token: "",
                    outcome: .failed(retryAfter: .zero),
                    error: "status 503",
                    status: 503,
                    excerpt: "try\nlater",
                    duration: .milliseconds(1500)
                ),
                DeliveryRecord(seq: 0, token: "", outcome: .delivered, status: 204, duration: .milliseconds(2)),
            ]
            for var record in records {
                let claimed = try #require(try await database.claim().first)
                (record.seq, record.token) = (claimed.seq, claimed.token)
                #expect(try await DeliveryStore.record([record], on: database.connection) == [claimed.seq])
            }
            let id = try #require(try await database.rows().first?.id)
            let attempts = try await DeliveryStore.attempts(of: id, to: "warehouse", on: database.connection)
            #expect(attempts.map(\.attempt) == [1, 2] && attempts.map(\.outcome) == ["failed", "delivered"])
            #expect(attempts.map(\.status) == [503, 204] && attempts.map(\.error) == ["status 503", nil])
            #expect(attempts[0].excerpt == "try\nlater" && attempts[0].duration == .milliseconds(1500))
            let created = try await database.rows()[0].createdAt
            #expect(attempts.allSatisfy { $0.startedAt > created - 10_000_000 })
            let view = try await database.connection.query("select id, notifier, outcome from tidemark.attempts")
            #expect(view.rowCount == 2)
        }
    }

    @Test func aResultThatComesTooLateLeavesNoAttempt() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid")])
            let late = try await database.claim()
            try await database.passTime()
            _ = try await database.claim()
            #expect(try await database.record(late, .delivered).isEmpty)
            let attempts = try await database.connection.query("select from tidemark_internal.attempts")
            #expect(attempts.rowCount == 0)
        }
    }

    // MARK: Behind a dead one

    @Test func aDeadDeliveryHoldsItsEntityUntilSomebodyHasSeenToIt() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (2, "paid"), (1, "shipped"), (2, "shipped"), (1, "delivered")])
            let first = try await Self.claim(database, holds: true)
            #expect(first.map(\.label) == ["1 paid", "2 paid"])
            _ = try await database.record(first.filter { $0.keyJSON == "[1]" }, .dead)
            _ = try await database.record(first.filter { $0.keyJSON == "[2]" }, .delivered)
            #expect(try await Self.labels(database, holds: true) == ["2 shipped"])
            // However long it takes.
            try await database.passTime("30 days")
            #expect(try await Self.labels(database, holds: true) == ["2 shipped"])
            // Delivered by hand after all, the others follow in their order, at once.
            let filter = DeliveryFilter(status: "dead")
            #expect(try await DeliveryStore.retry(filter, on: database.connection) == 1)
            let again = try await Self.claim(database, holds: true)
            #expect(again.map(\.label) == ["1 paid"] && again.map(\.attempts) == [1] && again[0].scheduleStart == 1)
            _ = try await database.record(again, .delivered)
            #expect(try await Self.labels(database, holds: true) == ["1 shipped"])
        }
    }

    @Test(arguments: [
        "cancelled by hand", "delete from tidemark_internal.deliveries where status = 'dead'",
    ])
    func whatGivesADeadOneUpLetsTheOthersGo(_ way: String) async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (1, "shipped")])
            _ = try await database.record(try await Self.claim(database, holds: true), .dead)
            #expect(try await Self.claim(database, holds: true).isEmpty)
            if way.hasPrefix("delete") {
                try await database.connection.execute(way)
            } else {
                let filter = DeliveryFilter(projection: "orders", key: ["1"], milestone: "paid")
                #expect(try await DeliveryStore.cancel(filter, on: database.connection) == 1)
                #expect(try await database.rows()[0].lastError == "cancelled by hand (before that: why)")
            }
            #expect(try await Self.labels(database, holds: true) == ["1 shipped"])
        }
    }

    @Test func whereFailuresAreSkippedTheNextGoesOn() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (1, "shipped")])
            _ = try await database.record(try await Self.claim(database, holds: false), .dead)
            #expect(try await Self.labels(database, holds: false) == ["1 shipped"])
        }
    }

    @Test func aConfigurationThatSkipsFreesWhatWasHeld() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (1, "shipped")])
            _ = try await database.record(try await Self.claim(database, holds: true), .dead)
            #expect(try await Self.claim(database, holds: true).isEmpty)
            // It was deferred after the dead one, and becomes due again by itself.
            try await database.passTime("61 minutes")
            #expect(try await Self.labels(database, holds: false) == ["1 shipped"])
        }
    }

    // MARK: By hand

    @Test func aMutedMilestoneIsSentByHand() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (2, "paid")], status: "muted")
            #expect(try await database.claim().isEmpty)
            let id = try await database.rows()[0].id
            #expect(try await DeliveryStore.retry(DeliveryFilter(ids: [id]), on: database.connection) == 1)
            #expect(try await database.claim().map(\.label) == ["1 paid"])
        }
    }

    @Test func whatWasDeliveredIsSentAgainOnlyWhereThatIsSaid() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (2, "paid")])
            let claimed = try await database.claim()
            // What is on its way is left there.
            #expect(try await DeliveryStore.retry(DeliveryFilter(projection: "orders"), on: database.connection) == 0)
            _ = try await database.record(claimed, .delivered)
            #expect(try await DeliveryStore.retry(DeliveryFilter(projection: "orders"), on: database.connection) == 0)
            let filter = DeliveryFilter(ids: [claimed[1].id], notifier: "warehouse")
            #expect(try await DeliveryStore.retry(filter, on: database.connection) == 1)
            let again = try await database.claim()
            #expect(again.map(\.id) == [claimed[1].id] && again.map(\.body) == [claimed[1].body])
        }
    }

    @Test func whatIsCancelledGoesNoMore() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (1, "shipped"), (2, "paid")])
            try await database.insert([(3, "paid")], status: "held")
            let underWay = try await database.claim(1)
            let filter = DeliveryFilter(milestone: "paid")
            #expect(try await DeliveryStore.cancel(filter, on: database.connection) == 3)
            #expect(try await DeliveryStore.cancel(filter, on: database.connection) == 0)
            // Its result comes too late, and those behind it go on.
            #expect(try await database.record(underWay, .delivered).isEmpty)
            #expect(try await Self.labels(database, holds: true) == ["1 shipped"])
            let rows = try await database.rows()
            #expect(rows.map(\.status) == ["dead", "due", "dead", "dead"])
            #expect(rows.map(\.isCancelled) == [true, false, true, true])
            #expect(try await DeliveryStore.retry(DeliveryFilter(ids: [rows[2].id]), on: database.connection) == 1)
            #expect(try await Self.labels(database, holds: true) == ["2 paid"])
        }
    }

    @Test func pruningRemovesOnlyWhatWasDelivered() async throws {
        try await TestDatabase.with { database in
            for status in ["due", "held", "delivered", "dead", "muted"] {
                try await database.insert([(1, status)], status: status)
            }
            try await database.insert([(2, "paid"), (3, "paid")])
            _ = try await database.record(try await database.claim(), .delivered)
            try await database.connection.execute(
                """
                update tidemark_internal.deliveries set delivered_at = now() - interval '31 days'
                where status = 'delivered' and key <> '[3]'
                """
            )
            let month = Duration.seconds(30 * 86_400)
            #expect(try await DeliveryStore.prune(olderThan: month, limit: 1, on: database.connection) == 1)
            #expect(try await DeliveryStore.prune(olderThan: month, limit: 10, on: database.connection) > 0)
            #expect(try await DeliveryStore.prune(olderThan: month, limit: 10, on: database.connection) == 0)
            let kept = try await database.rows().filter { $0.status == "delivered" }
            #expect(kept.allSatisfy { $0.key != "[2]" } && kept.contains { $0.key == "[3]" })
            let orphans = try await database.connection.query(
                """
                select from tidemark_internal.attempts as a
                where not exists (select from tidemark_internal.deliveries as d where d.seq = a.seq)
                """
            )
            #expect(orphans.rowCount == 0)
        }
    }

    // MARK: Endpoints that are gone

    @Test func goneDisablesForEverybodyUntilItIsEnabled() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (2, "paid")])
            let claimed = try await database.claim(1)
            let record = DeliveryRecord(
                seq: claimed[0].seq,
                token: claimed[0].token,
                outcome: .gone(retryAfter: .seconds(300)),
                error: "status 410",
                status: 410
            )
            _ = try await DeliveryStore.record([record], on: database.connection)
            #expect(try await database.claim().isEmpty)
            let disabled = try await DeliveryStore.disabled(on: database.connection)
            #expect(disabled.map(\.notifier) == ["warehouse"] && disabled.map(\.reason) == ["status 410"])
            #expect(try await database.untried() == 0)
            #expect(try await DeliveryStore.nextDue(notifiers: ["warehouse"], on: database.connection) == nil)
            #expect(try await database.rows().allSatisfy { $0.status == "due" })
            #expect(try await DeliveryStore.enable("warehouse", on: database.connection))
            #expect(try await !DeliveryStore.enable("warehouse", on: database.connection))
            // Also what failed on that account goes at once.
            #expect(try await database.claim().map(\.label) == ["1 paid", "2 paid"])
        }
    }

    @Test func aClaimSaysWhoIsDisabled() async throws {
        try await TestDatabase.with { database in
            let names = ["a b", "ü", "warehouse"]
            for name in names { try await DeliveryStore.disable(name, reason: "by hand", on: database.connection) }
            let requests = (names + ["crm"]).map { ClaimRequest(notifier: $0, limit: 1, lease: .seconds(60)) }
            let claim = try await DeliveryStore.claim(requests, token: UUIDText.random(), on: database.connection)
            #expect(claim.disabled == Set(names) && claim.deliveries.isEmpty && !claim.mayHaveMore)
        }
    }
}
