import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Files that are compressed, that are no lines at all, and JSON arrays.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct InputFormTests {
    private static let yaml = "projections: [{ name: orders, from: shop.orders, key: id, sequence: version }]"
    private static let lines = (1...5).map {
        #"{"table":"shop.orders","op":"insert","after":{"id":\#($0),"version":1}}"#
    }
    private static let text = lines.map { $0 + "\n" }.joined()

    private static func little(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    /// One frame of one block, not compressed.
    private static func zstd(_ content: String, checkSum: [UInt8] = [], windowBits: Int? = nil) -> [UInt8] {
        Self.zstd(bytes: Array(content.utf8), checkSum: checkSum, windowBits: windowBits)
    }

    private static func zstd(bytes: [UInt8], checkSum: [UInt8] = [], windowBits: Int? = nil) -> [UInt8] {
        let flags: UInt8 = (windowBits == nil ? 0xA0 : 0) | (checkSum.isEmpty ? 0 : 4)
        let size = windowBits.map { [UInt8(($0 - 10) << 3)] } ?? Self.little(bytes.count, 4)
        return [0x28, 0xB5, 0x2F, 0xFD, flags] + size + Self.little(1 | bytes.count << 3, 3) + bytes + checkSum
    }

    /// gzip in blocks that are not compressed, with a check sum of zero.
    private static func gzipWithoutCheckSum(_ content: String) -> [UInt8] {
        let bytes = Array(content.utf8)
        var result: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255]
        for start in stride(from: 0, to: bytes.count, by: 60_000) {
            let part = bytes[start..<min(start + 60_000, bytes.count)]
            result += [start + 60_000 >= bytes.count ? 1 : 0] + Self.little(part.count, 2)
            result += Self.little(part.count ^ 0xFFFF, 2) + part
        }
        return result + Self.little(0, 4) + Self.little(bytes.count, 4)
    }

    private func write(_ place: Workplace, _ name: String, _ bytes: [UInt8]) throws -> String {
        let file = place.folder.appendingPathComponent(name)
        try Data(bytes).write(to: file)
        return file.path
    }

    private func expectNothingApplied(_ connection: Connection) async throws {
        #expect(try await connection.value("select to_regclass('orders')") == "∅")
    }

    // MARK: No lines

    private static let foreign: [(name: String, bytes: [UInt8], said: String, wayOut: String)] = [
        ("a.bz2", Array("BZh91AY&SY".utf8), "compressed with bzip2", "bzip2 -d"),
        ("a.xz", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0, 0, 4], "compressed with xz", "xz -d"),
        ("a.lz4", [4, 0x22, 0x4D, 0x18, 0x64], "compressed with lz4", "lz4 -d"),
        ("a.zip", Array("PK\u{3}\u{4}\u{14}".utf8), "compressed with zip", "unzip -p"),
        ("le-bom", [0xFF, 0xFE] + text.utf16.flatMap { little(Int($0), 2) }, "text in UTF-16", "iconv -f UTF-16"),
        ("be-bom", [0xFE, 0xFF] + text.utf16.flatMap { [0, UInt8($0)] }, "text in UTF-16", "iconv -f UTF-16"),
        ("le", text.utf16.flatMap { little(Int($0), 2) }, "text in UTF-16LE", "iconv -f UTF-16LE"),
        ("be", text.utf16.flatMap { [0, UInt8($0)] }, "text in UTF-16BE", "iconv -f UTF-16BE"),
        (
            "32-bom", [0xFF, 0xFE, 0, 0] + text.utf16.flatMap { little(Int($0), 4) }, "text in UTF-32",
            "iconv -f UTF-32"
        ),
        ("32", text.utf16.flatMap { little(Int($0), 4) }, "text in UTF-32LE", "iconv -f UTF-32LE"),
        ("random", random(100_000), "no text, and only lines of JSON are read", "convert it to JSON"),
        ("random-brace", Array("{".utf8) + random(5000), "no text, and only lines of JSON are read", "convert it"),
        ("random-quote", Array("[\"".utf8) + random(5000), "no text, and only lines of JSON are read", "convert it"),
        ("gzip-in-zstd", zstd(bytes: gzipWithoutCheckSum(text)), "compressed twice, and inside is gzip", "gzip -d"),
        ("zstd-in-zstd", zstd(bytes: zstd(text)), "compressed twice, and inside is zstd", "zstd -d"),
        ("in-zstd", zstd("BZh91AY&SY"), "compressed with bzip2", "bzip2 -d"),
    ]

    @Test(arguments: foreign.indices)
    func whatIsNoLinesIsExit65BeforeAnythingIsApplied(_ index: Int) async throws {
        let foreign = Self.foreign[index]
        try await withWorkplace(Self.yaml) { place, connection in
            let good = try place.write("0.ndjson", Self.text)
            let path = try self.write(place, foreign.name, foreign.bytes)
            for command in [["replay", "--no-deliver"], ["replay", "--dry-run"], ["check"]] {
                let result = try await place.run(command + [good.path, path])
                #expect(result.status == 65, "\(result.error)")
                #expect(result.error.contains("\(path): is \(foreign.said)"), "\(result.error)")
                #expect(result.error.contains(foreign.wayOut), "\(result.error)")
            }
            let piped = try await place.run(["replay", "--dry-run", "-"], input: Data(foreign.bytes))
            #expect(piped.status == 65 && piped.error.contains(foreign.said), "\(piped.error)")
            try await self.expectNothingApplied(connection)
        }
    }

    /// Begins with none of the bytes that JSON begins with.
    private static func random(_ count: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: 7)
        return [0x80] + (1..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    /// A line that is no JSON is a dead letter, whatever it is broken by.
    @Test(arguments: [
        Array("no message, and Gr\u{FC}\u{DF}e\n".utf8), Array("no message: Gr".utf8) + [0xFC, 0xDF, 0x0A],
        Array("\u{1B}[31mred\u{1B}[0m \u{8}\u{C}\n".utf8), [UInt8](repeating: 0, count: 3000) + [0x0A],
        random(2000).filter { $0 != 0x0A } + [0x0A], Array(#"{"table":""#.utf8) + random(5000) + [0x0A],
        [0xBC, 0x22, 0x7D, 0x0A], Array(#""after":{"id":1}}"#.utf8) + [1, 2, 3, 4, 0x0A], [1, 2, 3, 0x0A],
    ])
    func aLogWhoseFirstLineIsBrokenIsRead(_ first: [UInt8]) async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let path = try self.write(place, "a.ndjson", first + Array(Self.text.utf8))
            let result = try await place.succeed("replay", "--json", "--no-deliver", path)
            #expect(try result.json()["applied"] as? Int == 5, "\(result)")
            #expect(try await connection.number("select count(*) from tidemark.dead_letters") > 0)
        }
    }

    // MARK: Compressed

    @Test
    func zstdIsReadAsGzipIs() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let half = Self.text.index(Self.text.startIndex, offsetBy: 100)
            let frames = Self.zstd(String(Self.text[..<half])) + [0x50, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 7, 7]
            let whole = frames + Self.zstd(String(Self.text[half...]))
            let path = try self.write(place, "a.ndjson.zst", whole)
            let file = try await place.succeed("replay", "--json", "--no-deliver", path)
            #expect(try file.json()["applied"] as? Int == 5)
            #expect(try await connection.value("select count(*) from orders") == "5")
            let piped = try await place.run(["replay", "--json", "--dry-run", "-"], input: Data(whole))
            #expect(try piped.json()["applied"] as? Int == 5)
            let cut = try await place.run(["replay", "--dry-run", "-"], input: Data(whole.dropLast(3)))
            #expect(cut.status == 65 && cut.error.contains("zstd cut short"), "\(cut.error)")
        }
    }

    @Test
    func damagedZstdSaysWhatIsWrong() async throws {
        try await withWorkplace(Self.yaml) { place, _ in
            let cases: [(bytes: [UInt8], said: String)] = [
                (Self.zstd(Self.text, checkSum: [1, 2, 3, 4]), "its check sum does not match its content"),
                (Self.zstd(Self.text, windowBits: 28), "needs a window over 128 MiB"),
                (Self.zstd(Self.text) + Array("{}".utf8), "bytes that are not zstd after its end"),
            ]
            for (bytes, said) in cases {
                let path = try self.write(place, "a.zst", bytes)
                let result = try await place.run("replay", "--no-deliver", path)
                #expect(result.status == 65, "\(result.error)")
                #expect(result.error.contains(path) && result.error.contains(said), "\(result.error)")
            }
        }
    }

    @Test
    func aWrongCheckSumOfGzipIsSaidAlsoWhereItsContentIsDeadLetters() async throws {
        try await withWorkplace(Self.yaml) { place, _ in
            for content in [Self.text, String(repeating: #"{"a":1}"# + "\n", count: 20_000)] {
                let path = try self.write(place, "a.ndjson.gz", Self.gzipWithoutCheckSum(content))
                let result = try await place.run("replay", "--no-deliver", path)
                #expect(result.status == 65, "\(result.error)")
                #expect(result.error.contains("\(path): damaged gzip"), "\(result.error)")
                #expect(result.error.contains("its check sum does not match its content"), "\(result.error)")
            }
        }
    }

    // MARK: JSON arrays

    /// As `jq .` and others print them.
    private static let arrays: [String] = {
        let broken: [String] = lines.map {
            $0.replacing(#"{"id""#, with: "{\r\n\t\"note\":\"a,]}\\\"[\",\r\n\"id\"")
        }
        let (inOne, inLines) = (lines.joined(separator: ","), lines.joined(separator: ",\n  "))
        let eachItsOwn: String = lines.map { "[\($0)]\n" }.joined()
        let behind: String = lines[2...].map { $0 + "\n" }.joined()
        return [
            "[\(inOne)]", "\u{FEFF}[\n  \(inLines)\n]\n",
            "\r\n[\r\n\(broken.joined(separator: "\r\n,\r\n"))\r\n]", eachItsOwn,
            "[\(lines[0]),\(lines[1])]\n\(behind)",
        ]
    }()

    @Test(arguments: arrays.indices)
    func theElementsOfAnArrayAreTheMessages(_ index: Int) async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let path = try self.write(place, "a.json", Array(Self.arrays[index].utf8))
            let compressed = try self.write(place, "b.json", Self.zstd(Self.arrays[index]))
            for path in [path, compressed] {
                let replay = try await place.succeed("replay", "--json", "--no-deliver", path)
                #expect(try replay.json()["messages"] as? Int == 5)
                #expect(try replay.json()["dead_letters"] as? Int == 0)
            }
            let piped = try await place.run(
                ["replay", "--json", "--dry-run", "-"],
                input: Data(Self.arrays[index].utf8)
            )
            #expect(try piped.json()["applied"] as? Int == 5)
            #expect(try await connection.value("select count(*) from orders") == "5")
        }
    }

    /// Elements that are no events are dead letters, alone; the same command resumes behind the first.
    @Test
    func anArrayIsResumedWhereItWasLeft() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let elements = [Self.lines[0], "7", Self.lines[1], #"{"a":[1,{"b":2}]}"#] + Self.lines[2...]
            let path = try self.write(place, "a.json", Array("[\n\(elements.joined(separator: ",\n"))\n]\n".utf8))
            for _ in 0..<2 {
                let stopped = try await place.run("replay", "--no-deliver", "--strict", "--lanes", "1", path)
                #expect(stopped.status == 65 && stopped.error.contains("--strict"), "\(stopped.error)")
            }
            let rest = try await place.succeed("replay", "--no-deliver", "--strict", "--json", "--lanes", "1", path)
            #expect(try rest.json()["messages"] as? Int == 7)
            #expect(try rest.json()["resumed"] as? Bool == true)
            #expect(try await connection.value("select count(*) from orders") == "5")
            let letters = "select string_agg(convert_from(raw, 'UTF8'), ' ' order by raw) from tidemark.dead_letters"
            #expect(try await connection.value(letters).contains("7"))
            #expect(try await connection.value("select count(*) from tidemark.dead_letters") == "2")
        }
    }

    @Test
    func anArrayWithoutItsEndIsCutShort() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let path = try self.write(place, "a.json", Array("[\(Self.lines.joined(separator: ",\n"))".utf8))
            let result = try await place.run("replay", "--no-deliver", path)
            #expect(result.status == 65 && result.error.contains("the JSON array is cut short"), "\(result.error)")
            #expect(try await connection.value("select count(*) from orders") == "4")
        }
    }
}
