import Foundation
import LibPQ
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore
import TidemarkTesting

/// Generated histories, in any order, repeated, split into batches and lanes in any way: the read model is always the
/// one that a model of a few lines arrives at, which shares no code with the projector.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct PropertyTests {
    private static let configuration = """
        sources:
          - { name: a, type: files, paths: ["*a.ndjson"] }
          - { name: b, type: files, paths: ["*b.ndjson"] }
        limits: { max_dead_letters: 100% }
        projections:
          - name: by_version
            from: [shop.orders]
            key: [tenant, id]
            sequence: version
            state: status
            columns: { tenant: text, id: bigint, status: text, version: "numeric(20,0)", amount: "numeric(12,2)", note: text, updated_at: timestamptz }
            \(Self.lifecycle)
          - name: by_position
            from: [shop.orders]
            key: id
            sequence: $position
            state: status
          - name: by_time
            from: [shop.*]
            key: id
            sequence: [$event_time, $position]
            state: status
            columns: { id: bigint, status: text, note: text }
            \(Self.lifecycle)
          - name: by_update
            from: [shop.orders]
            key: id
            sequence: [updated_at, version]
            state: status
            timeline: false
            columns: { id: bigint, status: text, version: "numeric(20,0)", updated_at: timestamptz }
            \(Self.lifecycle)
        notifiers:
          warehouse: { type: webhook, url: "https://warehouse.example/hooks", secret: "whsec_dGlkZW1hcmsgdGVzdCBzZWNyZXQgMDEyMzQ1Njc4OQ==" }
        """

    private static let lifecycle = """
        lifecycle: { initial: created, transitions: { created: [paid, cancelled], paid: [shipped, refunded], \
        shipped: [delivered, returned], delivered: [returned], returned: [shipped] } }
            milestones:
              paid: { state: paid }
              shipped: { state: shipped, notify: [warehouse], unless: [cancelled, returned] }
        """

    // MARK: The projections in the model's words

    private static func text(_ value: String?) -> Exact { Exact(value ?? "∅") }
    private static func number(_ value: Int128?) -> Exact { Self.text(value.map { "\($0)" }) }

    private static let shapes: [Shape] = {
        let bigint = Int128(Int64.min)...Int128(Int64.max)
        let status = "~ ->> 'status'"
        let micros = "(extract(epoch from (~ ->> 'updated_at')::timestamptz) * 1000000)::bigint"
        @Sendable func position(_ event: PlainEvent) -> Part? {
            guard event.position != nil || event.change == .snapshot else { return nil }
            return .position(event.position, isStreamed: event.change != .snapshot)
        }
        @Sendable func version(_ event: PlainEvent) -> Part? {
            event.flaw == .versionIsText || event.isKeyOnly ? nil : event.version.map(Part.number)
        }
        func list(_ expressions: [String], _ source: String) -> [String] {
            expressions.map { $0.replacingOccurrences(of: "~", with: source) }
        }
        let typed = [status, "~ ->> 'amount'", "~ ->> 'note'", "~ ->> 'version'", micros]
        let whole = [
            status, "~ ->> 'amount'", "~ ->> 'note'", "~ ->> 'version'", "~ ->> 'updated_at'", "~ ->> 'tenant'",
            "jsonb_typeof(~ -> 'id')",
        ]
        let row = "to_jsonb(t)"
        return [
            Shape(
                name: "by_version",
                key: { [Exact($0.tenant), Self.number($0.id)] },
                sequence: { event in version(event).map { [$0] } },
                content: { event in
                    [
                        Self.text(event.status), Self.text(event.amountText), Self.text(event.note),
                        Self.number(event.version), Self.number(event.updatedAt.map { Int128($0) }),
                    ]
                },
                hasMisfit: { event in
                    [.noteHoldsNUL, .amountTooLarge, .amountWouldBeRounded, .dateDoesNotExist].contains(event.flaw)
                },
                keyHasMisfit: { !bigint.contains($0.id) },
                imageSQL: list(typed, "image"),
                rowSQL: list(typed, row),
                keySQL: ["tenant", "id::text"]
            ),
            Shape(
                name: "by_position",
                key: { [Self.number($0.id)] },
                sequence: { event in position(event).map { [$0] } },
                content: { event in
                    [
                        Self.text(event.status), Self.text(event.amountText), Self.text(event.note),
                        Self.text(event.versionText), Self.text(event.updatedText), Exact(event.key.tenant),
                        Exact(event.isSpelledOtherwise ? "string" : "number"),
                    ]
                },
                hasMisfit: { $0.flaw == .noteHoldsNUL },
                keyHasMisfit: { _ in false },
                hasLifecycle: false,
                imageSQL: list(whole, "image"),
                rowSQL: list(whole, "t.row"),
                keySQL: ["id"]
            ),
            Shape(
                name: "by_time",
                key: { [Self.number($0.id)] },
                sequence: { event in
                    guard let time = event.time, let position = position(event) else { return nil }
                    return [.number(Int128(time)), position]
                },
                content: { event in [Self.text(event.status), Self.text(event.note)] },
                hasMisfit: { $0.flaw == .noteHoldsNUL },
                keyHasMisfit: { !bigint.contains($0.id) },
                imageSQL: list([status, "~ ->> 'note'"], "image"),
                rowSQL: list([status, "~ ->> 'note'"], row),
                keySQL: ["id::text"]
            ),
            Shape(
                name: "by_update",
                key: { [Self.number($0.id)] },
                sequence: { event in
                    guard event.flaw != .dateDoesNotExist, !event.isKeyOnly, let updated = event.updatedAt,
                        let version = version(event)
                    else { return nil }
                    return [.number(Int128(updated)), version]
                },
                content: { event in
                    [
                        Self.text(event.status), Self.number(event.version),
                        Self.number(event.updatedAt.map { Int128($0) }),
                    ]
                },
                hasMisfit: { _ in false },
                keyHasMisfit: { !bigint.contains($0.id) },
                keepsTimeline: false,
                imageSQL: [],
                rowSQL: list([status, "~ ->> 'version'", micros], row),
                keySQL: ["id::text"]
            ),
        ]
    }()

    // MARK: Arrivals

    /// Files in the order in which they are read, and how.
    private struct Arrival {
        var name: String
        /// One replay after the other.
        var replays: [[PlainEvent]]
        var lanes = 1
        var batchEvents = 10_000
        /// The same events in the same order as the arrival before: every verdict is the same too.
        var repeatsOrder = false
    }

    private static func arrivals(of events: [PlainEvent], _ number: Int, _ generator: inout SeededGenerator)
        -> [Arrival]
    {
        var repeated = events
        for event in events {
            for _ in 0..<Int.random(in: 0...2, using: &generator) { repeated.append(event) }
        }
        let half = events.shuffled(using: &generator)
        return [
            Arrival(name: "as committed", replays: [events]),
            Arrival(
                name: "as committed, other batches",
                replays: [events],
                lanes: 4,
                batchEvents: number % 5 == 0 ? 1 : 3,
                repeatsOrder: true
            ),
            Arrival(name: "reversed", replays: [events.reversed()], lanes: 2, batchEvents: 7),
            Arrival(name: "shuffled", replays: [repeated.shuffled(using: &generator)], lanes: 3),
            Arrival(
                name: "in two replays",
                replays: [Array(half.prefix(half.count / 2)), repeated.shuffled(using: &generator)],
                lanes: Int.random(in: 1...5, using: &generator),
                batchEvents: Int.random(in: 2...40, using: &generator)
            ),
        ]
    }

    /// Writes events as files of the sources a and b in turns.
    private static func write(_ events: [PlainEvent], _ prefix: String, in folder: URL) throws -> [URL] {
        var files: [URL] = []
        let size = max(1, events.count / 3)
        for (segment, start) in stride(from: 0, to: events.count, by: size).enumerated() {
            let part = events[start..<min(start + size, events.count)]
            for source in segment.isMultiple(of: 2) ? ["a", "b"] : ["b", "a"] {
                let file = folder.appendingPathComponent("\(prefix)-\(segment)-\(source).ndjson")
                let lines = part.filter { $0.source == source }.map { $0.line + "\n" }.joined()
                try Data(lines.utf8).write(to: file)
                files.append(file)
            }
        }
        return files
    }

    // MARK: The property

    private static var histories: Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_HISTORIES"].flatMap { Int($0) } ?? 150
    }

    @Test
    func noArrivalOrderRepetitionBatchOrLaneChangesTheResult() async throws {
        let generator = SeededGenerator.forTest("histories")
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let start = ContinuousClock.now
        let groups = (Self.histories + 9) / 10
        var events = 0
        var replays = 0
        for group in 0..<groups {
            var own = generator.fork(group)
            var history: [PlainEvent] = []
            for number in (group * 10)..<min(group * 10 + 10, Self.histories) {
                var maker = HistoryGenerator(number: number, own.fork(number))
                history += maker.events()
            }
            events += history.count
            var digests: [[ReadModelDigest]] = []
            var summary: PassSummary?
            for arrival in Self.arrivals(of: history, group, &own) {
                let outcome = try await withFolder { folder in
                    try await Self.run(arrival, in: folder, on: connection, database)
                }
                replays += arrival.replays.count
                let name: Comment = "seed \(generator.seed), histories \(group * 10)…, \(arrival.name)"
                try await Self.compare(arrival, outcome, on: connection, name)
                var found: [ReadModelDigest] = []
                for shape in Self.shapes {
                    let key = shape.name == "by_version" ? "tenant, id" : "id"
                    found.append(
                        try await ReadModelDigest(
                            table: shape.name,
                            key: key,
                            timeline: shape.keepsTimeline,
                            on: connection
                        )
                    )
                }
                if let first = digests.first { #expect(found == first, name) }
                digests.append(found)
                if arrival.repeatsOrder, var summary, var outcome {
                    (summary.elapsedSeconds, outcome.elapsedSeconds) = (0, 0)
                    #expect(outcome == summary, name)
                }
                summary = outcome
                try await Self.clear(connection)
            }
            try #require(digests.count == 5)
        }
        print("\(Self.histories) histories, \(events) events, \(replays) replays in \(ContinuousClock.now - start)")
        await connection.close()
    }

    /// - Returns: the summary, when there was one replay.
    private static func run(
        _ arrival: Arrival,
        in folder: URL,
        on connection: Connection,
        _ database: TestDatabase
    ) async throws -> PassSummary? {
        var summary: PassSummary?
        for (number, events) in arrival.replays.enumerated() {
            let files = try Self.write(events, "\(number)", in: folder)
            let outcome = try await replay(Self.configuration, files, on: connection, database) { request in
                request.configuration.lanes = arrival.lanes
                request.configuration.limits.batchEvents = arrival.batchEvents
            }
            try #require(outcome.ending == .finished)
            summary = outcome.summary
        }
        return arrival.replays.count == 1 ? summary : nil
    }

    private static func clear(_ connection: Connection) async throws {
        var tables = Self.shapes.flatMap { shape in
            ["entities", "milestones"].map { "\(shape.name)_\($0)" }
                + (shape.keepsTimeline ? ["\(shape.name)_events"] : [])
        }
        tables += ["deliveries", "dead_letters", "passes"]
        try await connection.execute(tables.map { "delete from tidemark_internal.\($0);" }.joined())
    }

    // MARK: Held against the model

    private static func compare(
        _ arrival: Arrival,
        _ summary: PassSummary?,
        on connection: Connection,
        _ name: Comment
    ) async throws {
        let events = arrival.replays.flatMap(\.self)
        var expected = PassSummary()
        for shape in Self.shapes {
            let timelines = shape.timelines(events)
            let ordered = try await Self.compareTimeline(shape, timelines, on: connection, name)
            try await Self.compareRows(shape, ordered, on: connection, name)
            if shape.keepsTimeline { try await Self.compareHistory(shape, ordered, on: connection, name) }
            try await Self.compareMilestones(shape, ordered, on: connection, name)
            expected.conflicts += Int64(shape.conflicts(timelines))
            expected.entities += Int64(timelines.count)
            for facts in timelines.values {
                for milestone in shape.milestones(facts) { expected.milestones[milestone.milestone, default: 0] += 1 }
            }
        }
        let letters = try await Self.compareDeadLetters(events, on: connection, name)
        guard let summary else { return }
        #expect(summary.messages == Int64(events.count), name)
        #expect(summary.deadLetters == Int64(letters), name)
        #expect(summary.conflicts == expected.conflicts, name)
        #expect(summary.entities == expected.entities, name)
        #expect(summary.milestones == expected.milestones, name)
        let accepted = Self.shapes.reduce(0) { sum, shape in
            sum
                + events.filter { $0.flaw != .cutLine && shape.reason($0) == nil }.reduce(0) {
                    $0 + shape.facts($1).count
                }
        }
        #expect(summary.events == Int64(accepted), name)
        #expect(summary.filtered == 0 && summary.control == 0, name)
    }

    private static func exact(_ rows: [[String]], key: Int) -> [[Exact]: [[Exact]]] {
        Dictionary(grouping: rows.map { $0.map(Exact.init) }) { Array($0.prefix(key)) }
            .mapValues { $0.map { Array($0.dropFirst(key)) } }
    }

    /// Compares the timeline as a set, and its order as far as the model knows it.
    /// - Returns: the model's timelines, events that only a digest tells apart in the order that they turned out to have.
    private static func compareTimeline(
        _ shape: Shape,
        _ timelines: [[Exact]: [Fact]],
        on connection: Connection,
        _ name: Comment
    ) async throws -> [[Exact]: [Fact]] {
        guard shape.keepsTimeline else { return timelines }
        let cells =
            shape.keySQL + [
                "op", "state", "(extract(epoch from event_time) * 1000000)::bigint", "source", "position",
            ] + shape.imageSQL
        let rows = try await connection.rows(
            "select \(cells.joined(separator: ", ")) from \(shape.name)_timeline order by "
                + shape.keySQL.joined(separator: ", ") + ", order_key"
        )
        let found = Self.exact(rows, key: shape.keySQL.count)
        #expect(Set(found.keys) == Set(timelines.keys), "\(name) \(shape.name): entities")
        var ordered: [[Exact]: [Fact]] = [:]
        for (key, facts) in timelines {
            let rows = found[key] ?? []
            guard rows.count == facts.count else {
                Issue.record("\(name) \(shape.name) \(key): \(rows.count) events in the timeline, not \(facts.count)")
                continue
            }
            var rest = facts
            for row in rows {
                // The least rank that is left, and among its events the one with this content.
                let rank = rest[0].rank
                guard
                    let match = rest.firstIndex(where: { fact in
                        fact.rank == rank && (fact.rank.isDelete || fact.content == Array(row.dropFirst(5)))
                    })
                else {
                    Issue.record("\(name) \(shape.name) \(key): \(row) is not where \(rest[0]) belongs")
                    break
                }
                let fact = rest.remove(at: match)
                let shown = [
                    Exact(fact.change), Self.text(fact.state), Self.number(fact.time.map { Int128($0) }),
                    Exact(fact.source), fact.position ?? Exact("∅"),
                ]
                #expect(Array(row.prefix(5)) == shown, "\(name) \(shape.name) \(key)")
                ordered[key, default: []].append(fact)
            }
        }
        return ordered
    }

    private static func compareRows(
        _ shape: Shape,
        _ timelines: [[Exact]: [Fact]],
        on connection: Connection,
        _ name: Comment
    ) async throws {
        let cells = shape.keySQL + ["(extract(epoch from _event_time) * 1000000)::bigint"] + shape.rowSQL
        let rows = try await connection.rows("select \(cells.joined(separator: ", ")) from \(shape.name) as t")
        let found = Self.exact(rows, key: shape.keySQL.count)
        for (key, facts) in timelines {
            guard let last = facts.last, !last.rank.isDelete else {
                #expect(found[key] == nil, "\(name) \(shape.name) \(key) is deleted")
                continue
            }
            // Without a timeline nobody says which of those that only a digest tells apart is the greatest.
            let greatest = shape.keepsTimeline ? [last] : facts.filter { $0.rank == last.rank }
            let expected = greatest.map { [Self.number($0.time.map { Int128($0) })] + $0.content }
            #expect(found[key]?.count == 1 && expected.contains(found[key]![0]), "\(name) \(shape.name) \(key)")
        }
        #expect(Set(found.keys).isSubset(of: timelines.keys), name)
    }

    private static func compareHistory(
        _ shape: Shape,
        _ timelines: [[Exact]: [Fact]],
        on connection: Connection,
        _ name: Comment
    ) async throws {
        let rowSQL = shape.rowSQL.map { $0 }
        let cells =
            shape.keySQL + [
                "(extract(epoch from valid_from) * 1000000)::bigint",
                "(extract(epoch from valid_to) * 1000000)::bigint",
            ] + rowSQL
        let rows = try await connection.rows("select \(cells.joined(separator: ", ")) from \(shape.name)_history as t")
        let found = Self.exact(rows, key: shape.keySQL.count).mapValues {
            $0.sorted { $0.lexicographicallyPrecedes($1) }
        }
        for (key, facts) in timelines {
            var begins: [Int64?] = []
            for fact in facts { begins.append([begins.last ?? nil, fact.time].compactMap(\.self).max()) }
            let versions = facts.indices.filter { !facts[$0].rank.isDelete }.map { index in
                let end = index + 1 < facts.count ? begins[index + 1] : nil
                return [Self.number(begins[index].map { Int128($0) }), Self.number(end.map { Int128($0) })]
                    + facts[index].content
            }
            let expected = versions.sorted { $0.lexicographicallyPrecedes($1) }
            #expect(found[key] ?? [] == expected, "\(name) \(shape.name) \(key)")
        }
    }

    private static func compareMilestones(
        _ shape: Shape,
        _ timelines: [[Exact]: [Fact]],
        on connection: Connection,
        _ name: Comment
    ) async throws {
        let rows = try await connection.rows(
            "select \(shape.keySQL.joined(separator: ", ")), milestone, state, muted from \(shape.name)_milestones"
        )
        let found = Self.exact(rows, key: shape.keySQL.count)
        var shipped: [String: Int] = [:]
        for (key, facts) in timelines {
            let expected = shape.milestones(facts)
            let reached = (found[key] ?? []).sorted { $0[0] < $1[0] }
            #expect(reached.map(\.[0]) == expected.map { Exact($0.milestone) }, "\(name) \(shape.name) \(key)")
            for (row, milestone) in zip(reached, expected) {
                let states = shape.keepsTimeline ? [milestone.states[0]] : milestone.states
                #expect(states.map(Exact.init).contains(row[1]) && row[2] == Exact("f"), "\(name) \(shape.name) \(key)")
            }
            guard expected.contains(where: { $0.milestone == "shipped" }), let last = facts.last else { continue }
            let isHeld = last.state == "cancelled" || last.state == "returned"
            // Where a digest decides on the state, either may be right.
            if !shape.keepsTimeline, facts.count(where: { $0.rank == last.rank }) > 1 { continue }
            shipped[isHeld ? "held" : "due", default: 0] += 1
        }
        guard shape.keepsTimeline else { return }
        let counts = try await connection.rows(
            "select status, count(*) from tidemark.deliveries where projection = '\(shape.name)' group by status"
        )
        #expect(
            Dictionary(uniqueKeysWithValues: counts.map { ($0[0], Int($0[1]) ?? 0) }) == shipped,
            "\(name) \(shape.name)"
        )
    }

    /// - Returns: how many occurrences there were.
    private static func compareDeadLetters(
        _ events: [PlainEvent],
        on connection: Connection,
        _ name: Comment
    ) async throws -> Int {
        var expected: [[Exact]: Int] = [:]
        for event in events {
            if event.flaw == .cutLine {
                expected[[Exact("∅"), Exact(event.line), Exact("malformed_json")], default: 0] += 1
                continue
            }
            for shape in Self.shapes {
                guard let reason = shape.reason(event) else { continue }
                expected[[Exact(shape.name), Exact(event.line), Exact(reason)], default: 0] += 1
            }
        }
        let rows = try await connection.rows(
            "select projection, convert_from(raw, 'UTF8'), reason, count from tidemark.dead_letters"
        )
        var found: [[Exact]: Int] = [:]
        for row in rows { found[row.prefix(3).map(Exact.init)] = Int(row[3]) }
        #expect(found == expected, name)
        return expected.values.reduce(0, +)
    }
}
