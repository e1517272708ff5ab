import Testing
import TidemarkTesting

@testable import TidemarkCore

/// Bytes that are written without checks: every length and every border of a word is tried.
@Suite struct ByteWriterTests {
    private static func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) } }

    @Test func `a piece of any length is copied whole, and nothing beside it`() {
        for count in 0...200 {
            let piece = Self.bytes(count)
            var buffer = ByteBuffer(capacity: 1)
            buffer.append([0xAA])
            buffer.append(piece)
            buffer.append([0xBB])
            #expect(buffer.array == [0xAA] + piece + [0xBB], "\(count)")
            var writer = buffer.writer(reserving: count)
            piece.withUnsafeBytes { writer.append($0) }
            buffer.commit(writer)
            #expect(buffer.array == [0xAA] + piece + [0xBB] + piece, "\(count)")
        }
    }

    /// A short value is moved by 32 bytes where the message has so many: the rest is written over.
    @Test func `a value of any length is written as it stands in its message`() throws {
        for count in 0...70 {
            for behind in [0, 1, 31, 32, 64] {
                let message = Self.bytes(3) + Self.bytes(count) + [UInt8](repeating: 0xEE, count: behind)
                var buffer = ByteBuffer(capacity: 1)
                try message.withUnsafeBytes { message in
                    let value = try #require(FastPathText(ByteRange(start: 3, end: 3 + count), of: message))
                    var writer = buffer.writer(reserving: ByteWriter.valueBytesMax(count))
                    writer.append(value)
                    writer.append(0xFF)
                    buffer.commit(writer)
                }
                #expect(buffer.array == Self.bytes(count) + [0xFF], "\(count) bytes, \(behind) behind them")
            }
        }
    }

    @Test func `numbers are big-endian`() {
        var buffer = ByteBuffer(capacity: 1)
        buffer.appendBigEndian(0x0102 as UInt16)
        buffer.appendBigEndian(-2 as Int32)
        buffer.appendBigEndian(Int64.min)
        var writer = buffer.writer(reserving: 4)
        writer.appendBigEndian(0xA0B0_C0D0 as UInt32)
        buffer.commit(writer)
        #expect(buffer.array == [1, 2, 0xFF, 0xFF, 0xFF, 0xFE, 0x80, 0, 0, 0, 0, 0, 0, 0, 0xA0, 0xB0, 0xC0, 0xD0])
    }

    @Test(arguments: [0, 1, 127, 251, 252, 253, 255, 256, 70_000])
    func `a length stands in front of what it counts, in one byte where it has room`(_ count: Int) {
        var buffer = ByteBuffer(capacity: 1)
        var writer = buffer.writer(reserving: ByteWriter.valueBytesMax(count))
        let start = writer.address
        writer.append(0)
        Self.bytes(count).withUnsafeBytes { writer.append($0) }
        let moved = Array(writer.storeCount(at: start, base: 3))
        buffer.commit(writer)
        #expect(moved == Self.bytes(count))
        var expected: [UInt8] = count < 252 ? [UInt8(3 + count)] : [0xFF]
        if count >= 252 { expected.appendBigEndian(UInt32(count)) }
        #expect(buffer.array == expected + Self.bytes(count))
    }

    @Test func `a length of four bytes is filled in behind what it counts`() {
        var buffer = ByteBuffer()
        buffer.append([9])
        var writer = buffer.writer(reserving: 20)
        let start = writer.address
        writer.appendBigEndian(0 as UInt32)
        writer.append("abcde")
        writer.storeLength(at: start)
        buffer.commit(writer)
        #expect(buffer.array == [9, 0, 0, 0, 5] + Array("abcde".utf8))
        var array: [UInt8] = [7, 0, 0, 0, 0, 1, 2, 3]
        array.setLength(at: 1)
        #expect(array == [7, 0, 0, 0, 3, 1, 2, 3])
    }

    @Test func `what is not to stay is not there, in either buffer`() {
        var first = ByteBuffer()
        var second = ByteBuffer()
        first.append([1])
        second.append([2])
        for isKept in [false, true] {
            let result = ByteBuffer.write(8, &first, &second) { left, right in
                left.append(3)
                right.append(4)
                right.append(5)
                return isKept
            }
            #expect(result == isKept)
            #expect(first.array == (isKept ? [1, 3] : [1]) && second.array == (isKept ? [2, 4, 5] : [2]))
        }
    }

    @Test func `a buffer that grows, shrinks and is copied from keeps its bytes`() {
        var random = SeededGenerator.forTest("byte buffer")
        for _ in 0..<100 {
            var buffer = ByteBuffer(capacity: 1)
            var other = ByteBuffer(capacity: 1)
            var expected: [UInt8] = []
            for _ in 0..<40 {
                switch Int.random(in: 0..<4, using: &random) {
                case 0:
                    let count = Int.random(in: 0...expected.count, using: &random)
                    buffer.truncate(to: count)
                    expected.removeLast(expected.count - count)
                case 1:
                    other.truncate()
                    other.append(Self.bytes(Int.random(in: 0...90, using: &random)))
                    let start = Int.random(in: 0...other.count, using: &random)
                    buffer.append(other, start..<other.count)
                    expected += other.array[start...]
                case 2:
                    buffer.append(UInt8(expected.count & 0xFF))
                    expected.append(UInt8(expected.count & 0xFF))
                default:
                    let piece = Self.bytes(Int.random(in: 0...300, using: &random))
                    buffer.append(piece.span)
                    expected += piece
                }
                #expect(buffer.array == expected && buffer.count == expected.count, "seed \(random.seed)")
            }
        }
    }

    // MARK: Looking for bytes, eight at a time

    @Test func `a byte that is looked for is found at any place in a text of any length`() {
        func questions(_ bytes: [UInt8]) -> [Bool] {
            bytes.withUnsafeBytes { [$0.hasZero, $0.needsEscape, $0.hasTableSyntax] }
        }
        for count in 0...26 {
            for filler in [0x61, 0x20, 0x7F, 0x80, 0xFF] as [UInt8] {
                let base = [UInt8](repeating: filler, count: count)
                #expect(questions(base) == [false, false, false], "\(count) times \(filler)")
                for place in 0..<count {
                    for byte in UInt8.min ... .max {
                        var bytes = base
                        bytes[place] = byte
                        let expected = [
                            byte == 0, byte < 0x20 || byte == 0x22 || byte == 0x5C,
                            [0x2E, 0x22, 0x2A, 0x3F].contains(byte),
                        ]
                        if questions(bytes) != expected {
                            Issue.record("\(byte) at \(place) of \(count) times \(filler)")
                        }
                    }
                }
            }
        }
    }

    @Test func `bytes are equal, or begin with others, byte by byte`() {
        for count in 0...20 {
            let base = Self.bytes(count)
            for place in 0...count {
                var other = base
                if place < count { other[place] ^= 0x10 }
                let (isEqual, begins) = base.withUnsafeBytes { base in
                    other.withUnsafeBytes { other in
                        (base.isEqual(to: other), base.begins(with: UnsafeRawBufferPointer(rebasing: other[..<place])))
                    }
                }
                #expect(isEqual == (place == count) && begins, "\(place) of \(count)")
            }
            let begins = base.withUnsafeBytes { base in Self.bytes(count + 1).withUnsafeBytes { base.begins(with: $0) }
            }
            #expect(!begins, "with more than there is")
        }
    }
}
