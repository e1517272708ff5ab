import Foundation
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkProjector
import TidemarkSources
import TidemarkTesting

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What is found of messages that the configuration does not say: the kind of position, and units of time.
struct ReadingDetectorTests {
    private static let line = #"{"table":"shop.orders","op":"update","after":{"id":1},"position":[7]}"# + "\n"

    private static func detector(_ sequence: [String] = ["$position"]) throws -> ReadingDetector {
        let loaded = try Configuration.quick(from: ["shop.orders"], key: ["id"], sequence: sequence)
        return ReadingDetector(loaded.configuration.projections.map { ProjectionPlan($0) })
    }

    @Test
    func `a pipe is not read before its turn, since nothing reads it again`() async throws {
        try await withFolder { folder in
            let regular = folder.appendingPathComponent("a.ndjson")
            let pipe = folder.appendingPathComponent("b.ndjson")
            try Data(Self.line.utf8).write(to: regular)
            try #require(mkfifo(pipe.path, 0o600) == 0)
            // Open at both ends, so that opening it does not wait.
            let descriptor = open(pipe.path, O_RDWR | O_NONBLOCK)
            try #require(descriptor >= 0)
            defer { close(descriptor) }
            let bytes = Array(Self.line.utf8)
            try #require(write(descriptor, bytes, bytes.count) == bytes.count)
            for (file, kind) in [(pipe, Position.Kind?.none), (regular, .numbers)] {
                var detector = try Self.detector()
                let input = try InputResolver.resolve([file.path])[0]
                let source = FileSource([(input, SourceSettings(name: "files"))], messageBytesMax: 1 << 20)
                detector.count(beginningsOf: source)
                #expect(detector.decide().positionKinds.values.first == kind)
            }
            var rest = [UInt8](repeating: 0, count: 1024)
            #expect(read(descriptor, &rest, rest.count) == bytes.count)
        }
    }

    private static var timed: ProjectionDefinition {
        var definition = ProjectionDefinition(
            name: "orders",
            from: ["shop.orders"],
            key: ["id"],
            sequence: [.column("seen", type: .timestamp)]
        )
        definition.columns = [
            .init(name: "id", type: .bigint), .init(name: "at", from: "created_at", type: .timestamptz),
            .init(name: "day", type: .date), .init(name: "said", type: .timestamptz, encoding: .epochSeconds),
            .init(name: "tod", type: .time),
        ]
        return definition
    }

    private static let lines = [
        #"{"table":"shop.orders","op":"insert","after":{"id":1,"created_at":0,"day":5000,"said":5,"tod":1,"seen":1772357415123}}"#,
        #"{"table":"shop.orders","op":"insert","after":{"id":2,"created_at" : 1772357415123456,"day":20513,"seen":null}}"#,
        #"{"table":"shop.orders","op":"delete","before":{"id":3,"created_at":1772357415123457,"seen":-1}}"#,
        #"{"table":"shop.others","op":"insert","after":{"id":3,"created_at":1772357415,"day":1772357415000,"seen":1772357415}}"#,
    ]

    /// Each file has a block of its own.
    @Test
    func `the units do not depend on the order of messages or files`() async throws {
        try await withFolder { folder in
            var generator = SeededGenerator.forTest("units of shuffled files")
            for round in 0..<20 {
                var detector = ReadingDetector([ProjectionPlan(Self.timed)])
                let files = try Self.lines.shuffled(using: &generator).enumerated().map { index, line in
                    let file = folder.appendingPathComponent("\(round)-\(index).ndjson")
                    try Data((line + "\n").utf8).write(to: file)
                    return (try InputResolver.resolve([file.path])[0], SourceSettings(name: "files"))
                }
                detector.count(beginningsOf: FileSource(files, messageBytesMax: 1 << 20))
                let expected = ["at": ValueEncoding.epochMicroseconds, "day": .epochDays, "seen": .epochMilliseconds]
                #expect(detector.decide().units == ["orders": expected])
                let left = detector.numbers(of: "orders").map(\.column.name)
                #expect(left == ["tod"])
            }
        }
    }

    @Test
    func `what is stored is not looked for again`() throws {
        let stored = DetectedReadings(units: ["orders": ["at": .epochSeconds, "day": .epochDays, "seen": .epochDays]])
        var detector = ReadingDetector([ProjectionPlan(Self.timed)], known: stored)
        for line in Self.lines {
            let bytes = Array(line.utf8)
            let payload = ByteRange(start: 0, end: bytes.count)
            let block = MessageBlock(
                bytes: bytes + [UInt8](repeating: 0, count: MessageBlock.padding),
                messages: [.init(payload: payload, offset: .start, ordinal: 1, length: Int64(bytes.count))],
                start: .start,
                end: .start
            )
            detector.count(block, SourceSettings(name: "files"), isBeginning: true)
        }
        #expect(detector.decide().isEmpty)
        #expect(detector.known == stored)
    }
}
