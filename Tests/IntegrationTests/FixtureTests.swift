import Foundation
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkSources
import TidemarkStore
import TidemarkTesting

/// `fixtures/`: one history of a small shop in every format, and the rows it must end in, worked out without Tidemark.
@Suite(.serialized, .freshDatabase, .timeLimit(.minutes(15)))
struct FixtureTests {
    // MARK: Any arrival

    @Test(arguments: ShopLog.allCases)
    func `every arrival of a log ends in the expected rows`(of log: ShopLog) async throws {
        for arrival in try Self.arrivals(of: log) {
            let result = try await FixtureReplay.run(log, arrival)
            try Self.expectRows(result, of: log, after: "\(arrival)")
            try Self.expectAccounts(result, of: log, after: arrival)
        }
    }

    /// In order, backwards and shuffled, once and repeated, in batches of 1, 7 and 10,000, with 1 and 4 lanes: each
    /// with the others in turn.
    private static func arrivals(of log: ShopLog) throws -> [Arrival] {
        var generator = SeededGenerator.forTest("\(log.rawValue), arrivals")
        let count = try log.messages.count
        let (inOrder, reversed) = (Arrival.inOrder(count), Arrival.reversed(count))
        var arrivals = [
            inOrder.worked(inBatchesOf: 1, lanes: 1),
            inOrder.repeated(by: &generator).worked(inBatchesOf: 7, lanes: 4),
            inOrder.repeated(by: &generator).worked(inBatchesOf: 10_000, lanes: 4),
            reversed.worked(inBatchesOf: 7, lanes: 1),
            reversed.worked(inBatchesOf: 10_000, lanes: 4),
            reversed.repeated(by: &generator).worked(inBatchesOf: 1, lanes: 4),
        ]
        // A batch of one is a transaction of its own, so those are the few.
        let ways = [(7, 1), (10_000, 4), (7, 4), (10_000, 1), (7, 4), (10_000, 4)]
        for number in 0..<20 {
            let (batch, lanes) = number == 5 ? (1, 4) : number == 15 ? (1, 1) : ways[number % ways.count]
            let repeated = inOrder.repeated(by: &generator)
            let name = "shuffle \(number) of seed \(generator.seed)"
            var arrival = repeated.shuffled(by: &generator, name).worked(inBatchesOf: batch, lanes: lanes)
            arrival.hasCache = number % 4 != 3
            arrivals.append(arrival)
        }
        return arrivals
    }

    @Test(arguments: ShopLog.allCases)
    func `a verdict does not depend on batches and lanes`(of log: ShopLog) async throws {
        var generator = SeededGenerator.forTest("\(log.rawValue), verdicts")
        let arrival = Arrival.inOrder(try log.messages.count).repeated(by: &generator)
            .shuffled(by: &generator, "a shuffle of seed \(generator.seed)")
        let first = try await FixtureReplay.run(log, arrival.worked(inBatchesOf: 1, lanes: 1)).summary.counts
        for (batch, lanes) in [(7, 4), (10_000, 1)] {
            let way = arrival.worked(inBatchesOf: batch, lanes: lanes)
            let other = try await FixtureReplay.run(log, way).summary.counts
            #expect(other == first, "\(way)")
        }
    }

    @Test(arguments: ShopLog.allCases)
    func `a log read again changes nothing`(of log: ShopLog) async throws {
        let arrival = Arrival.inOrder(try log.messages.count).worked(inBatchesOf: 7, lanes: 4)
        let result = try await FixtureReplay.withFolder { folder in
            let path = folder.appending(path: log.fileName)
            try FixtureReplay.write(log.messages, to: path)
            var configuration = try log.configuration(in: folder)
            configuration.lanes = arrival.lanes
            configuration.limits.batchEvents = arrival.batch
            return try await FixtureReplay.run(configuration, [path.path], comparedWith: log, times: 2)
        }
        try Self.expectRows(result, of: log, after: "reading it twice")
        let expected = try log.summary()
        #expect(result.summary.applied == 0)
        #expect(result.summary.late == 0)
        #expect(result.summary.duplicate == expected.events - expected.filtered)
        #expect(result.summary.conflicts == 0)
        #expect(result.summary.entities == expected.entities)
        #expect(result.summary.milestones.values.allSatisfy { $0 == 0 })
        #expect(result.deadLetters.allSatisfy { $0.count == 2 })
    }

    @Test(arguments: ShopLog.allCases)
    func `without a timeline the rows and milestones are the same`(of log: ShopLog) async throws {
        var generator = SeededGenerator.forTest("\(log.rawValue), no timeline")
        let inOrder = Arrival.inOrder(try log.messages.count)
        for (batch, lanes) in [(7, 1), (7, 4), (10_000, 4)] {
            let arrival = inOrder.repeated(by: &generator)
                .shuffled(by: &generator, "a shuffle of seed \(generator.seed)").worked(
                    inBatchesOf: batch,
                    lanes: lanes
                )
            let result = try await FixtureReplay.run(log, arrival) { configuration in
                for index in configuration.projections.indices { configuration.projections[index].timeline = false }
            }
            try Self.expectRows(result, of: log, after: "\(arrival)", in: [.orders, .milestones, .items])
            #expect(result.summary.milestones == (try log.summary().milestones), "\(arrival)")
        }
    }

    // MARK: Counts

    @Test(arguments: ShopLog.allCases, [false, true])
    func `a replay counts every message and every verdict`(of log: ShopLog, backwards: Bool) async throws {
        let count = try log.messages.count
        let arrival = backwards ? Arrival.reversed(count) : .inOrder(count)
        let summary = try await FixtureReplay.run(log, arrival).summary
        var expected = try log.summary(reversed: backwards)
        expected.bytes = Int64(try log.messages.reduce(0) { $0 + $1.count + 1 })
        #expect(summary.counts == expected)
        #expect(summary.events == expected.events)
    }

    @Test(arguments: ShopLog.allCases)
    func `a dry run counts what the replay counts`(of log: ShopLog) async throws {
        let count = try log.messages.count
        for arrival in [Arrival.inOrder(count), .reversed(count)] {
            let real = try await FixtureReplay.run(log, arrival).summary
            let dry = try await FixtureReplay.withFolder { folder in
                let path = folder.appending(path: log.fileName)
                let messages = try log.messages
                try FixtureReplay.write(arrival.places.map { messages[$0] }, to: path)
                let dryRun = DryRun(try log.configuration(in: folder))
                let (summary, problem) = try await dryRun.run(try InputResolver.resolve([path.path]))
                #expect(problem == nil)
                return summary
            }
            #expect(dry.counts == real.counts, "\(arrival)")
        }
    }

    // MARK: Dead letters

    @Test(arguments: ShopLog.allCases)
    func `a bad row is a dead letter with its place, and the others of its message count`(of log: ShopLog) async throws
    {
        let messages = try log.messages
        let result = try await FixtureReplay.run(log, .inOrder(messages.count))
        let expected = try log.deadLetters
        try #require(result.deadLetters.count == expected.count)
        for (letter, expected) in zip(result.deadLetters, expected) {
            #expect(letter.position.hasSuffix("/\(log.fileName):\(expected.line)"))
            #expect(letter.row == expected.row)
            #expect(letter.projection == expected.projection)
            #expect(letter.reason == expected.reason)
            #expect(letter.detail.contains(expected.name), "\(letter.detail)")
            #expect(letter.raw == messages[expected.line - 1])
            #expect(letter.count == 1)
        }
    }

    @Test(arguments: ShopLog.allCases)
    func `a dead letter that comes again is counted`(of log: ShopLog) async throws {
        var generator = SeededGenerator.forTest("\(log.rawValue), dead letters")
        let messages = try log.messages
        let arrival = Arrival.inOrder(messages.count).repeated(by: &generator)
            .shuffled(by: &generator, "a shuffle of seed \(generator.seed)").worked(inBatchesOf: 7, lanes: 4)
        let result = try await FixtureReplay.run(log, arrival)
        let expected = try log.deadLetters
        try #require(result.deadLetters.count == expected.count, "\(arrival)")
        for letter in expected {
            let found = result.deadLetters.first { $0.raw == messages[letter.line - 1] && $0.row == letter.row }
            #expect(found?.reason == letter.reason, "\(arrival)")
            #expect(found?.projection == letter.projection, "\(arrival)")
            let copies = arrival.places.count { $0 == letter.line - 1 }
            #expect(found?.count == Int64(copies), "\(arrival)")
        }
    }

    @Test func `ordered by a column, a delete that carries only its key is a dead letter`() async throws {
        let log = ShopLog.debeziumPostgres
        let messages = try log.messages
        let result = try await FixtureReplay.run(log, .inOrder(messages.count)) { configuration in
            for index in configuration.projections.indices where configuration.projections[index].name == "orders" {
                configuration.projections[index].sequence = [.column("version", type: nil)]
            }
        }
        let letters = result.deadLetters.filter { $0.reason == "sequence_missing" }
        let isDelete = { (message: [UInt8]) in String(decoding: message, as: UTF8.self).contains(#""op":"d""#) }
        let isOrder = { (message: [UInt8]) in String(decoding: message, as: UTF8.self).contains(#""table":"orders""#) }
        #expect(Set(letters.map(\.raw)) == Set(messages.filter { isDelete($0) && isOrder($0) }))
        for letter in letters {
            #expect(letter.detail.contains("\"version\"") && letter.detail.contains("REPLICA IDENTITY FULL"))
        }
    }

    // MARK: Formats

    @Test(arguments: ShopLog.allCases)
    func `a log whose format is named ends as one whose format is recognised`(of log: ShopLog) async throws {
        let arrival = Arrival.inOrder(try log.messages.count)
        let result = try await FixtureReplay.run(log, arrival) { configuration in
            for index in configuration.sources.indices where configuration.sources[index].name == log.rawValue {
                configuration.sources[index].settings.format = log.format
            }
        }
        try Self.expectRows(result, of: log, after: "\(log.format)")
    }

    @Test func `four pipelines at once end in the rows of one`() async throws {
        let logs = [ShopLog.maxwell, .debeziumMySQL, .debeziumFlattened, .tidemark]
        var generator = SeededGenerator.forTest("four pipelines")
        for round in 0..<4 {
            let result = try await FixtureReplay.withFolder { folder in
                var paths: [String] = []
                for log in logs.shuffled(using: &generator) {
                    let path = folder.appending(path: log.fileName)
                    try FixtureReplay.write(log.messages.shuffled(using: &generator), to: path)
                    paths.append(path.path)
                }
                var configuration = try ShopLog.maxwell.configuration(in: folder)
                configuration.lanes = round.isMultiple(of: 2) ? 1 : 4
                configuration.limits.batchEvents = round < 2 ? 7 : 10_000
                return try await FixtureReplay.run(configuration, paths, comparedWith: .maxwell)
            }
            try Self.expectRows(result, of: .maxwell, after: "round \(round) of seed \(generator.seed)")
            #expect(result.summary.applied + result.summary.late == result.timelineCount)
            #expect(result.summary.entities == (try ShopLog.maxwell.summary().entities))
        }
    }

    // MARK: The demo

    @Test func `the demo's arrival holds the whole log, out of order and repeated`() throws {
        let log = try ShopLog.maxwell.messages
        let data = try Data(contentsOf: ShopLog.fixtures.appending(path: "demo/arrival.ndjson"))
        let arrival = ShopLog.lines(of: data)
        #expect(Set(arrival) == Set(log))
        #expect(arrival.count > log.count)
        #expect(Array(arrival.prefix(log.count)) != log)
    }

    @Test func `the demo ends in the shop's orders, each "shipped" due once`() async throws {
        let log = ShopLog.maxwell
        let configuration = try ShopLog.configuration(
            "demo/tidemark.yaml",
            in: ShopLog.fixtures.appending(path: "demo")
        )
        let path = ShopLog.fixtures.appending(path: "demo/arrival.ndjson").path
        let result = try await FixtureReplay.run(configuration, [path], comparedWith: log)
        try Self.expectRows(result, of: log, after: "the demo", in: [.orders, .timeline, .history])
        #expect(result.summary.milestones == ["shipped": try log.summary().milestones["shipped"] ?? 0])
        #expect(result.deliveries == ["due": result.summary.milestones["shipped"]])
        #expect(result.summary.late > 0)
        #expect(result.summary.duplicate > 0)
    }

    // MARK: Comparing

    private static func expectRows(
        _ result: ReplayResult,
        of log: ShopLog,
        after arrival: String,
        in relations: [Relation] = Relation.allCases
    ) throws {
        for relation in relations {
            let actual = relation.comparable(try #require(result.rows[relation]))
            let expected = relation.comparable(try log.rows(of: relation))
            guard actual != expected else { continue }
            let missing = expected.filter { !actual.contains($0) }.map { "- " + String(decoding: $0, as: UTF8.self) }
            let surplus = actual.filter { !expected.contains($0) }.map { "+ " + String(decoding: $0, as: UTF8.self) }
            let difference = (missing + surplus).joined(separator: "\n")
            Issue.record("\(log.rawValue), \(relation.rawValue), after \(arrival):\n\(difference)")
        }
    }

    /// Every message is counted as what it is, and every distinct event has been applied or late once.
    private static func expectAccounts(_ result: ReplayResult, of log: ShopLog, after arrival: Arrival) throws {
        let accounts = try log.accounts
        let (summary, expected) = (result.summary, try log.summary())
        func sum(_ part: KeyPath<ShopLog.Account, Int64>) -> Int64 {
            arrival.places.reduce(0) { $0 + accounts[$1][keyPath: part] }
        }
        #expect(summary.messages == Int64(arrival.places.count), "\(arrival)")
        #expect(summary.control == sum(\.control), "\(arrival)")
        #expect(summary.filtered == sum(\.filtered), "\(arrival)")
        #expect(summary.deadLetters == sum(\.deadLetters), "\(arrival)")
        #expect(summary.events == sum(\.events) + sum(\.filtered), "\(arrival)")
        #expect(summary.applied + summary.late == result.timelineCount, "\(arrival)")
        #expect(summary.entities == expected.entities, "\(arrival)")
        #expect(summary.conflicts == expected.conflicts, "\(arrival)")
        #expect(summary.milestones == expected.milestones, "\(arrival)")
        #expect(result.deadLetters.reduce(0) { $0 + $1.count } == sum(\.deadLetters), "\(arrival)")
    }
}

extension ShopLog {
    fileprivate var format: SourceSettings.Format {
        switch self {
        case .maxwell: .maxwell
        case .debeziumMySQL, .debeziumFlattened, .debeziumPostgres: .debezium
        case .canal: .canal
        case .tidemark: .tidemark
        }
    }
}

extension PassSummary {
    /// Without the time it took.
    fileprivate var counts: PassSummary {
        var counts = self
        counts.elapsedSeconds = 0
        return counts
    }
}
