import Foundation
import Testing
import TidemarkCore
import TidemarkSources
import TidemarkTesting

@Suite(.timeLimit(.minutes(15)))
struct LineReaderTests {
    private func reader(
        _ file: InputFile,
        messageBytesMax: Int = 1 << 20,
        oversizedBytesKept: Int = 1 << 20,
        readBytes: Int = 256 * 1024,
        interrupt: Interrupt = Interrupt(),
        standardInput: Int32 = -1
    ) throws -> LineReader {
        try LineReader(
            file,
            messageBytesMax: messageBytesMax,
            interrupt: interrupt,
            oversizedBytesKept: oversizedBytesKept,
            readBytes: readBytes,
            standardInput: standardInput
        )
    }

    @Test(arguments: [
        ("", []),
        ("\n", []),
        ("one", [ReadLine(0, 1, "one")]),
        ("one\n", [ReadLine(0, 1, "one")]),
        ("one\ntwo\n", [ReadLine(0, 1, "one"), ReadLine(4, 2, "two")]),
        ("one\r\ntwo\r\n", [ReadLine(0, 1, "one"), ReadLine(5, 2, "two")]),
        ("one\r\r\ntwo\r", [ReadLine(0, 1, "one\r"), ReadLine(6, 2, "two")]),
        ("\n \t\r\n\r\n one \n\n", [ReadLine(7, 4, " one ")]),
        ("one\n  \n", [ReadLine(0, 1, "one")]),
        ("one\n  ", [ReadLine(0, 1, "one")]),
        ("\u{FEFF}one\ntwo", [ReadLine(3, 1, "one"), ReadLine(7, 2, "two")]),
        ("\u{FEFF}", []),
        ("\u{FEFF}\none", [ReadLine(4, 2, "one")]),
        ("one\n\u{FEFF}two", [ReadLine(0, 1, "one"), ReadLine(4, 2, "\u{FEFF}two")]),
    ])
    func `lines have their offsets and numbers, whatever ends them`(content: String, expected: [ReadLine]) throws {
        #expect(linesExpected(of: Array(content.utf8)) == expected)
        try withTemporaryFolder { folder in
            let plain = try folder.file("plain", content.utf8)
            let compressed = try folder.file("compressed.gz", gzip(content.utf8))
            for readBytes in [1, 2, 3, 1000] {
                for file in [plain, compressed] {
                    let (lines, error) = try self.reader(file, readBytes: readBytes).readAll()
                    #expect(lines == expected)
                    #expect(error == nil)
                }
            }
        }
    }

    @Test func `reading goes on at any line's offset, plain and gzip`() throws {
        let content = Array("\u{FEFF}{\"a\":1}\r\n\n{\"b\":2}\n   \n{\"c\":3}\n{\"d\":4}".utf8)
        let all = linesExpected(of: content)
        try withTemporaryFolder { folder in
            let half = content.count / 2
            let files = [
                try folder.file("plain", content),
                try folder.file("one.gz", gzip(content)),
                try folder.file("two.gz", gzip(content[..<half]) + gzip(content[half...])),
            ]
            for file in files {
                for (index, line) in all.enumerated() {
                    let reader = try self.reader(file, readBytes: 5)
                    try reader.skip(toOffset: line.offset, lineNumber: line.number)
                    let (lines, error) = reader.readAll()
                    #expect(lines == Array(all[index...]))
                    #expect(error == nil)
                }
                let atEnd = try self.reader(file)
                try atEnd.skip(toOffset: Int64(content.count), lineNumber: 7)
                #expect(atEnd.readAll().lines.isEmpty)
                let behind = #expect(throws: InputError.self) {
                    try self.reader(file).skip(toOffset: Int64(content.count) + 1, lineNumber: 8)
                }
                #expect(behind?.code == .changed)
            }
        }
    }

    @Test func `a gzip file may have several members, empty ones too, and zeros behind them`() throws {
        let content = Array("one\ntwo\nthree\nfour\n".utf8)
        try withTemporaryFolder { folder in
            var members = content[...]
            var bytes: [UInt8] = []
            while !members.isEmpty {
                bytes += gzip(members.prefix(3)) + gzip([])
                members = members.dropFirst(3)
            }
            for readBytes in [1, 7, 256 * 1024] {
                let (lines, error) = try self.reader(
                    folder.file("a.gz", bytes + [UInt8](repeating: 0, count: 700)),
                    readBytes: readBytes
                ).readAll()
                #expect(lines == linesExpected(of: content))
                #expect(error == nil)
            }
        }
    }

    @Test(arguments: ["garbage", "\0\0\0garbage", "\u{1F}garbage", "\0\0\u{1F}"])
    func `anything else behind gzip is an error, after all its lines`(behind: String) throws {
        let content = Array("one\ntwo\n".utf8)
        try withTemporaryFolder { folder in
            for readBytes in [1, 256 * 1024] {
                let (lines, error) = try self.reader(
                    folder.file("a.gz", gzip(content) + Array(behind.utf8)),
                    readBytes: readBytes
                ).readAll()
                #expect(lines == linesExpected(of: content))
                #expect(error?.code == .corrupt)
                #expect(error?.offset == Int64(content.count))
            }
        }
    }

    @Test func `a gzip file cut anywhere gives the whole lines before the cut, then the error`() throws {
        let content = Array((0..<40).map { "{\"id\":\($0),\"status\":\"paid\"}\n" }.joined().utf8)
        let all = linesExpected(of: content)
        let bytes = gzip(content[..<400]) + gzip(content[400...])
        let firstMember = gzip(content[..<400]).count
        try withTemporaryFolder { folder in
            var counts: Set<Int> = []
            for cut in 0..<bytes.count where cut != firstMember {
                let reader = try self.reader(folder.file("a.gz", bytes[..<cut]))
                let (lines, error) = reader.readAll()
                #expect(lines == Array(all.prefix(lines.count)))
                #expect(error?.code == .truncated)
                #expect(error?.isBadData == true)
                let end = try #require(error?.offset)
                #expect(lines.count == all.count { $0.offset + $0.length < end })
                counts.insert(lines.count)
                #expect(throws: InputError.self) { try reader.nextBlock() }
            }
            #expect(counts.count > 10 && counts.max() == all.count)
        }
    }

    @Test func `damage in a gzip file is an error that says where`() throws {
        let content = Array((0..<2000).map { "{\"id\":\($0)}\n" }.joined().utf8)
        let all = linesExpected(of: content)
        let bytes = gzip(content)
        try withTemporaryFolder { folder in
            for place in stride(from: 10, to: bytes.count, by: 37) {
                var damaged = bytes
                damaged[place] ^= 0x55
                let error = try self.reader(folder.file("a.gz", damaged), readBytes: 100).readAll().error
                #expect(error?.isBadData == true)
                #expect(error?.offset != nil)
            }
            var checksum = bytes
            checksum[bytes.count - 8] ^= 1
            let (lines, error) = try self.reader(folder.file("b.gz", checksum)).readAll()
            #expect(lines == all)
            #expect(error?.code == .corrupt)
            #expect(error?.description.contains("its check sum does not match its content") == true)
        }
    }

    @Test(arguments: [1, 3, 7, 1000])
    func `a line too long stands in its place with its length and its beginning`(readBytes: Int) throws {
        let long = String(repeating: "x", count: 11)
        let content = Array("one\n\(long)\n1234567890\n1234567890\r\n\(long)\r\n\(long)\(long)\n\ntwo\n\(long)".utf8)
        let expected = linesExpected(of: content, messageBytesMax: 10, oversizedBytesKept: 6)
        #expect(expected.map(\.isOversized) == [false, true, false, false, true, true, false, true])
        try withTemporaryFolder { folder in
            for file in [try folder.file("plain", content), try folder.file("a.gz", gzip(content))] {
                let (lines, _) = try self.reader(file, messageBytesMax: 10, oversizedBytesKept: 6, readBytes: readBytes)
                    .readAll()
                #expect(lines == expected)
            }
            let blank = Array(String(repeating: " ", count: 50).utf8) + Array("\r\nend".utf8)
            let blankFile = try folder.file("blank", blank)
            let (lines, _) = try self.reader(
                blankFile,
                messageBytesMax: 10,
                oversizedBytesKept: 6,
                readBytes: readBytes
            ).readAll()
            #expect(lines == [ReadLine(52, 2, "end")])
        }
    }

    @Test func `of a line too long only the first mebibyte is kept`() throws {
        let long = [UInt8](repeating: UInt8(ascii: "y"), count: 5_000_000)
        let content = Array("one\n".utf8) + long + Array("\r\ntwo\n".utf8) + long
        try withTemporaryFolder { folder in
            for file in [try folder.file("plain", content), try folder.file("a.gz", gzip(content))] {
                for messageBytesMax in [1000, 2_000_000, 4_999_999] {
                    let (lines, _) = try self.reader(file, messageBytesMax: messageBytesMax).readAll()
                    #expect(lines == linesExpected(of: content, messageBytesMax: messageBytesMax))
                    #expect(lines[1].text.count == 1 << 20 && lines[1].length == 5_000_000)
                }
                let (lines, _) = try self.reader(file, messageBytesMax: 5_000_000).readAll()
                #expect(lines.map(\.text.count) == [3, 5_000_000, 3, 5_000_000])
            }
        }
    }

    @Test func `a plain file is read up to the size it had at the start`() throws {
        try withTemporaryFolder { folder in
            let file = try folder.file("log", "one\ntwo\n".utf8)
            let handle = try #require(FileHandle(forWritingAtPath: file.path))
            try handle.seekToEnd()
            try handle.write(contentsOf: Data("three\n".utf8))
            try handle.close()
            let reader = try self.reader(file)
            #expect(reader.readAll().lines == [ReadLine(0, 1, "one"), ReadLine(4, 2, "two")])
            #expect(reader.rawOffset == 8)
        }
    }

    @Test func `a file that was replaced or cut since the start is not read`() throws {
        try withTemporaryFolder { folder in
            let file = try folder.file("log", "one\ntwo\n".utf8)
            let reader = try self.reader(file, readBytes: 4)
            #expect(try reader.nextBlock()?.messages.count == 1)
            #expect(truncate(file.path, 4) == 0)
            #expect(throws: InputError.self) { try reader.nextBlock() }
            #expect(#expect(throws: InputError.self) { try self.reader(file) }?.code == .changed)
            try FileManager.default.removeItem(atPath: file.path)
            #expect(#expect(throws: InputError.self) { try self.reader(file) }?.code == .missing)
        }
    }

    @Test(arguments: 0..<150 as Range<UInt64>)
    func `any content in any blocks gives the same lines`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let alphabet = Array("abc{}\"  \t\r\r\n\n\n".utf8)
        let count = Int.random(in: 0...600, using: &random)
        var content = (0..<count).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &random)] }
        if Bool.random(using: &random) { content = [0xEF, 0xBB, 0xBF] + content }
        let messageBytesMax = Int.random(in: 1...20, using: &random)
        let oversizedBytesKept = Int.random(in: 0...20, using: &random)
        let expected = linesExpected(
            of: content,
            messageBytesMax: messageBytesMax,
            oversizedBytesKept: oversizedBytesKept
        )
        let split = Int.random(in: 0...content.count, using: &random)
        try withTemporaryFolder { folder in
            let files = [
                try folder.file("plain", content),
                try folder.file("a.gz", gzip(content[..<split]) + gzip(content[split...])),
            ]
            for file in files {
                for _ in 0..<5 {
                    let readBytes = Int.random(in: 1...40, using: &random)
                    let reader = try self.reader(
                        file,
                        messageBytesMax: messageBytesMax,
                        oversizedBytesKept: oversizedBytesKept,
                        readBytes: readBytes
                    )
                    #expect(reader.readAll().lines == expected)
                    #expect(reader.offset == Int64(content.count))
                    guard let index = expected.indices.randomElement(using: &random) else { continue }
                    let again = try self.reader(
                        file,
                        messageBytesMax: messageBytesMax,
                        oversizedBytesKept: oversizedBytesKept,
                        readBytes: readBytes
                    )
                    try again.skip(toOffset: expected[index].offset, lineNumber: expected[index].number)
                    #expect(again.readAll().lines == Array(expected[index...]))
                }
            }
        }
    }
}
