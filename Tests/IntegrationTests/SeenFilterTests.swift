import Foundation
import LibPQ
import Logging
import Testing
import TidemarkConfiguration
import TidemarkCore
@testable import TidemarkStore
import TidemarkProjector
import TidemarkSources
import TidemarkStore
import TidemarkTesting

/// A lane knows what is not there, as long as nobody else writes.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct SeenFilterTests {
    @Test("What was noted is known, and hardly anything else")
    func knowsWhatWasNoted() throws {
        let filter = try SeenFilter(byteCount: 1 << 20)
        func entity(_ number: Int) -> KeyHash {
            withUnsafeBytes(of: number) { SipHash128.process.hash(Array($0).span) }
        }
        func sequence(_ number: Int) -> ArraySlice<UInt8> { Array("03\(number)".utf8)[...] }
        var wrong = 0
        for number in 0..<200_000 {
            if filter.note(sequence(number % 9), of: entity(number / 9)) { wrong += 1 }
        }
        #expect(wrong < 200)
        let known = (0..<200_000).filter { filter.note(sequence($0 % 9), of: entity($0 / 9)) }
        #expect(known.count == 200_000)
    }

    @Test("What another writer has stored meanwhile is found: a duplicate, a conflict, an entity that is further")
    func asksOnceSomebodyElseHasWritten() async throws {
        try await withFolder { folder in
            let configuration = try Configuration.quick(from: ["shop.orders"], key: ["id"], sequence: ["version"])
            let plans = configuration.configuration.projections.map { ProjectionPlan($0) }
            let connection = try await TestDatabase.current.connect()
            _ = try await Migrator.migrate(connection)
            _ = try await ProjectionRegistry.prepare(plans, on: connection)
            let replay = try await PassStore.beginWithoutStreams(projections: plans.map(\.name), on: connection)

            let empty = try await PassStore.emptyRelations(of: plans, on: connection)
            #expect(empty.timelines == Set(plans.map(\.name)))
            #expect(empty.rows == empty.timelines)
            func lane(_ empty: EmptyRelations) throws -> LaneStore {
                var settings = LaneStore.Settings(
                    options: ConnectionOptions(TestDatabase.current.url),
                    pass: replay,
                    lane: 0,
                    sources: ["files"],
                    isMuted: true,
                    cacheBytes: 1 << 20,
                    empty: empty,
                    databaseWait: nil
                )
                settings.closing = { _ in [] }
                return try LaneStore(settings: settings, plans: plans, logger: Logger(label: "test"))
            }
            func batch(_ events: [(version: Int, note: String)], of id: Int = 1) throws -> LaneBatch {
                let lines = events.map { version, note in
                    #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"version":\#(version),"note":"\#(note)"}}"#
                }
                let file = folder.appendingPathComponent("log.ndjson")
                try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
                return try Self.batch(of: file, plans)
            }

            let first = try lane(empty)
            let other = try lane(EmptyRelations())
            try await first.commit(try batch([(1, "a"), (4, "d")]))
            #expect(try await PassStore.emptyRelations(of: plans, on: connection) == EmptyRelations())
            try await other.commit(try batch([(2, "b"), (3, "c")]))
            // The first lane has seen neither 2 nor 3, and is wrong about both.
            try await first.commit(try batch([(2, "b"), (3, "another"), (5, "e")]))

            let counts = try await connection.rows(
                "select sum(applied), sum(late), sum(duplicate), sum(conflicts) from tidemark.counters"
            )
            #expect(counts == [["3", "3", "1", "1"]])
            let timeline = try await connection.rows(
                "select sequence, image ->> 'note' from orders_timeline order by 1, 2"
            )
            #expect(timeline == [["1", "a"], ["2", "b"], ["3", "another"], ["3", "c"], ["4", "d"], ["5", "e"]])

            // Nor has a lane that takes the table for empty seen an entity that is there, and further.
            let third = try lane(empty)
            try await other.commit(try batch([(7, "g")], of: 2))
            try await third.commit(try batch([(6, "f")], of: 2))
            let rows = try await connection.rows("select id, _sequence from orders order by id")
            #expect(rows == [["1", "5"], ["2", "7"]])
            await first.close()
            await other.close()
            await third.close()
            await connection.close()
        }
    }

    private static func batch(of file: URL, _ plans: [ProjectionPlan]) throws -> LaneBatch {
        let settings = SourceSettings(name: "files")
        var router = EventRouter(plans: plans, settings: settings, lanes: 1, isStrict: true)
        let reader = try LineReader(
            try InputResolver.resolve([file.path])[0],
            messageBytesMax: 1 << 20,
            interrupt: Interrupt()
        )
        let block = try #require(try reader.nextBlock())
        let stream = PassStream(
            id: StreamID(rawValue: 1),
            settings: settings,
            sourceIndex: 0,
            name: file.path,
            committed: CommittedProgress(lanes: 1)
        )
        var batch = LaneBatch()
        batch.beginSegment(router.route(block, of: stream).segments[0])
        for index in batch.segments[0].items.indices { batch.append(ItemReference(segment: 0, index: index)) }
        batch.endSegment()
        return batch
    }
}
