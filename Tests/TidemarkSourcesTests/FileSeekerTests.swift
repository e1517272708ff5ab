import Foundation
import Testing
import TidemarkCore
import TidemarkSources

/// Offsets in files: lines, times and ends, plain and compressed.
@Suite("FileSeeker", .timeLimit(.minutes(5)))
struct FileSeekerTests {
    /// Lines at 0, 5, 11 (a blank one before it), 16; then one without an end.
    private static let content = "one1\n" + "two\r\n" + "\n" + "four\n" + "five5\n" + "half"

    private static func seeker(_ file: InputFile, _ level: StreamProgress = .start) throws -> FileSeeker {
        let prefix = try FilePrefix(of: file)
        return try #require(
            FileSeeker(file.path, incarnation: prefix.incarnation, level: level, messageBytesMax: 1000)
        )
    }

    private static func withFiles(_ body: (InputFile) throws -> Void) throws {
        try withTemporaryFolder { folder in
            try body(try folder.file("plain", Self.content.utf8))
            try body(try folder.file("compressed.gz", gzip(Self.content.utf8)))
        }
    }

    @Test func `it finds lines by their offsets and ends, and counts`() throws {
        try Self.withFiles { file in
            let seeker = try Self.seeker(file)
            for (offset, ordinal) in [(0, 1), (5, 2), (11, 4), (16, 5)] {
                let found = try seeker.find(.offset(UInt64(offset)), from: .start)
                #expect(found.offset.major == UInt64(offset) && found.ordinal == Int64(ordinal), "\(offset): \(found)")
                #expect(found.resume.isEmpty == (offset == 0))
                // Its token is that of the same content.
                _ = try Self.seeker(file, found)
                #expect(try seeker.find(.end, from: found) == seeker.find(.end, from: .start))
            }
            let end = try seeker.find(.end, from: .start)
            // Nothing is appended to a line of a compressed file.
            #expect(end.offset.major == (file.isCompressed ? 26 : 22))
            let third = try seeker.find(.offset(11), from: .start)
            #expect(try seeker.count(from: .start, to: end.offset) == (file.isCompressed ? 5 : 4))
            #expect(try seeker.count(from: .start, to: third.offset) == 2)
            #expect(try seeker.count(from: third, to: end.offset) == (file.isCompressed ? 3 : 2))
            #expect(try seeker.count(from: end, to: third.offset) == 0)
        }
    }

    @Test func `it names the nearest lines of an offset that is none`() throws {
        try Self.withFiles { file in
            let seeker = try Self.seeker(file)
            for (offset, before, behind) in [(1, 0, 5), (10, 5, 11), (13, 11, 16), (15, 11, 16)] {
                let error = #expect(throws: FileSeeker.NotALine.self) {
                    try seeker.find(.offset(UInt64(offset)), from: .start)
                }
                #expect(error?.before == UInt64(before) && error?.behind == UInt64(behind), "\(offset)")
            }
            let far = #expect(throws: FileSeeker.NotALine.self) { try seeker.find(.offset(999), from: .start) }
            #expect(far?.before == (file.isCompressed ? 26 : 22) && far?.behind == nil)
        }
    }

    @Test func `it finds the first message that is meant, else the end`() throws {
        try Self.withFiles { file in
            let seeker = try Self.seeker(file)
            let level = try seeker.find(.offset(16), from: .start)
            let found = try seeker.find(.first { $0.first == UInt8(ascii: "t") }, from: level)
            #expect(found.offset.major == 5, "also behind the level")
            #expect(try seeker.find(.first { _ in false }, from: level) == seeker.find(.end, from: .start))
        }
    }

    @Test func `it is nil where the file is gone or another`() throws {
        try withTemporaryFolder { folder in
            let file = try folder.file("a", Self.content.utf8)
            let incarnation = try FilePrefix(of: file).incarnation
            let level = try Self.seeker(file).find(.offset(11), from: .start)
            func isThere() -> Bool {
                FileSeeker(file.path, incarnation: incarnation, level: level, messageBytesMax: 1000) != nil
            }
            #expect(isThere())
            _ = try folder.file("a", (Self.content + " whole\nmore\n").utf8)
            #expect(isThere(), "it has grown")
            _ = try folder.file("a", Self.content.replacing("two", with: "TWO").utf8)
            #expect(!isThere())
            try FileManager.default.removeItem(atPath: file.path)
            #expect(!isThere())
        }
    }
}
