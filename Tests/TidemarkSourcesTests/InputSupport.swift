import CZlib
import Foundation
import Testing
import TidemarkCore
import TidemarkSources

/// A line as a test compares it.
struct ReadLine: Hashable, CustomStringConvertible {
    var offset: Int64
    var number: Int64
    var text: [UInt8]
    var length: Int64
    var isOversized = false

    init(_ offset: Int64, _ number: Int64, _ text: String) {
        self.offset = offset
        self.number = number
        self.text = Array(text.utf8)
        self.length = Int64(self.text.count)
    }

    init(_ line: MessageBlock.Message, in block: MessageBlock) {
        self.offset = Int64(line.offset.major)
        self.number = line.ordinal
        self.text = Array(block.bytes[line.range])
        self.length = line.length
        self.isOversized = line.isOversized
    }

    var description: String {
        "\(self.number)@\(self.offset)[\(self.length)\(self.isOversized ? "!" : "")] "
            + String(decoding: self.text.prefix(40), as: UTF8.self)
    }
}

extension LineReader {
    /// All lines that come before the end or the error.
    func readAll() -> (lines: [ReadLine], error: InputError?) {
        var lines: [ReadLine] = []
        do throws(InputError) {
            while let block = try self.nextBlock() {
                #expect(!block.messages.isEmpty)
                #expect(block.bytes.count >= (block.messages.last?.range.upperBound ?? 0) + MessageBlock.padding)
                #expect(block.end == self.progress)
                for line in block.messages { lines.append(ReadLine(line, in: block)) }
            }
        } catch {
            #expect(!self.isAtEnd)
            return (lines, error)
        }
        #expect(self.isAtEnd)
        return (lines, nil)
    }
}

/// What must be read, found in the plainest way.
func linesExpected(of content: [UInt8], messageBytesMax: Int = .max, oversizedBytesKept: Int = 1 << 20) -> [ReadLine] {
    var lines: [ReadLine] = []
    var start = content.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    var number: Int64 = 0
    while start < content.count {
        let end = content[start...].firstIndex(of: 0x0A) ?? content.count
        var text = Array(content[start..<end])
        number += 1
        if !text.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) {
            if text.last == 0x0D { text.removeLast() }
            var line = ReadLine(Int64(start), number, "")
            line.length = Int64(text.count)
            line.isOversized = text.count > messageBytesMax
            line.text = line.isOversized ? Array(text.prefix(oversizedBytesKept)) : text
            lines.append(line)
        }
        start = end + 1
    }
    return lines
}

func gzip(_ content: some Collection<UInt8>) -> [UInt8] {
    var stream = z_stream()
    let version = zlibVersion()
    deflateInit2_(
        &stream,
        6,
        Z_DEFLATED,
        15 + 16,
        8,
        Z_DEFAULT_STRATEGY,
        version,
        Int32(MemoryLayout<z_stream>.size)
    )
    defer { deflateEnd(&stream) }
    var input = Array(content)
    return input.withUnsafeMutableBufferPointer { source in
        stream.next_in = source.baseAddress
        stream.avail_in = UInt32(source.count)
        return [UInt8](unsafeUninitializedCapacity: Int(deflateBound(&stream, UInt(source.count)))) { memory, count in
            stream.next_out = memory.baseAddress
            stream.avail_out = UInt32(memory.count)
            #expect(deflate(&stream, Z_FINISH) == Z_STREAM_END)
            count = Int(stream.total_out)
        }
    }
}

/// A folder of its own for one test.
struct TemporaryFolder {
    let path: String

    @discardableResult
    func write(_ name: String, _ content: some Collection<UInt8>) throws -> String {
        let url = URL(filePath: self.path + "/" + name)
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(content).write(to: url)
        return url.path(percentEncoded: false)
    }

    func file(_ name: String, _ content: some Collection<UInt8>) throws -> InputFile {
        let path = try self.write(name, content)
        return try #require(try InputResolver.resolve([path]).first)
    }
}

func withTemporaryFolder<R>(_ body: (TemporaryFolder) throws -> R) throws -> R {
    let path = FileManager.default.temporaryDirectory.path + "/tidemark-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(TemporaryFolder(path: path))
}

/// Two ends of a pipe; both are closed at the end, the writing one perhaps before.
final class TestPipe: Sendable {
    let readEnd: Int32
    let writeEnd: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        #expect(pipe(&ends) == 0)
        (self.readEnd, self.writeEnd) = (ends[0], ends[1])
    }

    deinit { close(self.readEnd) }

    func send(_ bytes: some Collection<UInt8>) {
        let all = Array(bytes)
        var sent = 0
        while sent < all.count {
            let count = all.withUnsafeBytes { write(self.writeEnd, $0.baseAddress! + sent, $0.count - sent) }
            guard count > 0 else { return }
            sent += count
        }
    }

    func finish() { close(self.writeEnd) }
}
