import Foundation
import Testing
import TidemarkCore
import TidemarkIngest
import TidemarkService

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// How the kind of position is settled that a projection does not declare.
struct PositionSurveyTests {
    private static let line = #"{"table":"shop.orders","op":"update","after":{"id":1},"position":[7]}"# + "\n"

    private static func survey() throws -> PositionSurvey {
        let loaded = try Configuration.quick(from: ["shop.orders"], key: ["id"], sequence: ["$position"])
        return PositionSurvey(loaded.configuration.projections.map { ProjectionPlan($0) })
    }

    @Test
    func aPipeIsNotReadBeforeItsTurnSinceNothingReadsItAgain() async throws {
        try await withFolder { folder in
            let regular = folder.appendingPathComponent("a.ndjson")
            let pipe = folder.appendingPathComponent("b.ndjson")
            try Data(Self.line.utf8).write(to: regular)
            try #require(mkfifo(pipe.path, 0o600) == 0)
            // Open at both ends: nobody waits for anybody.
            let descriptor = open(pipe.path, O_RDWR | O_NONBLOCK)
            try #require(descriptor >= 0)
            defer { close(descriptor) }
            let bytes = Array(Self.line.utf8)
            try #require(write(descriptor, bytes, bytes.count) == bytes.count)
            for (file, kind) in [(pipe, Position.Kind?.none), (regular, .numbers)] {
                var survey = try Self.survey()
                let input = try InputResolver.resolve([file.path])[0]
                survey.count(beginningsOf: [(input, SourceSettings(name: "files"))], messageBytesMax: 1 << 20)
                #expect(survey.settle().values.first == kind)
            }
            var rest = [UInt8](repeating: 0, count: 1024)
            #expect(read(descriptor, &rest, rest.count) == bytes.count)
        }
    }
}
