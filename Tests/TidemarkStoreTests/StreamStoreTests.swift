import LibPQ
import Synchronization
import Testing
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// Each stream keeps its number when its name or path changes.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct StreamStoreTests {
    private static func description(
        _ name: String,
        _ incarnation: String,
        hint: String? = nil,
        isResumable: Bool = true,
        identify: (@Sendable ([KnownStream]) -> StreamDescription.Identity)? = nil
    ) -> StreamDescription {
        StreamDescription(
            name: StreamName(source: "files", name: name, incarnation: incarnation),
            label: name,
            settings: SourceSettings(name: "files"),
            hint: hint,
            isResumable: isResumable,
            identify: identify
        )
    }

    private static func streams(on connection: Connection) async throws -> [[String]] {
        try await connection.rows("select id, name, incarnation, hint from tidemark_internal.streams order by id")
    }

    @Test func aStreamThatIsEnteredAgainKeepsItsNumber() async throws {
        let connection = try await StoreBench.migrated()
        let first = try await StreamStore.entered(
            Self.description("a", "p1", hint: "1:2"),
            sourceID: nil,
            on: connection
        )
        let again = try await StreamStore.entered(
            Self.description("a", "p1", hint: "1:2"),
            sourceID: nil,
            on: connection
        )
        let other = try await StreamStore.entered(
            Self.description("a", "p2", hint: "1:3"),
            sourceID: nil,
            on: connection
        )
        #expect(again == first)
        #expect(other != first)
        #expect(try await Self.streams(on: connection).count == 2)
    }

    /// A file that was short when it was entered is known by more of it once it has grown.
    @Test func anIncarnationThatHasBecomeLongerIsStored() async throws {
        let connection = try await StoreBench.migrated()
        let first = try await StreamStore.entered(
            Self.description("a", "p1", hint: "1:2"),
            sourceID: nil,
            on: connection
        )
        let again = try await StreamStore.entered(
            Self.description("a", "p1", hint: "1:2") { known in
                var longer = known[0]
                longer.incarnation = "p1 and more"
                return .known(longer)
            },
            sourceID: nil,
            on: connection
        )
        #expect(again == first)
        #expect(try await Self.streams(on: connection).map { $0[2] } == ["p1 and more"])
    }

    @Test func aSourceIsAskedOfTheStreamsThatShareNameHintOrPrefixTheNewestFirst() async throws {
        let connection = try await StoreBench.migrated()
        var entered: [StreamID] = []
        for (name, prefix, hint) in [("same", "p1", "h1"), ("b", "same", "h2"), ("c", "p3", "same"), ("d", "p4", "h4")]
        {
            entered.append(
                try await StreamStore.entered(Self.description(name, prefix, hint: hint), sourceID: nil, on: connection)
            )
        }
        // How far an unfinished pass is in it tells a file that was truncated from one that has grown.
        let pass = try await PassStore.begin(
            streams: entered.map { StreamEntry(id: $0, isResumable: true) },
            projections: ["orders"],
            lanes: 1,
            on: connection
        )
        let level = StreamProgress(offset: StreamOffset(major: 12_345), ordinal: 9)
        try await PassStore.save(levels: [(entered[1], level)], of: pass.id, on: connection)

        let asked = Mutex<[KnownStream]>([])
        let found = try await StreamStore.entered(
            Self.description("same", "same", hint: "same") { known in
                asked.withLock { $0 = known }
                return .known(known[1])
            },
            sourceID: nil,
            on: connection
        )
        #expect(
            asked.withLock { $0 } == [
                KnownStream(id: entered[2], name: "c", incarnation: "p3", hint: "same", reached: 0),
                KnownStream(id: entered[1], name: "b", incarnation: "same", hint: "h2", reached: 12_345),
                KnownStream(id: entered[0], name: "same", incarnation: "p1", hint: "h1", reached: 0),
            ]
        )
        #expect(found == entered[1])
    }

    @Test func aFileThatWasMovedGoesByItsNewNameAndKeepsItsPrefix() async throws {
        let connection = try await StoreBench.migrated()
        let first = try await StreamStore.entered(
            Self.description("log", "p", hint: "1:2"),
            sourceID: nil,
            on: connection
        )
        // It has grown: its prefix is longer now, and later files are compared with the stored one.
        let moved = try await StreamStore.entered(
            Self.description("log.1", "longer p", hint: "1:2") { .known($0[0]) },
            sourceID: nil,
            on: connection
        )
        #expect(moved == first)
        #expect(try await Self.streams(on: connection) == [["\(first.rawValue)", "log.1", "p", "1:2"]])
        // Compressed it is another inode.
        let compressed = try await StreamStore.entered(
            Self.description("log.1.gz", "p", hint: "1:99") { .known($0[0]) },
            sourceID: nil,
            on: connection
        )
        #expect(compressed == first)
        #expect(try await Self.streams(on: connection) == [["\(first.rawValue)", "log.1.gz", "p", "1:99"]])
    }

    /// As after a file was taken for two.
    @Test func aStreamGrowsIntoTheIncarnationOfAnotherOfItsName() async throws {
        let connection = try await StoreBench.migrated()
        let first = try await StreamStore.entered(
            Self.description("log", "p", hint: "1:2"),
            sourceID: nil,
            on: connection
        )
        let second = try await StreamStore.entered(
            Self.description("log", "q", hint: "1:2") { .new(incarnation: $0.isEmpty ? "p" : "q") },
            sourceID: nil,
            on: connection
        )
        let again = try await StreamStore.entered(
            Self.description("log", "q", hint: "1:2") { known in
                var stream = known.first { $0.id == second } ?? known[0]
                stream.incarnation = "p"
                return .known(stream)
            },
            sourceID: nil,
            on: connection
        )
        #expect(again == second)
        #expect(
            try await Self.streams(on: connection) == [
                ["\(first.rawValue)", "log", "p:\(first.rawValue)", "1:2"], ["\(second.rawValue)", "log", "p", "1:2"],
            ]
        )
    }

    @Test func aCopyThatItsSourceTellsApartIsEnteredUnderTheIncarnationThatItIsGiven() async throws {
        let connection = try await StoreBench.migrated()
        let first = try await StreamStore.entered(
            Self.description("log", "p", hint: "1:2"),
            sourceID: nil,
            on: connection
        )
        let copy = try await StreamStore.entered(
            Self.description("log", "p", hint: "1:3") { .new(incarnation: "p:\($0[0].id.rawValue)") },
            sourceID: nil,
            on: connection
        )
        #expect(copy != first)
        #expect(
            try await Self.streams(on: connection) == [
                ["\(first.rawValue)", "log", "p", "1:2"],
                ["\(copy.rawValue)", "log", "p:\(first.rawValue)", "1:3"],
            ]
        )
    }

    @Test func aPipeIsOneStreamByItsNameAndIsNeverAskedFor() async throws {
        let connection = try await StoreBench.migrated()
        func enter(_ sourceID: Int64?) async throws -> StreamID {
            try await StreamStore.entered(
                Self.description("standard input", "", isResumable: false) { _ in
                    Issue.record("a pipe has nothing to be known by")
                    return .new(incarnation: "")
                },
                sourceID: sourceID,
                on: connection
            )
        }
        let first = try await enter(nil)
        #expect(try await enter(nil) == first)
        // Not of a source: what it brings next may be another's.
        #expect(try await enter(7) == first)
        #expect(try await Self.streams(on: connection).count == 1)
    }

    @Test func sourcesAreNumberedInTheOrderInWhichTheyWereFirstRead() async throws {
        let connection = try await StoreBench.migrated()
        let first = try await PassStore.identify(sources: ["b", "a", "b"], on: connection)
        let second = try await PassStore.identify(sources: ["a", "c", "b"], on: connection)
        let (a, b, c) = (try #require(second["a"]), try #require(second["b"]), try #require(second["c"]))
        #expect(first == ["a": a, "b": b])
        #expect(b < a && a < c)
    }
}
