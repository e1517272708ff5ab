import Foundation
import LibPQ
import Testing
import TidemarkReceiver
import TidemarkTesting

/// `kill -9` during a rebuild, while it builds, before it swaps and in the middle of the swap: it ends as a fresh replay
/// would, and nobody is told twice.
@Suite(.freshDatabase, .serialized, .timeLimit(.minutes(15)))
struct RebuildKillTests {
    /// The configuration that the rows were made with, and the one that they are made anew with.
    private static func configurations(url: String, sequence: String) -> (old: String, new: String) {
        var orders = RebuildPlace.Orders()
        orders.url = url
        orders.columns = "id: bigint, customer: text, status: text, version: integer, updated_at: timestamptz"
        orders.transitions =
            "created: [paid, cancelled], paid: [shipped, refunded], shipped: [delivered, returned], "
            + "delivered: [completed, returned]"
        let old = orders.yaml
        orders.milestones += ", paid: { state: paid, notify: [warehouse] }"
        orders.sequence = sequence
        orders.columns += ", amount: \"numeric(12,2)\""
        return (old, orders.yaml)
    }

    @Test(arguments: [true, false])
    func killedTenTimesItEndsAsAFreshReplayAndTheReceiverSawEachMilestoneOnce(fromFiles: Bool) async throws {
        var generator = SeededGenerator.forTest("rebuild kills, \(fromFiles ? "files" : "timeline")")
        try await WebhookReceiver.with { receiver in
            try await RebuildPlace.with { place in
                let log = place.folder.appendingPathComponent("orders.ndjson")
                let written = try GeneratedLog(
                    orders: 2500,
                    seed: generator.next(),
                    arrival: .windowShuffled(2000),
                    repeatedPercent: 3
                ).write(to: log.path)
                // The timeline holds what was kept: there the new version has the columns that the old one had.
                let (old, new) = Self.configurations(url: receiver.url, sequence: fromFiles ? "updated_at" : "version")
                try place.configure(
                    fromFiles ? old : old.replacing("timestamptz }", with: "timestamptz, amount: \"numeric(12,2)\" }")
                )
                try await place.succeed("replay", log.path)
                try #require(await receiver.requests.count == written.shipped)
                try place.configure(new)
                let options = ["--batch-events", "40", "--lanes", "2", "--json"]
                let arguments = ["rebuild", "orders"] + (fromFiles ? [log.path] : []) + options
                try await self.kill(arguments, 10, in: place, &generator)
                let last = try await place.start(arguments).result()
                try #require(last.status == 0, "\(last.error)")
                #expect(try last.json()["resumed"] as? Bool == true)
                #expect(try last.json()["swapped"] as? Bool == true)
                #expect(try await place.leftovers().isEmpty)
                try await self.compare(place, log, receiver, shipped: written.shipped)
                try await place.succeed("verify", "orders")
            }
        }
    }

    private func compare(
        _ place: RebuildPlace,
        _ log: URL,
        _ receiver: WebhookReceiver,
        shipped: Int
    ) async throws {
        let actual = try await place.withConnection { try await ReadModelDigest(table: "orders", key: "id", on: $0) }
        let (expected, paid) = try await TestDatabase.with {
            var fresh = place
            fresh.database = .current
            try await fresh.succeed("replay", "--no-deliver", log.path)
            let digest = try await fresh.withConnection {
                try await ReadModelDigest(table: "orders", key: "id", on: $0)
            }
            let paid = try await fresh.value("select count(*) from orders_milestones where milestone = 'paid'")
            return (digest, Int(paid) ?? 0)
        }
        for relation in ["orders", "timeline", "history", "milestones"] {
            #expect(actual.relations[relation] == expected.relations[relation], "\(relation)")
        }
        // Those that "paid" was new for are told of it, and nobody anew of "shipped".
        let told = await receiver.requests
        #expect(told.count == shipped + paid)
        // Counted by the receiver for each identifier.
        #expect(told.allSatisfy { $0.attempt == 1 })
        let types = told.map { String(decoding: $0.body, as: UTF8.self).contains("\"orders.shipped\"") }
        #expect(types.count { $0 } == shipped)
        #expect(
            try await place.value("select count(*) from tidemark.deliveries where status <> 'delivered'") == "0"
        )
    }

    // MARK: Killing

    /// The last two strike when everything is built, and when the swap waits for a reader.
    private func kill(
        _ arguments: [String],
        _ kills: Int,
        in place: RebuildPlace,
        _ generator: inout SeededGenerator
    ) async throws {
        try await place.withConnection { observer in
            for _ in 0..<(kills - 2) {
                let before = try await Self.progress(observer)
                let process = try place.start(arguments)
                try await Self.until(process) { try await Self.progress(observer) != before }
                // A moment, not a wait for anything.
                try await Task.sleep(for: .microseconds(Int.random(in: 0...4000, using: &generator)))
                try await Self.end(process, observer)
            }
            try await observer.execute("begin; lock table orders in access share mode")
            for hasToWait in [false, true] {
                let process = try place.start(arguments)
                try await Self.until(process) {
                    try await observer.number(
                        hasToWait
                            ? "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'"
                            : "select count(*) from tidemark_internal.rebuilds where is_built"
                    ) > 0
                }
                process.kill()
                let result = try await process.result()
                #expect(result.signal == SIGKILL, "\(result.error)")
            }
            try await observer.execute("commit")
            try await Self.untilServerHasNoticed(observer)
            #expect(try await observer.number("select count(*) from tidemark_internal.rebuilds where is_built") == 1)
        }
    }

    private static func progress(_ observer: Connection) async throws -> String {
        guard try await observer.value("select to_regclass('tidemark_internal.rebuilds')") != "∅" else { return "" }
        return try await observer.value(
            """
            select coalesce(string_agg(concat_ws(',', pass, lane, "offset", "row", is_at_end), ';'
                order by pass, lane), '')
            from tidemark.progress
            """
        )
    }

    private static func until(_ process: TidemarkProcess, _ condition: () async throws -> Bool) async throws {
        while !process.isOver {
            if try await condition() { return }
            try Task.checkCancellation()
        }
        let result = try await process.result()
        Issue.record("the rebuild was over before it was killed: \(result.status) \(result.error)")
    }

    private static func end(_ process: TidemarkProcess, _ observer: Connection) async throws {
        process.kill()
        let result = try await process.result()
        #expect(result.signal == SIGKILL, "\(result.status) \(result.error)")
        try await Self.untilServerHasNoticed(observer)
    }

    /// The server notices the death of a client only at its next word.
    private static func untilServerHasNoticed(_ observer: Connection) async throws {
        let pid = observer.backendPID
        while try await observer.number(
            """
            select count(*) from pg_stat_activity
            where datname = current_database() and backend_type = 'client backend' and pid <> \(pid)
            """
        ) > 0 { try Task.checkCancellation() }
    }

    // MARK: A database that goes away

    /// Replays a log of so many orders.
    /// - Returns: the log, and what it has come to.
    private static func replay(
        orders: Int,
        window: Int,
        in place: RebuildPlace
    ) async throws -> (log: URL, digest: ReadModelDigest) {
        let log = place.folder.appendingPathComponent("orders.ndjson")
        _ = try GeneratedLog(orders: orders, seed: 3, arrival: .windowShuffled(window), repeatedPercent: 5)
            .write(to: log.path)
        try place.configure(Shop.projection)
        try await place.succeed("replay", "--no-deliver", log.path)
        return (log, try await Self.digest(of: place))
    }

    private static func digest(of place: RebuildPlace) async throws -> ReadModelDigest {
        try await place.withConnection {
            try await ReadModelDigest(table: "orders", key: "id", includesArrival: true, on: $0)
        }
    }

    @Test(arguments: [true, false])
    func aLostAnswerToACommitAndAServerThatIsAwayForAWhileChangeNothing(fromFiles: Bool) async throws {
        try await RebuildPlace.with { place in
            let (log, before) = try await Self.replay(orders: 1200, window: 500, in: place)
            let proxy = try HoldingProxy(to: ServerAddress(conninfo: place.database.url))
            defer { proxy.close() }
            let process = try TidemarkProcess(
                ["rebuild", "orders", "--batch-events", "20", "--lanes", "2", "--no-deliver", "--json"]
                    + (fromFiles ? [log.path] : []),
                environment: ["DATABASE_URL": proxy.address.replacing(in: place.database.url)],
                directory: place.folder
            ) { proxy.poke() }
            try await place.withConnection { observer in
                for _ in 0..<3 {
                    let progress = try await Self.progress(observer)
                    try await Self.until(process) { try await Self.progress(observer) != progress }
                    proxy.holdCommits()
                    try #require(await proxy.untilCommitIsHeld(orUntil: { process.isOver }))
                    proxy.cut(refusing: true)
                    await proxy.untilRefused(4, orUntil: { process.isOver })
                    proxy.accept()
                }
            }
            let result = try await process.result()
            try #require(result.status == 0, "\(result.error)")
            let after = try await Self.digest(of: place)
            // Which of two is late is for the order in which lanes read: the log is the same, and so is theirs.
            #expect(after == before)
            #expect(try await place.leftovers().isEmpty)
        }
    }

    /// One rebuild for each of its commits, from the first, with nothing to go on from yet, to the swap.
    @Test(arguments: [true, false])
    func aLostAnswerToWhicheverCommitChangesNothing(fromFiles: Bool) async throws {
        try await RebuildPlace.with { place in
            let (log, before) = try await Self.replay(orders: 30, window: 50, in: place)
            let proxy = try HoldingProxy(to: ServerAddress(conninfo: place.database.url))
            defer { proxy.close() }
            var lost = 0
            while true {
                proxy.holdCommits(after: lost)
                let process = try TidemarkProcess(
                    ["rebuild", "orders", "--lanes", "1", "--no-deliver", "--json"] + (fromFiles ? [log.path] : []),
                    environment: ["DATABASE_URL": proxy.address.replacing(in: place.database.url)],
                    directory: place.folder
                ) { proxy.poke() }
                let isHeld = await proxy.untilCommitIsHeld(orUntil: { process.isOver })
                proxy.cut(refusing: false)
                let result = try await process.result()
                try #require(result.status == 0, "commit \(lost): \(result.error)")
                #expect(try result.json()["swapped"] as? Bool == true, "commit \(lost)")
                let after = try await Self.digest(of: place)
                #expect(after == before, "commit \(lost)")
                guard isHeld else { break }
                lost += 1
            }
            print("\(lost) commits of a rebuild, each of them lost once")
            #expect(lost > 5)
            #expect(try await place.leftovers().isEmpty)
        }
    }

    // MARK: Signals

    @Test
    func aSignalEndsItInOrderAndTheSameCommandGoesOn() async throws {
        try await RebuildPlace.with { place in
            let log = place.folder.appendingPathComponent("orders.ndjson")
            _ = try GeneratedLog(orders: 1500, seed: 7, arrival: .inOrder).write(to: log.path)
            try place.configure(Shop.projection)
            try await place.succeed("replay", "--no-deliver", log.path)
            let arguments = [
                "rebuild", "orders", log.path, "--batch-events", "10", "--lanes", "1", "--no-deliver", "--json",
            ]
            for (signal, status) in [(SIGINT, 130), (SIGTERM, 143)] as [(Int32, Int32)] {
                try await place.withConnection { observer in
                    let before = try await Self.progress(observer)
                    let process = try place.start(arguments)
                    try await Self.until(process) { try await Self.progress(observer) != before }
                    process.send(signal)
                    let result = try await process.result()
                    #expect(result.status == status, "\(result.error)")
                    #expect(try result.json()["swapped"] as? Bool == false)
                }
            }
            let last = try await place.start(arguments).result()
            #expect(last.status == 0, "\(last.error)")
            #expect(try last.json()["resumed"] as? Bool == true)
        }
    }

    @Test
    func readersNeverWaitAndNeverSeeAnythingInBetween() async throws {
        try await RebuildPlace.with { place in
            let log = place.folder.appendingPathComponent("orders.ndjson")
            let written = try GeneratedLog(orders: 800, seed: 11, arrival: .inOrder).write(to: log.path)
            try place.configure(Shop.projection)
            try await place.succeed("replay", "--no-deliver", log.path)
            try await place.withConnection { patient in
                // A reader who stays: the swap gives way to others while it waits for this one.
                try await patient.execute("begin; select count(*) from orders")
                let process = try place.start(["rebuild", "orders", log.path, "--no-deliver", "--json"])
                try await place.withConnection { reader in
                    try await reader.execute("set statement_timeout = '20s'")
                    var hasWaited = false
                    while !hasWaited, !process.isOver {
                        #expect(try await reader.number("select count(*) from orders") == written.entities)
                        #expect(try await reader.number("select count(*) from orders_history") == written.historyRows)
                        hasWaited =
                            try await reader.number(
                                "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'"
                            ) > 0
                    }
                    #expect(hasWaited)
                    #expect(try await reader.number("select count(*) from orders") == written.entities)
                    #expect(try await patient.number("select count(*) from orders_timeline") == written.events)
                    try await patient.execute("commit")
                    while !process.isOver {
                        #expect(try await reader.number("select count(*) from orders") == written.entities)
                    }
                }
                let result = try await process.result()
                #expect(result.status == 0, "\(result.error)")
            }
        }
    }
}
