import LibPQ
import Testing

@testable import TidemarkStore

@Suite(.timeLimit(.minutes(15)))
struct DeliveryStoreTests {
    @Test func claimsEachEntitysFirstDelivery() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (2, "paid"), (1, "shipped"), (2, "shipped"), (3, "shipped")])
            try await database.insert([(1, "shipped")], notifier: "crm")
            #expect(try await database.claim().map(\.label) == ["1 paid", "2 paid", "3 shipped"])
            #expect(try await database.claim().isEmpty)
            #expect(try await database.claim(notifier: "crm").map(\.label) == ["1 shipped"])
        }
    }

    @Test(arguments: ["held", "dead", "delivered", "muted"])
    func onlyWhatIsDueBlocks(_ status: String) async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid")], status: status)
            try await database.insert([(1, "shipped")])
            #expect(try await database.claim().map(\.label) == ["1 shipped"])
        }
    }

    /// The outbox was analyzed while all of it was delivered: the planner thinks that nothing is ever due.
    @Test func aBacklogIsNotReadForEachClaimAndResult() async throws {
        try await TestDatabase.with { database in
            func fill(_ status: String) async throws {
                _ = try await database.connection.query(
                    """
                    insert into tidemark_internal.deliveries
                        (id, projection, key, milestone, notifier, status, next_attempt_at, body)
                    select gen_random_uuid(), 'orders', jsonb_build_array(i), 'shipped', 'warehouse', $1::text, now(), '{}'
                    from generate_series(1, 3000) as i
                    """,
                    [.text(status)]
                )
            }
            try await fill("delivered")
            try await database.connection.execute("vacuum analyze tidemark_internal.deliveries")
            try await fill("due")
            let queue = DeliveryQueue(options: database.options)
            let request = ClaimRequest(notifier: "warehouse", limit: 16, lease: .seconds(60))
            for _ in 0..<20 {
                let claimed = try await queue.claim([request]).deliveries
                #expect(claimed.count == 16)
                let records = claimed.map { DeliveryRecord(seq: $0.seq, token: $0.token, outcome: .delivered) }
                #expect(try await queue.record(records).count == 16)
            }
            await queue.close()
            // A session hands its counts in when it ends.
            while try await database.connection.query(
                """
                select from pg_stat_activity
                where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
                """
            ).rowCount > 0 { try Task.checkCancellation() }
            let read = try await database.connection.query(
                """
                select (seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_all_tables
                where relid = 'tidemark_internal.deliveries'::regclass
                """
            )
            let rows = try #require(try read.int64(0, 0))
            // 320 deliveries, looked at a few times each. Reading what is due for each result would be over 100,000.
            #expect((1...20_000).contains(rows), "\(rows) rows read")
        }
    }

    /// The transaction that entered it was open for an hour, or a relay that had locked it is gone.
    @Test func whatHasLongBeenDueIsClaimedThoughAllThatWasDueHasBeen() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid")])
            let queue = DeliveryQueue(options: database.options)
            let request = ClaimRequest(notifier: "warehouse", limit: 16, lease: .seconds(60))
            #expect(try await queue.claim([request]).deliveries.count == 1)
            try await database.insert([(2, "paid")])
            try await database.connection.execute(
                "update tidemark_internal.deliveries set next_attempt_at = now() - interval '1 hour' where key = '[2]'"
            )
            try await database.insert([(3, "paid")])
            var claimed: [String] = []
            for _ in 0..<3 { claimed += try await queue.claim([request]).deliveries.map(\.keyJSON) }
            #expect(Set(claimed) == ["[2]", "[3]"])
            await queue.close()
        }
    }

    /// Claims of a backlog go on behind what was taken, in the order in which it came due, and none is left behind.
    @Test func aBacklogIsClaimedInItsOrderAndWhatComesBeforeItIsFound() async throws {
        try await TestDatabase.with { database in
            func fill(_ keys: ClosedRange<Int>, dueSince: String) async throws {
                try await database.connection.execute(
                    """
                    insert into tidemark_internal.deliveries
                        (id, projection, key, milestone, notifier, status, created_at, next_attempt_at, body)
                    select gen_random_uuid(), 'orders', jsonb_build_array(i), 'shipped', 'warehouse', 'due', due, due, '{}'
                    from generate_series(\(keys.lowerBound), \(keys.upperBound)) as i
                    cross join lateral (
                        select now() - interval '\(dueSince)' + i * interval '10 seconds' as due
                    ) as moment
                    """
                )
            }
            try await fill(1...200, dueSince: "1 hour")
            let queue = DeliveryQueue(options: database.options)
            let request = ClaimRequest(notifier: "warehouse", limit: 16, lease: .seconds(600))
            var claimed: [String] = []
            var empty = 0
            while empty < 2 {
                let batch = try await queue.claim([request]).deliveries.map(\.keyJSON)
                empty = batch.isEmpty ? empty + 1 : 0
                claimed += batch
                if claimed.count == 64 { try await fill(1000...1003, dueSince: "10 hours") }
            }
            #expect(claimed.filter { $0.count < 6 } == (1...200).map { "[\($0)]" })
            #expect(Set(claimed.filter { $0.count == 6 }) == Set((1000...1003).map { "[\($0)]" }))
            await queue.close()
        }
    }

    @Test func aFailedDeliveryHoldsItsEntityAndNoOther() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (1, "shipped"), (2, "paid"), (2, "shipped")])
            let first = try await database.claim()
            _ = try await database.record(first.filter { $0.keyJSON == "[1]" }, .failed(retryAfter: .seconds(300)))
            _ = try await database.record(first.filter { $0.keyJSON == "[2]" }, .delivered)
            #expect(try await database.claim().map(\.label) == ["2 shipped"])
            #expect(try await database.untried() == 1)
            // The other attempt of the first, and not yet what is behind it.
            try await database.passTime("301 seconds")
            #expect(try await database.claim().map(\.label) == ["1 paid", "2 shipped"])
            let rows = try await database.rows()
            #expect(rows.map(\.attempts) == [1, 0, 1, 0])
            #expect(rows[0].lastError == "why" && rows[0].status == "due")
            #expect(rows[2].status == "delivered" && rows[2].deliveredAt != nil && rows[2].nextAttemptAt == nil)
        }
    }

    /// However long a delivery was to wait: whatever ends it, those behind it go at once.
    @Test(arguments: [
        "update tidemark_internal.deliveries set status = 'delivered' where milestone = 'paid'",
        "update tidemark_internal.deliveries set status = 'dead' where milestone = 'paid'",
        "update tidemark_internal.deliveries set status = 'held' where milestone = 'paid'",
        "delete from tidemark_internal.deliveries where milestone = 'paid'",
    ])
    func whateverEndsTheWaitMakesTheNextDue(_ end: String) async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (1, "shipped"), (1, "delivered")])
            _ = try await database.record(try await database.claim(), .failed(retryAfter: .seconds(86_400)))
            #expect(try await database.claim().isEmpty)
            // They were deferred to the lease's end, and now to the next attempt.
            try await database.passTime("61 seconds")
            #expect(try await database.claim().isEmpty)
            let wait = try #require(
                try await DeliveryStore.nextDue(notifiers: ["warehouse"], on: database.connection)
            )
            #expect(wait > .seconds(86_000))
            try await database.connection.execute(end)
            #expect(try await database.claim().map(\.label) == ["1 shipped"])
        }
    }

    @Test func whatIsReleasedFromAHoldGoesAtOnce() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (1, "shipped")])
            _ = try await database.record(try await database.claim(), .failed(retryAfter: .seconds(86_400)))
            #expect(try await database.claim().isEmpty)
            let all = "update tidemark_internal.deliveries set status ="
            try await database.connection.execute("\(all) 'held' where milestone = 'shipped'")
            try await database.connection.execute("\(all) 'delivered' where milestone = 'paid'")
            #expect(try await database.claim().isEmpty)
            try await database.connection.execute("\(all) 'due' where milestone = 'shipped'")
            #expect(try await database.claim().map(\.label) == ["1 shipped"])
        }
    }

    @Test func aClaimWhoseHolderDiedIsTakenOverAndTheLateResultRefused() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (1, "shipped")])
            let first = try await database.claim(lease: .seconds(60))
            #expect(try await database.claim().isEmpty)
            try await database.passTime("61 seconds")
            let second = try await database.claim(lease: .seconds(60))
            #expect(second.map(\.id) == first.map(\.id))
            #expect(try await database.record(first, .dead).isEmpty)
            try await DeliveryStore.release(first, on: database.connection)
            #expect(try await database.rows()[0].status == "due")
            #expect(try await database.claim().isEmpty)
            #expect(try await database.record(second, .delivered) == Set(second.map(\.seq)))
            #expect(try await database.record(second, .dead).isEmpty)
            let rows = try await database.rows()
            #expect(rows[0].status == "delivered" && rows[0].attempts == 1)
        }
    }

    @Test func aResultCountsForADeliveryThatWasHeldOnItsWay() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (2, "paid")])
            let claimed = try await database.claim()
            try await database.connection.execute("update tidemark_internal.deliveries set status = 'held'")
            _ = try await database.record([claimed[0]], .delivered)
            _ = try await database.record([claimed[1]], .failed(retryAfter: .seconds(300)))
            #expect(try await database.rows().map(\.status) == ["delivered", "held"])
        }
    }

    @Test func whatIsGivenBackIsThereAtOnce() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (2, "paid")])
            let first = try await database.claim()
            try await DeliveryStore.release(first, on: database.connection)
            let second = try await database.claim()
            #expect(second.map(\.id) == first.map(\.id))
            #expect(try await database.rows().map(\.attempts) == [0, 0])
            // By the token alone, as when the claim's answer was lost.
            let request = ClaimRequest(notifier: "warehouse", limit: 10, lease: .seconds(60))
            try await DeliveryStore.release(claim: first[0].token, of: [request], on: database.connection)
            #expect(try await database.claim().isEmpty)
            try await DeliveryStore.release(claim: second[0].token, of: [request], on: database.connection)
            #expect(try await database.claim().count == 2)
        }
    }

    @Test func severalRelaysShareAnOutbox() async throws {
        try await TestDatabase.with { database in
            let keys = (0..<40).flatMap { key in ["paid", "shipped", "delivered"].map { (key: key, milestone: $0) } }
            try await database.insert(keys)
            let claimed = try await withThrowingTaskGroup(of: [ClaimedDelivery].self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        let queue = DeliveryQueue(options: database.options)
                        var mine: [ClaimedDelivery] = []
                        // In small bites, each delivered before the next.
                        while try await DeliveryStore.countUntried(projections: ["orders"], on: database.connection) > 0
                        {
                            let claim = try await queue.claim([
                                ClaimRequest(notifier: "warehouse", limit: 7, lease: .seconds(60))
                            ])
                            #expect(Set(claim.deliveries.map(\.keyJSON)).count == claim.deliveries.count)
                            let written = try await queue.record(
                                claim.deliveries.map {
                                    DeliveryRecord(seq: $0.seq, token: $0.token, outcome: .delivered)
                                }
                            )
                            #expect(written.count == claim.deliveries.count)
                            mine += claim.deliveries
                        }
                        await queue.close()
                        return mine
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(claimed.count == 120)
            #expect(Set(claimed.map(\.seq)).count == 120)
            #expect(try await database.rows().allSatisfy { $0.status == "delivered" && $0.attempts == 1 })
        }
    }

    @Test func countsWhatNobodyHasTriedAndNothingHoldsUp() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (1, "shipped"), (2, "paid")])
            try await database.insert([(3, "paid")], status: "held")
            try await database.insert([(1, "paid")], projection: "other")
            #expect(try await database.untried() == 2)
            #expect(try await database.untried(["orders", "other"]) == 3)
            #expect(
                try await DeliveryStore.countUntried(
                    projections: ["orders"],
                    notifiers: ["crm"],
                    on: database.connection
                ) == 0
            )
            let claimed = try await database.claim()
            // On their way they have not been tried.
            #expect(try await database.untried() == 2)
            _ = try await database.record(claimed, .failed(retryAfter: .seconds(5)))
            #expect(try await database.untried() == 0)
        }
    }

    @Test func listsWhatIsAskedFor() async throws {
        try await TestDatabase.with { database in
            try await database.insert([(1, "paid"), (2, "shipped")])
            try await database.insert([(3, "paid")], notifier: "crm", status: "held")
            try await database.insert([(4, "paid")], projection: "other")
            func keys(_ filter: DeliveryFilter) async throws -> [String] {
                try await DeliveryStore.list(filter, on: database.connection).map(\.key)
            }
            #expect(try await keys(DeliveryFilter()) == ["[4]", "[3]", "[2]", "[1]"])
            #expect(try await keys(DeliveryFilter(limit: 1)) == ["[4]"])
            #expect(try await keys(DeliveryFilter(status: "held")) == ["[3]"])
            #expect(try await keys(DeliveryFilter(projection: "orders", milestone: "paid")) == ["[3]", "[1]"])
            #expect(try await keys(DeliveryFilter(notifier: "crm")) == ["[3]"])
            let row = try #require(try await database.rows().first)
            #expect(try await keys(DeliveryFilter(ids: [row.id.uppercased()])) == ["[1]"])
            #expect(try await keys(DeliveryFilter(ids: ["'; drop table x"])).isEmpty)
            #expect(row.status == "due" && row.milestone == "paid" && row.notifier == "warehouse" && row.attempts == 0)
            #expect(row.createdAt > 1_700_000_000_000_000 && row.nextAttemptAt == row.createdAt)
        }
    }

    /// What has been delivered does not make a claim slower: it is in none of the indexes that a claim reads.
    @Test func aClaimReadsOnlyTheOpenDeliveriesByIndex() async throws {
        try await TestDatabase.with { database in
            try await database.connection.execute(
                """
                insert into tidemark_internal.deliveries (id, projection, key, milestone, notifier, status, body)
                select gen_random_uuid(), 'orders', to_jsonb(array[i]), 'paid', 'warehouse', 'delivered', '{}'
                from generate_series(1, 20000) as i
                """
            )
            try await database.insert([(1, "shipped"), (1, "delivered"), (2, "shipped")])
            let connection = database.connection
            try await DeliveryStore.prepare(connection)
            let plan = try await connection.query(
                """
                explain (analyze, buffers) execute tm_delivery_claim(
                    array['warehouse'], array[100], array[60000000], array[true], array[null::bigint],
                    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', array[null::bigint]
                )
                """,
                resultFormat: .text
            )
            let lines = try (0..<plan.rowCount).map { try plan.text($0, 0) ?? "" }
            #expect(lines.contains { $0.contains("Index Scan using deliveries_due") })
            #expect(lines.contains { $0.contains("Index Scan using deliveries_open") })
            #expect(!lines.contains { $0.contains("Seq Scan") })
            let pages = lines.first { $0.contains("Buffers:") }
            let hits = try #require(pages?.firstMatch(of: /hit=([0-9]+)/).flatMap { Int($0.1) })
            #expect(hits < 200, "\(lines.joined(separator: "\n"))")
        }
    }

    /// Plans are made once, often while the table is empty. A result then still costs a look-up when there are many.
    @Test func aResultIsALookUpAlsoByAPlanForAnEmptyTable() async throws {
        try await TestDatabase.with { database in
            let connection = database.connection
            try await DeliveryStore.prepare(connection)
            let record = """
                execute tm_delivery_record(
                    array[1], array['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'], array['delivered'], array[0],
                    array[null::text], array[200], array[null::text], array[1000]
                )
                """
            try await connection.execute(record)
            try await database.insert((1...2000).map { ($0, "shipped") })
            let plan = try await connection.query("explain (analyze, buffers) " + record, resultFormat: .text)
            let lines = try (0..<plan.rowCount).map { try plan.text($0, 0) ?? "" }
            #expect(lines.contains { $0.contains("deliveries_pkey") }, "\(lines.joined(separator: "\n"))")
            let pages = lines.first { $0.contains("Buffers:") }
            let hits = try #require(pages?.firstMatch(of: /hit=([0-9]+)/).flatMap { Int($0.1) })
            #expect(hits < 20, "\(lines.joined(separator: "\n"))")
        }
    }
}
