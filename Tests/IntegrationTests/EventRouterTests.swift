import Foundation
import Testing
import TidemarkConfiguration
import TidemarkProjector
import TidemarkSources

@testable import TidemarkCore

/// What the reader makes of lines before any database sees them.
struct EventRouterTests {
    private static let canal =
        #"{"data":[{"id":"1","version":"1"},7,{"id":"2","version":"1"},{"version":"1"},null],"database":"shop","#
        + #""es":1772357415000,"id":3,"isDdl":false,"old":null,"pkNames":["id"],"sql":"","table":"orders","ts":1,"#
        + #""type":"INSERT"}"#

    private func route(
        _ lines: [String],
        lanes: Int = 1,
        isStrict: Bool = false,
        committed: StreamProgress = .start,
        earlier: [Int: [Int: StreamProgress]] = [:]
    ) async throws -> EventRouter.Routed {
        try await withFolder { folder in
            let file = folder.appendingPathComponent("log.ndjson")
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
            let configuration = try Configuration.quick(from: ["shop.orders"], key: ["id"], sequence: ["version"])
            let settings = SourceSettings(name: "files")
            var router = EventRouter(
                plans: configuration.configuration.projections.map { ProjectionPlan($0) },
                settings: settings,
                lanes: lanes,
                isStrict: isStrict
            )
            let reader = try LineReader(
                try InputResolver.resolve([file.path])[0],
                messageBytesMax: 1 << 20,
                interrupt: Interrupt()
            )
            let block = try #require(try reader.nextBlock())
            return router.route(
                block,
                of: .init(
                    id: StreamID(rawValue: 1),
                    settings: settings,
                    sourceIndex: 0,
                    name: file.path,
                    committed: CommittedProgress(level: committed, lanes: lanes, rows: earlier)
                )
            )
        }
    }

    @Test
    func badRowsOfAMessageStandAmongTheGoodOnesSoThatProgressBehindOneCoversThoseBefore() async throws {
        let items = try await self.route([Self.canal, Self.canal]).segments[0].items
        #expect(items.map(\.row) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
        let kinds: [EncodedChange.Kind] = [.change, .deadLetter, .change, .deadLetter, .deadLetter]
        #expect(items.map(\.kind) == kinds + kinds)
    }

    @Test
    func whatAnEarlierRunHasCommittedIsNotCountedAgain() async throws {
        let lines = ["{", Self.canal, "}", Self.canal]
        let all = try await self.route(lines)
        #expect(all.messages == 4)
        #expect(all.deadLetters == 8)
        // Committed up to the third row of the second line.
        let rest = try await self.route(lines, committed: StreamProgress(offset: StreamOffset(major: 2, row: 3)))
        #expect(rest.messages == 2)
        #expect(rest.deadLetters == 2 + 1 + 3)
        #expect(rest.segments[0].items.map(\.row) == [3, 4, 0, 0, 1, 2, 3, 4])
        // Strict passes over what it has stopped at before.
        let strict = try await self.route(
            ["{", "{\"hello\":1}", Self.canal],
            isStrict: true,
            committed: StreamProgress(offset: StreamOffset(major: 0, row: 1))
        )
        #expect(strict.isStopped)
        #expect(strict.messages == 1 && strict.deadLetters == 1)
    }

    /// A process with one lane was killed before the level moved; the next one has three.
    @Test
    func deadLettersBehindTheLaneOfAnotherNumberStay() async throws {
        let broken = (0..<20).map { "{broken \($0)" }
        let all = try await self.route([Self.canal] + broken, lanes: 3)
        let rest = try await self.route(
            [Self.canal] + broken,
            lanes: 3,
            earlier: [1: [0: StreamProgress(offset: StreamOffset(major: UInt64(Self.canal.utf8.count + 1)))]]
        )
        #expect(all.messages == 21 && rest.messages == 20)
        #expect(rest.deadLetters == 20)
        let offsets = rest.segments.flatMap { $0.items.map(\.offset.major) }
        #expect(offsets.count == 20 && offsets.allSatisfy { $0 > Self.canal.utf8.count })
    }
}
