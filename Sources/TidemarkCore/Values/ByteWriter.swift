/// Writes bytes, front to back, into room that a ``ByteBuffer`` has reserved. It is two words and stays in registers, where
/// the fields of a buffer are loaded from memory.
///
/// The caller reserves room once for the most that one value takes (``valueBytesMax(_:)``); writes are not checked then.
package struct ByteWriter {
    package private(set) var address: UnsafeMutableRawPointer
    private let end: UnsafeMutableRawPointer

    @inline(__always)
    init(_ address: UnsafeMutableRawPointer, end: UnsafeMutableRawPointer) {
        self.address = address
        self.end = end
    }

    /// The most that a plain value takes which is written in `count` bytes, in either form: its length, the digits of a
    /// number in PostgreSQL's binary form, the zeros that a scale adds, a zone.
    @inline(__always)
    static func valueBytesMax(_ count: Int) -> Int { count + 64 }

    @inline(__always)
    func hasRoom(_ count: Int) -> Bool { self.end - self.address >= count }

    /// Continues at `address`: behind bytes that other code wrote, or over them.
    @inline(__always)
    mutating func move(to address: UnsafeMutableRawPointer) { self.address = address }

    @inline(__always)
    package mutating func append(_ byte: UInt8) {
        self.address.storeBytes(of: byte, as: UInt8.self)
        self.address += 1
    }

    @inline(__always)
    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        Self.copy(source, bytes.count, to: self.address)
        self.address += bytes.count
    }

    /// Appends a value: up to 32 bytes branch-free, because lengths are unpredictable. The room is that of a value.
    @inline(__always)
    mutating func append(_ text: FastPathText) {
        guard text.count <= 32, text.readable >= 32 else {
            self.address = Self.copied(text, to: self.address)
            return
        }
        let first = text.start.loadUnaligned(as: SIMD16<UInt8>.self)
        let second = text.start.loadUnaligned(fromByteOffset: 16, as: SIMD16<UInt8>.self)
        self.address.storeBytes(of: first, as: SIMD16<UInt8>.self)
        self.address.storeBytes(of: second, toByteOffset: 16, as: SIMD16<UInt8>.self)
        self.address += text.count
    }

    /// - Returns: where the copy ends.
    @inline(never)
    private static func copied(_ text: FastPathText, to target: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        Self.copy(text.start, text.count, to: target)
        return target + text.count
    }

    @inline(__always)
    package mutating func append(_ text: StaticString) {
        self.append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inline(__always)
    package mutating func appendBigEndian<Integer: FixedWidthInteger>(_ value: Integer) {
        self.address.storeBytes(of: value.bigEndian, as: Integer.self)
        self.address += MemoryLayout<Integer>.size
    }

    /// Fills in the four bytes at `start` with how many follow them.
    @inline(__always)
    mutating func storeLength(at start: UnsafeMutableRawPointer) {
        let length = UInt32(truncatingIfNeeded: self.address - start - 4)
        start.storeBytes(of: length.bigEndian, as: UInt32.self)
    }

    /// Puts in front of the bytes behind `start` how many they are, and so where they end: in the byte at `start`, as
    /// `base` and the count, or, where that is too large for a byte, as 255 and the count in four bytes.
    /// - Returns: the bytes, where they are now.
    @inline(__always)
    mutating func storeCount(at start: UnsafeMutableRawPointer, base: UInt8) -> UnsafeRawBufferPointer {
        let count = self.address - start - 1
        let isLarge = count >= Int(UInt8.max - base)
        if isLarge {
            self = self.makingRoomForCount(count, at: start)
        } else {
            start.storeBytes(of: base + UInt8(truncatingIfNeeded: count), as: UInt8.self)
        }
        return UnsafeRawBufferPointer(start: start + (isLarge ? 1 + Self.countBytes : 1), count: count)
    }

    private static let countBytes = MemoryLayout<UInt32>.size

    @inline(never)
    private func makingRoomForCount(_ count: Int, at start: UnsafeMutableRawPointer) -> ByteWriter {
        (start + 1 + Self.countBytes).copyMemory(from: start + 1, byteCount: count)
        start.storeBytes(of: .max, as: UInt8.self)
        (start + 1).storeBytes(of: UInt32(truncatingIfNeeded: count).bigEndian, as: UInt32.self)
        return ByteWriter(self.address + Self.countBytes, end: self.end)
    }

    /// Short pieces are most: they are moved in two overlapping words, without a call.
    @inline(__always)
    static func copy(_ source: UnsafeRawPointer, _ count: Int, to target: UnsafeMutableRawPointer) {
        if count >= 8, count <= 16 {
            Self.copyEnds(UInt64.self, source, count, to: target)
        } else if count >= 4, count < 8 {
            Self.copyEnds(UInt32.self, source, count, to: target)
        } else if count > 16, count <= 32 {
            Self.copyEnds(SIMD16<UInt8>.self, source, count, to: target)
        } else if count < 4 {
            for index in 0..<count {
                let byte = source.load(fromByteOffset: index, as: UInt8.self)
                target.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
            }
        } else {
            target.copyMemory(from: source, byteCount: count)
        }
    }

    /// - Parameter count: at least the size of a word, at most two of them.
    @inline(__always)
    private static func copyEnds<Word: BitwiseCopyable>(
        _ word: Word.Type,
        _ source: UnsafeRawPointer,
        _ count: Int,
        to target: UnsafeMutableRawPointer
    ) {
        let behind = count &- MemoryLayout<Word>.size
        let first = source.loadUnaligned(as: Word.self)
        let last = source.loadUnaligned(fromByteOffset: behind, as: Word.self)
        target.storeBytes(of: first, as: Word.self)
        target.storeBytes(of: last, toByteOffset: behind, as: Word.self)
    }
}

extension ByteBuffer {
    /// Appends one value by way of a cursor.
    /// - Parameter body: returns whether the value is to stay.
    @inline(__always)
    static func write(
        _ count: Int,
        _ first: inout ByteBuffer,
        _ second: inout ByteBuffer,
        _ body: (inout ByteWriter, inout ByteWriter) -> Bool
    ) -> Bool {
        var (left, right) = (first.writer(reserving: count), second.writer(reserving: count))
        guard body(&left, &right) else { return false }
        first.commit(left)
        second.commit(right)
        return true
    }
}
