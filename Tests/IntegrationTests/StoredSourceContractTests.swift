import Foundation
import LibPQ
import Logging
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkSources
import TidemarkStore
import TidemarkTesting

/// What every source has to hold, over what the database keeps: a timeline, and dead letters.
@Suite(.freshDatabase, .timeLimit(.minutes(5)))
struct StoredSourceContractTests {
    enum Kind: String, CaseIterable { case timeline, deadLetters }

    private static let yaml = """
        projections:
          - { name: orders, from: [shop.orders], key: id, sequence: version }
        """

    private static let messages = (0..<90).map { index in
        index % 17 == 16
            ? #"{"table":"shop.other","op":"insert","after":{"id":\#(index)}}"#
            : #"{"table":"shop.orders","op":"update","after":{"id":"k\#(index % 9)","version":\#(index)}}"#
    }

    private static var expected: [String: Int] {
        var expected: [String: Int] = [:]
        for index in 0..<90 where index % 17 != 16 { expected["k\(index % 9)", default: 0] += 1 }
        return expected
    }

    private static func withContract(_ kind: Kind, _ body: (SourceContract) async throws -> Void) async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.messages)
            let result = try await place.run(["replay", "--no-deliver", log.path])
            try #require(result.status == 0, "\(result.error)")
            let path = place.folder.appendingPathComponent("tidemark.yaml").path
            let configuration = try ConfigurationLoader.load(path: path).configuration
            switch kind {
            case .timeline: try await body(Self.timeline(configuration, connection))
            case .deadLetters: try await body(Self.deadLetters(configuration, connection))
            }
        }
    }

    private static func timeline(
        _ configuration: Configuration,
        _ connection: Connection
    ) async throws -> SourceContract {
        let definition = configuration.projections[0]
        let boundary = try await RebuildStore.newBoundary(of: definition.name, on: connection)
        let timeline = try await StoredTimeline(
            of: definition,
            before: boundary,
            sources: { _ in nil },
            on: connection
        )
        let source = TimelineSource(
            timeline,
            timeline.sources.map(configuration.settings(ofSource:)),
            ConnectionOptions(TestDatabase.current.url),
            wait: .zero,
            outage: OutageLog(Logger(label: "test"))
        )
        return SourceContract(
            source,
            ProjectionPlan(definition),
            read: ProjectionPlan(timeline.mapping.reading.definition),
            expecting: Self.expected,
            messages: Self.expected.values.reduce(0, +)
        )
    }

    /// Each message as a letter that belongs to no one projection.
    private static func deadLetters(
        _ configuration: Configuration,
        _ connection: Connection
    ) async throws -> SourceContract {
        _ = try await connection.query(
            """
            with letters as (
                select convert_to(message, 'UTF8') as raw, number
                from unnest($1::text[]) with ordinality as listed (message, number)
            ),
            messages as (
                insert into tidemark_internal.dead_letter_messages (digest, raw)
                select sha256(raw), raw from letters
                on conflict do nothing
            )
            insert into tidemark_internal.dead_letters
                (projection, source, position, reason, detail, digest, "row", is_whole_message)
            select '', 'files', 'log:' || number, 'malformed_json', 'a test', sha256(raw), 0, true
            from letters
            order by number
            """,
            [.texts(Self.messages)]
        )
        let source = try await DeadLetterSource(
            DeadLetterFilter(),
            .init(
                options: ConnectionOptions(TestDatabase.current.url),
                wait: .zero,
                messageBytesMax: 1 << 20,
                obstacle: { _ in nil },
                report: RetryReport(),
                outage: OutageLog(Logger(label: "test"))
            ),
            read: { SourceSettings(name: $0.source) },
            on: connection
        )
        return SourceContract(
            source,
            ProjectionPlan(configuration.projections[0]),
            expecting: Self.expected,
            messages: Self.messages.count
        )
    }

    @Test(arguments: Kind.allCases, [1, 3])
    func everyEventIsCommittedOnce(_ kind: Kind, _ lanes: Int) async throws {
        try await Self.withContract(kind) { try await $0.everyEventIsCommittedOnce(lanes: lanes) }
    }

    @Test(arguments: Kind.allCases)
    func aRestartAnywhereChangesNothing(_ kind: Kind) async throws {
        try await Self.withContract(kind) { contract in
            for seed in UInt64(0)..<15 { try await contract.aRestartAnywhereChangesNothing(seed: seed) }
        }
    }

    @Test(arguments: Kind.allCases)
    func aDetachedProjectionCatchesUp(_ kind: Kind) async throws {
        try await Self.withContract(kind) { contract in
            for seed in UInt64(0)..<15 { try await contract.aDetachedProjectionCatchesUp(seed: seed) }
        }
    }

    @Test(arguments: Kind.allCases)
    func stoppedOrCancelledAtAnyMomentItEndsAndIsResumed(_ kind: Kind) async throws {
        try await Self.withContract(kind) { contract in
            for seed in UInt64(0)..<8 { try await contract.stoppedAtAnyMomentItEndsAndIsResumed(seed: seed) }
            try await contract.cancelledAtEachAwaitItEndsAndIsResumed()
        }
    }

    @Test(arguments: Kind.allCases)
    func aBlockLargerThanTheBudgetGoesAlone(_ kind: Kind) async throws {
        try await Self.withContract(kind) { try await $0.aBlockLargerThanTheBudgetGoesAlone() }
    }
}
