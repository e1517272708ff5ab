/// Decompresses an LZ4 frame (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md), which is what RocketMQ's clients
/// write. Its checksums are not compared: the broker's CRC covers the compressed body.
///
/// A decoder of its own, because no library in use has one and the format's decoder is this small.
struct LZ4Frame {
    private var input: ByteInput
    private let limit: Int
    private var output: [UInt8] = []

    private static let magic: UInt32 = 0x184D_2204
    private static let skippable: ClosedRange<UInt32> = 0x184D_2A50...0x184D_2A5F
    /// The largest block that a frame may declare.
    private static let blockBytesMost = 4 << 20

    init(_ bytes: UnsafeRawBufferPointer, limit: Int) {
        self.input = ByteInput(bytes, "an LZ4 frame")
        self.limit = limit
    }

    private mutating func little32() throws(RocketMQDataError) -> UInt32 {
        try self.input.integer(UInt32.self).byteSwapped
    }

    mutating func decompress() throws(RocketMQDataError) -> (bytes: [UInt8], isCut: Bool) {
        repeat {
            let magic = try self.little32()
            if Self.skippable.contains(magic) {
                _ = try self.input.take(Int(try self.little32()))
                continue
            }
            guard magic == Self.magic else {
                throw RocketMQDataError(
                    "the compressed body is no LZ4 frame: it begins with \(String(magic, radix: 16))"
                )
            }
            if try self.frame() { return (Array(self.output.prefix(self.limit)), true) }
        } while self.input.remaining > 0
        return (self.output, false)
    }

    /// - Returns: whether the limit was reached.
    private mutating func frame() throws(RocketMQDataError) -> Bool {
        let flags = try self.input.integer(UInt8.self)
        guard flags >> 6 == 1 else { throw RocketMQDataError("the LZ4 frame has version \(flags >> 6), not 1") }
        guard flags & 1 == 0 else { throw RocketMQDataError("the LZ4 frame needs a dictionary") }
        _ = try self.input.integer(UInt8.self)
        // The content's size, and the header's checksum.
        if flags & 0x08 != 0 { _ = try self.input.take(8) }
        _ = try self.input.take(1)
        let areBlocksLinked = flags & 0x20 == 0
        let frameStart = self.output.count
        while true {
            let word = try self.little32()
            if word == 0 { break }
            let count = Int(word & 0x7FFF_FFFF)
            guard count <= Self.blockBytesMost else {
                throw RocketMQDataError("the LZ4 frame has a block of \(count) bytes")
            }
            let block = try self.input.take(count)
            if word >> 31 == 1 {
                self.output += self.input.bytes[block]
            } else {
                try self.block(block, historyStart: areBlocksLinked ? frameStart : self.output.count)
            }
            if flags & 0x10 != 0 { _ = try self.input.take(4) }
            if self.output.count > self.limit { return true }
        }
        if flags & 0x04 != 0 { _ = try self.input.take(4) }
        return false
    }

    private mutating func block(_ range: Range<Int>, historyStart: Int) throws(RocketMQDataError) {
        var block = ByteInput(self.input.bytes, range, "an LZ4 block")
        let most = self.output.count + Self.blockBytesMost
        while block.remaining > 0 {
            let token = try block.integer(UInt8.self)
            let literals = try block.take(try Self.length(token >> 4, &block))
            self.output += block.bytes[literals]
            // The last sequence has literals alone.
            guard block.remaining > 0 else { break }
            let distance = Int(try block.integer(UInt16.self).byteSwapped)
            let count = try Self.length(token & 0xF, &block) + 4
            guard distance > 0, distance <= self.output.count - historyStart else {
                throw RocketMQDataError("an LZ4 block refers \(distance) bytes back, before its beginning")
            }
            guard self.output.count + count <= most else {
                throw RocketMQDataError("an LZ4 block is longer than 4 MiB")
            }
            self.copy(count, from: self.output.count - distance)
        }
        guard self.output.count <= most else { throw RocketMQDataError("an LZ4 block is longer than 4 MiB") }
    }

    /// Byte by byte, since what is copied may overlap what it makes.
    private mutating func copy(_ count: Int, from start: Int) {
        self.output.reserveCapacity(self.output.count + count)
        for index in start..<(start + count) { self.output.append(self.output[index]) }
    }

    private static func length(_ nibble: UInt8, _ block: inout ByteInput) throws(RocketMQDataError) -> Int {
        var length = Int(nibble)
        guard nibble == 15 else { return length }
        while true {
            let more = try block.integer(UInt8.self)
            length += Int(more)
            if more < 255 { return length }
        }
    }
}
