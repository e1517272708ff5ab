import Foundation
import LibPQ
import Testing
import TidemarkCore
import TidemarkSources
import TidemarkStore
import TidemarkTesting

/// Files as streams: which number a file has, by its prefix, its device and inode, and its path.
@Suite(.freshDatabase, .timeLimit(.minutes(1)))
struct FileIdentityTests {
    private struct Folder {
        let url: URL
        let connection: Connection

        func path(_ name: String) -> String { self.url.appending(path: name).path }

        func write(_ name: String, _ text: String) throws {
            // Written in place, because another file would be another inode.
            let file = FileHandle(forWritingAtPath: self.path(name))
            if let file {
                try file.truncate(atOffset: 0)
                try file.write(contentsOf: Data(text.utf8))
                try file.close()
            } else {
                try Data(text.utf8).write(to: self.url.appending(path: name))
            }
        }

        func move(_ name: String, to other: String) throws {
            try FileManager.default.moveItem(atPath: self.path(name), toPath: self.path(other))
        }

        /// The number of a file as a run enters it.
        func enter(_ name: String) async throws -> StreamID {
            let files = try InputResolver.resolve([self.path(name)]).map {
                (file: $0, settings: SourceSettings(name: "files"))
            }
            let source = FileSource(files, messageBytesMax: 1 << 20)
            return try await StreamStore.entered(source.streams[0], sourceID: nil, on: self.connection)
        }

        /// As a run that stopped at a byte of a stream leaves it.
        func read(_ stream: StreamID, to offset: UInt64) async throws {
            let pass = try await PassStore.begin(
                streams: [StreamEntry(id: stream, isResumable: true)],
                projections: ["orders"],
                lanes: 1,
                on: self.connection
            )
            let level = StreamProgress(offset: StreamOffset(major: offset), ordinal: 2)
            try await PassStore.save(levels: [(stream, level)], of: pass.id, on: self.connection)
        }
    }

    private static func withFolder(_ body: (Folder) async throws -> Void) async throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "tidemark-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: url) }
        try await body(Folder(url: url, connection: try await StoreBench.migrated()))
    }

    @Test func aFileThatGrowsAndIsMovedKeepsItsNumber() async throws {
        try await Self.withFolder { folder in
            try folder.write("log", "one\n")
            let first = try await folder.enter("log")
            try folder.write("log", "one\ntwo\n")
            #expect(try await folder.enter("log") == first)
            try folder.move("log", to: "log.1")
            #expect(try await folder.enter("log.1") == first)
            #expect(try await folder.connection.value("select name from tidemark.streams") == folder.path("log.1"))
            // It is replaced by another file of the same name.
            try folder.write("log", "another\n")
            #expect(try await folder.enter("log") != first)
        }
    }

    @Test func aFileThatIsCutBelowWhatWasReadIsAnotherStream() async throws {
        try await Self.withFolder { folder in
            // Known by its first line, so that what is left of it begins alike.
            try folder.write("log", "one\n")
            let first = try await folder.enter("log")
            try folder.write("log", "one\ntwo\nthree\n")
            #expect(try await folder.enter("log") == first)
            try await folder.read(first, to: 8)
            try folder.write("log", "one\nx\n")
            let second = try await folder.enter("log")
            #expect(second != first)
            #expect(try await folder.enter("log") == second)
        }
    }

    @Test func aCopyIsAStreamOfItsOwnAndSoItStays() async throws {
        try await Self.withFolder { folder in
            try folder.write("log", "one\n")
            let first = try await folder.enter("log")
            try folder.write("copy", "one\n")
            let copy = try await folder.enter("copy")
            #expect(copy != first)
            #expect(try await folder.enter("log") == first)
            #expect(try await folder.enter("copy") == copy)
        }
    }

    /// Logs that began alike when they were first read, such as with a heartbeat: the inode identifies each.
    @Test func filesThatBeginAlikeKeepTheirNumbersWhenTheyAreRotated() async throws {
        try await Self.withFolder { folder in
            for name in ["log.1", "log.2"] { try folder.write(name, "begin\n") }
            let (first, second) = (try await folder.enter("log.1"), try await folder.enter("log.2"))
            #expect(first != second)
            try folder.move("log.2", to: "log.3")
            try folder.move("log.1", to: "log.2")
            #expect(try await folder.enter("log.2") == first)
            #expect(try await folder.enter("log.3") == second)
            // Two that change their names.
            try folder.move("log.2", to: "other")
            try folder.move("log.3", to: "log.2")
            try folder.move("other", to: "log.3")
            #expect(try await folder.enter("log.2") == second)
            #expect(try await folder.enter("log.3") == first)
            let names = try await folder.connection.rows("select name from tidemark.streams order by id")
            #expect(names == [[folder.path("log.3")], [folder.path("log.2")]])
        }
    }
}
