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

/// Cuts what comes from a connection into frames. A frame that comes whole is decoded where it is; of one that does not, what
/// came is kept.
package struct RemotingFrameDecoder: Sendable {
    /// The beginning of a frame, less than all of it.
    private var beginning: [UInt8] = []

    package init() {}

    /// Bytes that are held, less than a frame.
    package var heldBytes: Int { self.beginning.count }

    /// Hands on every frame that is whole with these bytes.
    /// - Throws: ``RocketMQDataError``, behind the frames before it; nothing that follows can be read.
    package mutating func feed(
        _ bytes: UnsafeRawBufferPointer,
        _ body: (RemotingCommand) -> Void
    ) throws(RocketMQDataError) {
        var rest = bytes[...]
        while true {
            if self.beginning.isEmpty {
                let whole = UnsafeRawBufferPointer(rebasing: rest)
                guard let count = try Self.frameBytes(whole), count <= whole.count else { break }
                body(try RemotingFrame.command(UnsafeRawBufferPointer(rebasing: whole[4..<count])))
                rest = rest.dropFirst(count)
                continue
            }
            // As much as it lacks; its length first.
            let known = try self.fromBeginning { bytes throws(RocketMQDataError) in try Self.frameBytes(bytes) }
            let lacking = (known ?? 4) - self.beginning.count
            self.beginning.append(contentsOf: rest.prefix(lacking))
            guard rest.count >= lacking else { return }
            rest = rest.dropFirst(lacking)
            guard known != nil else { continue }
            let command = try self.fromBeginning { bytes throws(RocketMQDataError) in
                try RemotingFrame.command(UnsafeRawBufferPointer(rebasing: bytes[4...]))
            }
            self.beginning.removeAll(keepingCapacity: self.beginning.capacity <= Self.keptBytes)
            body(command)
        }
        self.beginning.append(contentsOf: rest)
    }

    private static let keptBytes = 1 << 16

    private func fromBeginning<R>(
        _ body: (UnsafeRawBufferPointer) throws(RocketMQDataError) -> R
    ) throws(RocketMQDataError) -> R {
        let result = self.beginning.withUnsafeBytes { bytes -> Result<R, RocketMQDataError> in
            do throws(RocketMQDataError) {
                return .success(try body(bytes))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// With the four of its length; `nil` before they are there.
    private static func frameBytes(_ bytes: UnsafeRawBufferPointer) throws(RocketMQDataError) -> Int? {
        guard bytes.count >= 4 else { return nil }
        let length = Int32(bigEndian: bytes.loadUnaligned(as: Int32.self))
        guard (4...Int32(RemotingFrame.bytesMost)).contains(length) else {
            throw RocketMQDataError("a frame of \(length) bytes; there are frames of 4 to \(RemotingFrame.bytesMost)")
        }
        return 4 + Int(length)
    }
}
