import RocketMQCodec
import TidemarkCore

/// Broken frames of RocketMQ, and what has to hold of them. An input is a marker, and the frame behind it.
enum FuzzFrames {
    static let marker = "tidemark-fuzz-rocketmq\n"
    private static let bytesMax = 1 << 16
    private static let bodyBytesMax = 1 << 18

    // MARK: Making them

    static func mutated(_ input: [UInt8], of corpus: [[UInt8]], _ random: inout SplitMix64) -> [UInt8] {
        var frame = Array(input.dropFirst(Self.marker.utf8.count))
        for _ in 0...random.below(6) where !frame.isEmpty && frame.count < Self.bytesMax {
            let at = random.below(frame.count)
            let end = at + random.below(min(frame.count - at, 80) + 1)
            switch random.below(9) {
            case 0: frame[at] = UInt8(truncatingIfNeeded: random.next())
            case 1: frame[at] ^= 1 << UInt8(random.below(8))
            case 2: frame.removeSubrange(at..<end)
            case 3: frame.insert(contentsOf: Array(frame[at..<end]), at: random.below(frame.count + 1))
            case 4: frame.removeSubrange(at...)
            case 5, 6: Self.replaceNumber(at: at, of: &frame, &random)
            case 7: frame[at] = [0x22, 0x7B, 0x7D, 0x5B, 0x2C, 0x3A, 0x5C, 0x01, 0x02, 0x30][random.below(10)]
            default:
                let other = corpus[random.below(corpus.count)]
                frame.replaceSubrange(at..., with: other.suffix(random.below(other.count + 1)))
            }
        }
        if random.chance(85) { Self.mendLength(of: &frame) }
        return Array(Self.marker.utf8) + frame
    }

    /// Has a number at its limits, where a length or a count may stand.
    private static func replaceNumber(at: Int, of frame: inout [UInt8], _ random: inout SplitMix64) {
        guard at + 4 <= frame.count else { return }
        let limits: [Int32] = [0, 1, -1, .max, .min, 0x7FFF, 0x8000, 0xFFFF, 16_777_216, Int32(frame.count)]
        let value = random.chance(70) ? limits[random.below(limits.count)] : Int32(truncatingIfNeeded: random.next())
        withUnsafeBytes(of: value.bigEndian) { frame.replaceSubrange(at..<(at + 4), with: $0) }
    }

    /// A frame that ends where it says gets past the first check.
    private static func mendLength(of frame: inout [UInt8]) {
        guard frame.count >= 4 else { return }
        let length = Int32(frame.count - 4)
        withUnsafeBytes(of: length.bigEndian) { frame.replaceSubrange(0..<4, with: $0) }
    }

    // MARK: Judging them

    static func problem(in input: [UInt8]) -> String? {
        let frame = Array(input.dropFirst(Self.marker.utf8.count))
        let whole = Self.commands(frame, pieceBytes: max(frame.count, 1))
        let split = Self.commands(frame, pieceBytes: 1 + frame.count / 7)
        guard whole.commands == split.commands, whole.error == split.error else {
            return "frames depend on how they are cut into pieces"
        }
        for command in whole.commands {
            if let problem = Self.problem(in: command) { return problem }
        }
        return nil
    }

    private static func commands(_ bytes: [UInt8], pieceBytes: Int) -> (
        commands: [RemotingCommand], error: RocketMQDataError?
    ) {
        var decoder = RemotingFrameDecoder()
        var commands: [RemotingCommand] = []
        for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
            do {
                try bytes[start..<min(start + pieceBytes, bytes.count)].withUnsafeBytes { piece in
                    try decoder.feed(piece) { commands.append($0) }
                }
            } catch {
                return (commands, error as? RocketMQDataError)
            }
        }
        return (commands, nil)
    }

    private static func problem(in command: RemotingCommand) -> String? {
        for serialization in RemotingCommand.Serialization.allCases {
            var other = command
            other.serialization = serialization
            // A binary header has no room for every JSON header.
            if serialization == .rocketmq {
                guard Int16(exactly: command.code) != nil, Int16(exactly: command.version) != nil else { continue }
                if command.remark == "" { other.remark = nil }
                if command.fields.contains(where: { $0.name.utf8.count > Int(Int16.max) }) { continue }
                other.language = "GO"
            }
            guard let bytes = try? RemotingFrame.bytes(of: other) else { return "a frame that came cannot be written" }
            guard Self.commands(bytes, pieceBytes: bytes.count).commands == [other] else {
                return "a frame that is written in \(serialization.name) is read as another one"
            }
        }
        _ = try? LenientJSON(command.body)
        if let route = try? TopicRoute(command.body), (try? TopicRoute(route.json)) != route {
            return "a route that is written is read as another one"
        }
        _ = try? GroupBodies.queues("mqSet", in: command.body)
        _ = try? GroupBodies.members(in: command.body)
        if let batch = try? SendRequest.messages(inBatch: command.body) {
            _ = SendRequest.batch(batch)
        }
        return command.body.withUnsafeBytes { Self.problem(inMessages: $0) }
    }

    private static func problem(inMessages bytes: UnsafeRawBufferPointer) -> String? {
        var messages = StoredMessages(bytes)
        var end = 0
        while let message = try? messages.next() {
            guard message.range.lowerBound == end, message.range.upperBound <= bytes.count else {
                return "a message outside of its answer"
            }
            end = message.range.upperBound
            for range in [message.body, message.topic, message.properties, message.bornHost, message.storeHost]
            where !range.isEmpty {
                guard message.range.contains(range.lowerBound), range.upperBound <= end else {
                    return "a field outside"
                }
            }
            var isInside = true
            MessageProperties.forEach(bytes, in: message.properties) { name, value in
                isInside =
                    isInside && name.lowerBound >= message.properties.lowerBound
                    && value.upperBound <= message.properties.upperBound
            }
            guard isInside else { return "a property outside" }
            if let defect = message.defect, defect.isEmpty { return "a defect without a reason" }
            let body = UnsafeRawBufferPointer(rebasing: bytes[message.body])
            for compression in [SystemFlags.Compression.zlib, .lz4, .zstd] {
                guard let plain = try? CompressedBody.decompress(body, compression, limit: Self.bodyBytesMax) else {
                    continue
                }
                if plain.bytes.count > Self.bodyBytesMax { return "a body longer than its limit" }
            }
        }
        return nil
    }
}
