internal import CLibDeflate
import PlatformC

/// A message as a broker stores it and answers a pull with. Its ranges are of the answer's body.
package struct StoredMessage: Sendable, Equatable {
    package struct Host: Sendable, Equatable, CustomStringConvertible {
        /// 4 or 16 bytes.
        package var address: [UInt8]
        package var port: Int32

        package init(address: [UInt8], port: Int32) {
            self.address = address
            self.port = port
        }

        package var description: String {
            let family = self.address.count == 4 ? AF_INET : AF_INET6
            var text = [CChar](repeating: 0, count: 64)
            guard inet_ntop(family, self.address, &text, socklen_t(text.count)) != nil else { return "?:\(self.port)" }
            let shown = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            return self.address.count == 4 ? "\(shown):\(self.port)" : "[\(shown)]:\(self.port)"
        }
    }

    /// Where it stands, its size included.
    package var range: Range<Int>
    package var magic: UInt32 = 0
    package var bodyCRC: UInt32 = 0
    package var queueID: Int32 = 0
    /// The producer's, without meaning here.
    package var flag: Int32 = 0
    /// Its position in the queue.
    package var queueOffset: Int64 = 0
    package var physicalOffset: Int64 = 0
    package var systemFlags = SystemFlags(rawValue: 0)
    /// Milliseconds since 1970, by the producer's clock.
    package var bornTimestamp: Int64 = 0
    package var bornHost = Range<Int>(uncheckedBounds: (0, 0))
    /// Milliseconds since 1970, by the broker's clock.
    package var storeTimestamp: Int64 = 0
    package var storeHost = Range<Int>(uncheckedBounds: (0, 0))
    package var reconsumeTimes: Int32 = 0
    package var preparedTransactionOffset: Int64 = 0
    /// As it is stored, compressed where the flags say so.
    package var body = Range<Int>(uncheckedBounds: (0, 0))
    package var topic = Range<Int>(uncheckedBounds: (0, 0))
    package var properties = Range<Int>(uncheckedBounds: (0, 0))
    /// Why it cannot be read, as a sentence; the messages behind it can be.
    package var defect: String?

    init(range: Range<Int>) { self.range = range }

    /// Half messages of transactions, and those that were rolled back, are for the broker alone.
    package var isVisible: Bool {
        self.systemFlags.transaction != .prepared && self.systemFlags.transaction != .rolledBack
    }

    /// `daa320a7`; with the second one the topic's length has two bytes.
    package static let magicNumbers: (one: UInt32, two: UInt32) = (0xDAA3_20A7, 0xDAA3_20AB)

    package static func host(_ range: Range<Int>, of bytes: UnsafeRawBufferPointer) -> Host? {
        guard range.count == 8 || range.count == 20 else { return nil }
        let port = bytes.loadUnaligned(fromByteOffset: range.upperBound - 4, as: Int32.self)
        return Host(address: Array(bytes[range.dropLast(4)]), port: Int32(bigEndian: port))
    }

    /// The broker's CRC of a stored body: CRC-32 with the top bit cleared. libdeflate computes it with the processor's own
    /// instructions, seven times as fast as zlib 1.2.13.
    package static func checksum(of bytes: UnsafeRawBufferPointer) -> UInt32 {
        // Of no address libdeflate gives 0, which is also the CRC of nothing.
        libdeflate_crc32(0, bytes.baseAddress, bytes.count) & 0x7FFF_FFFF
    }
}

/// `sysFlag` of a message.
package struct SystemFlags: RawRepresentable, Sendable, Equatable {
    package enum Compression: Sendable, Equatable {
        case zlib, lz4, zstd
    }

    package enum Transaction: Int32, Sendable {
        case none = 0
        case prepared = 4
        case committed = 8
        case rolledBack = 12
    }

    package let rawValue: Int32

    package init(rawValue: Int32) { self.rawValue = rawValue }

    package var isCompressed: Bool { self.rawValue & 0x1 != 0 }
    package var transaction: Transaction { Transaction(rawValue: self.rawValue & 0xC) ?? .none }
    var hasBornHost6: Bool { self.rawValue & 0x10 != 0 }
    var hasStoreHost6: Bool { self.rawValue & 0x20 != 0 }

    /// - Returns: `nil` for a type that has no name.
    package var compression: Compression? {
        switch self.rawValue >> 8 & 7 {
        case 0, 3: .zlib
        case 1: .lz4
        case 2: .zstd
        default: nil
        }
    }

    /// Why a message with these flags cannot be read, as a sentence.
    var defect: String? {
        if self.rawValue & 0x40 != 0 {
            return "the message's sysFlag \(self.rawValue) has NEED_UNWRAP_FLAG (0x40): it is an inner batch"
        }
        if self.rawValue & 0x80 != 0 {
            return "the message's sysFlag \(self.rawValue) has INNER_BATCH_FLAG (0x80): it is an inner batch"
        }
        let unknown = self.rawValue & ~0x7FF
        if unknown != 0 {
            return
                "the message's sysFlag \(self.rawValue) has flags that are not known: 0x\(String(UInt32(bitPattern: unknown), radix: 16))"
        }
        if self.isCompressed, self.compression == nil {
            return
                "the message's sysFlag \(self.rawValue) names compression \(self.rawValue >> 8 & 7); known are 0 and 3 (zlib), "
                + "1 (LZ4) and 2 (zstd)"
        }
        return nil
    }
}

/// Goes through the messages of a pull's answer. Each begins with its size, so one that is damaged inside is stepped over.
package struct StoredMessages {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    /// Size, magic, CRC, queue, flag and queue offset.
    private static let leastBytes = 28

    package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// - Returns: `nil` behind the last one.
    /// - Throws: ``RocketMQDataError`` where a size is wrong, so that the next message cannot be found.
    package mutating func next() throws(RocketMQDataError) -> StoredMessage? {
        guard self.position < self.bytes.count else { return nil }
        var input = ByteInput(self.bytes, self.position..<self.bytes.count, "a pull's answer")
        let size = Int(try input.integer(Int32.self))
        guard size >= Self.leastBytes, size - 4 <= input.remaining else {
            throw RocketMQDataError(
                "a stored message says that it has \(size) bytes, where \(input.remaining + 4) follow"
            )
        }
        var message = StoredMessage(range: self.position..<(self.position + size))
        self.position += size
        do throws(RocketMQDataError) {
            try self.read(&message)
        } catch {
            message.defect = message.defect ?? error.description
        }
        return message
    }

    private func read(_ message: inout StoredMessage) throws(RocketMQDataError) {
        var input = ByteInput(self.bytes, message.range.dropFirst(4), "a stored message")
        message.magic = try input.integer()
        message.bodyCRC = try input.integer()
        message.queueID = try input.integer()
        message.flag = try input.integer()
        message.queueOffset = try input.integer()
        guard message.magic == StoredMessage.magicNumbers.one || message.magic == StoredMessage.magicNumbers.two else {
            throw RocketMQDataError(
                "the message has the magic number \(String(message.magic, radix: 16)); known are daa320a7 and daa320ab"
            )
        }
        message.physicalOffset = try input.integer()
        message.systemFlags = SystemFlags(rawValue: try input.integer())
        if let defect = message.systemFlags.defect { throw RocketMQDataError(defect) }
        message.bornTimestamp = try input.integer()
        message.bornHost = try input.take(message.systemFlags.hasBornHost6 ? 20 : 8)
        message.storeTimestamp = try input.integer()
        message.storeHost = try input.take(message.systemFlags.hasStoreHost6 ? 20 : 8)
        message.reconsumeTimes = try input.integer()
        message.preparedTransactionOffset = try input.integer()
        message.body = try input.field(Int32.self)
        message.topic =
            message.magic == StoredMessage.magicNumbers.one
            ? try input.field(UInt8.self) : try input.field(UInt16.self)
        message.properties = try input.field(UInt16.self)
        guard input.remaining == 0 else {
            throw RocketMQDataError("the stored message has \(input.remaining) bytes behind its properties")
        }
        let found = StoredMessage.checksum(of: UnsafeRawBufferPointer(rebasing: self.bytes[message.body]))
        guard found == message.bodyCRC else {
            throw RocketMQDataError("the stored body's CRC is \(found), and the message says \(message.bodyCRC)")
        }
    }
}

extension StoredMessage {
    /// What a broker stores of a message: for brokers of tests.
    package struct Content: Sendable {
        package var queueID: Int32 = 0
        package var flag: Int32 = 0
        package var queueOffset: Int64 = 0
        package var physicalOffset: Int64 = 0
        package var systemFlags: Int32 = 0
        package var bornTimestamp: Int64 = 0
        package var storeTimestamp: Int64 = 0
        package var bornHost = Host(address: [127, 0, 0, 1], port: 0)
        package var storeHost = Host(address: [127, 0, 0, 1], port: 0)
        package var reconsumeTimes: Int32 = 0
        package var preparedTransactionOffset: Int64 = 0
        package var body: [UInt8] = []
        package var topic: [UInt8] = []
        package var properties: [UInt8] = []

        package init() {}

        package var bytes: [UInt8] {
            let isLong = self.topic.count > 127
            var bytes: [UInt8] = [0, 0, 0, 0]
            bytes.append(bigEndian: isLong ? StoredMessage.magicNumbers.two : StoredMessage.magicNumbers.one)
            bytes.append(bigEndian: self.body.withUnsafeBytes { StoredMessage.checksum(of: $0) })
            bytes.append(bigEndian: self.queueID)
            bytes.append(bigEndian: self.flag)
            bytes.append(bigEndian: self.queueOffset)
            bytes.append(bigEndian: self.physicalOffset)
            var flags = self.systemFlags & ~0x30
            if self.bornHost.address.count == 16 { flags |= 0x10 }
            if self.storeHost.address.count == 16 { flags |= 0x20 }
            bytes.append(bigEndian: flags)
            bytes.append(bigEndian: self.bornTimestamp)
            bytes += self.bornHost.address
            bytes.append(bigEndian: self.bornHost.port)
            bytes.append(bigEndian: self.storeTimestamp)
            bytes += self.storeHost.address
            bytes.append(bigEndian: self.storeHost.port)
            bytes.append(bigEndian: self.reconsumeTimes)
            bytes.append(bigEndian: self.preparedTransactionOffset)
            bytes.append(bigEndian: Int32(clamping: self.body.count))
            bytes += self.body
            if isLong {
                bytes.append(bigEndian: UInt16(clamping: self.topic.count))
            } else {
                bytes.append(UInt8(clamping: self.topic.count))
            }
            bytes += self.topic
            bytes.append(bigEndian: UInt16(clamping: self.properties.count))
            bytes += self.properties
            let size = Int32(clamping: bytes.count)
            bytes.replaceSubrange(0..<4, with: Swift.withUnsafeBytes(of: size.bigEndian) { Array($0) })
            return bytes
        }
    }
}
