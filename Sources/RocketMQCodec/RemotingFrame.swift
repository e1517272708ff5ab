/// A frame: its length, the type and length of its header, the header, the body.
package enum RemotingFrame {
    /// A peer closes the connection where a frame is longer.
    package static let bytesMost = 16_777_216

    /// - Throws: ``RocketMQDataError`` for a frame that is longer than a peer takes.
    package static func bytes(of command: RemotingCommand) throws(RocketMQDataError) -> [UInt8] {
        let header =
            command.serialization == .json ? RemotingHeader.json(of: command) : RemotingHeader.binary(of: command)
        let length = 4 + header.count + command.body.count
        guard length <= Self.bytesMost, header.count < 1 << 24 else {
            throw RocketMQDataError("a frame of \(length) bytes is longer than the \(Self.bytesMost) that a peer takes")
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 + length)
        bytes.append(bigEndian: Int32(length))
        bytes.append(bigEndian: UInt32(command.serialization.rawValue) << 24 | UInt32(header.count))
        bytes += header
        bytes += command.body
        return bytes
    }

    /// - Parameter bytes: all that follows a frame's length.
    static func command(_ bytes: UnsafeRawBufferPointer) throws(RocketMQDataError) -> RemotingCommand {
        var input = ByteInput(bytes, "a frame")
        let word = try input.integer(UInt32.self)
        let header = try input.take(Int(word & 0xFF_FFFF))
        let headerBytes = UnsafeRawBufferPointer(rebasing: bytes[header])
        guard let serialization = RemotingCommand.Serialization(rawValue: UInt8(word >> 24)) else {
            throw RocketMQDataError("a frame has a header of type \(word >> 24); 0 is JSON, 1 ROCKETMQ")
        }
        var command =
            switch serialization {
            case .json: try RemotingHeader.command(json: headerBytes)
            case .rocketmq: try RemotingHeader.command(binary: headerBytes)
            }
        command.body = Array(bytes[header.upperBound...])
        return command
    }
}

/// Cuts what comes from a connection into frames. A frame is decoded once it is whole.
package struct RemotingFrameDecoder: Sendable {
    private var buffer: [UInt8] = []
    private var start = 0
    private static let compactedBytes = 1 << 16

    package init() {}

    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if self.start > Self.compactedBytes || self.start == self.buffer.count {
            self.buffer.removeSubrange(..<self.start)
            self.start = 0
        }
        self.buffer.append(contentsOf: bytes)
    }

    /// Bytes that are held: at most one frame, where ``next()`` is called until it has none.
    package var heldBytes: Int { self.buffer.count - self.start }

    /// - Returns: `nil` until another frame is whole.
    /// - Throws: ``RocketMQDataError``; nothing that follows can be read.
    package mutating func next() throws(RocketMQDataError) -> RemotingCommand? {
        guard self.heldBytes >= 4 else { return nil }
        let start = self.start
        let length = self.buffer.withUnsafeBytes {
            Int32(bigEndian: $0.loadUnaligned(fromByteOffset: start, as: Int32.self))
        }
        guard (4...Int32(RemotingFrame.bytesMost)).contains(length) else {
            throw RocketMQDataError("a frame of \(length) bytes; there are frames of 4 to \(RemotingFrame.bytesMost)")
        }
        let end = start + 4 + Int(length)
        guard end <= self.buffer.count else { return nil }
        self.start = end
        let result = self.buffer.withUnsafeBytes { bytes -> Result<RemotingCommand, RocketMQDataError> in
            do throws(RocketMQDataError) {
                return .success(try RemotingFrame.command(UnsafeRawBufferPointer(rebasing: bytes[(start + 4)..<end])))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
