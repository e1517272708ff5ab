import RocketMQCodec
import Testing
import TidemarkTesting

struct CodecTests {
    private static func error(_ bytes: [UInt8]) -> String? {
        var decoder = RemotingFrameDecoder()
        do {
            try bytes.withUnsafeBytes { try decoder.feed($0) { _ in } }
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test("Frames that lie about their lengths are refused, with the length")
    func refusesLengths() {
        #expect(Self.error([0xFF, 0xFF, 0xFF, 0xFF]) == "a frame of -1 bytes; there are frames of 4 to 16777216")
        #expect(Self.error([1, 0, 0, 1]) == "a frame of 16777217 bytes; there are frames of 4 to 16777216")
        #expect(Self.error([0, 0, 0, 3, 0, 0, 0]) != nil)
        #expect(Self.error([0, 0, 0, 4, 0, 0, 0, 9])?.contains("ends where 9 bytes more") == true)
        #expect(Self.error([0, 0, 0, 4, 2, 0, 0, 0])?.contains("header of type 2") == true)
        // Not yet whole.
        #expect(Self.error([1, 0, 0, 0]) == nil)
    }

    @Test("A header that cannot be written is no frame")
    func refusesLongFrames() {
        let command = RemotingCommand(code: 11, body: [UInt8](repeating: 0, count: RemotingFrame.bytesMost))
        #expect(throws: RocketMQDataError.self) { try RemotingFrame.bytes(of: command) }
    }

    @Test(
        "JSON is read with bare names and escapes, to a depth",
        arguments: [
            (#"{0:"a",1:"b"}"#, true), (#"{"a":"\u00e9\ud83d\ude00\n"}"#, true), ("{", false), (#"{"a"}"#, false),
            ("[1,2,]", false), (#"{"a":1}x"#, false), (#""\uZZZZ""#, false), ("", false), ("tru", false),
            (String(repeating: "[", count: 40), false), (#"{"a":null,"b":[true,-1.5e3]}"#, true),
        ]
    )
    func readsJSON(_ text: String, _ isTaken: Bool) {
        #expect(((try? LenientJSON(Array(text.utf8))) != nil) == isTaken)
    }

    @Test("Escapes stand for their characters, halves of pairs too")
    func readsEscapes() throws {
        let json = try LenientJSON(Array(#"{"a":"\u00e9\ud83d\ude00\n\\\""}"#.utf8))
        #expect(json["a"]?.text == "é😀\n\\\"")
    }

    private static func message(_ change: (inout StoredMessage.Content) -> Void = { _ in }) -> [UInt8] {
        var content = StoredMessage.Content()
        content.topic = Array("orders".utf8)
        content.body = Array("{\"id\":1}".utf8)
        change(&content)
        return content.bytes
    }

    private static func read(_ bytes: [UInt8]) throws -> [StoredMessage] {
        try bytes.withUnsafeBytes { bytes in
            var messages = StoredMessages(bytes)
            var found: [StoredMessage] = []
            while let message = try messages.next() { found.append(message) }
            return found
        }
    }

    @Test("A damaged message is stepped over, and says why")
    func stepsOverDamage() throws {
        var badCRC = Self.message { $0.queueOffset = 1 }
        badCRC[8] ^= 1
        var badMagic = Self.message { $0.queueOffset = 2 }
        badMagic[7] = 0
        var badLength = Self.message { $0.queueOffset = 3 }
        badLength[badLength.count - 1] = 9
        let flags: [(Int32, String)] = [
            (0x40, "NEED_UNWRAP_FLAG"), (0x80, "INNER_BATCH_FLAG"), (0x800, "0x800"), (0x401, "compression 4"),
        ]
        let flagged = flags.flatMap { flag in Self.message { $0.systemFlags = flag.0 } }
        let found = try Self.read(Self.message() + badCRC + badMagic + badLength + flagged + Self.message())
        #expect(found.count == 9)
        #expect(found.first?.defect == nil && found.last?.defect == nil)
        #expect(found[1].defect?.contains("CRC") == true)
        #expect(found[2].defect?.contains("magic number daa32000") == true)
        #expect(found[3].defect != nil)
        #expect(found[1].queueOffset == 1 && found[2].queueOffset == 2 && found[3].queueOffset == 3)
        for (message, flag) in zip(found[4...], flags) { #expect(message.defect?.contains(flag.1) == true) }
    }

    @Test("A size beyond the answer ends it")
    func refusesSizes() {
        for size: UInt8 in [0, 27, 255] {
            var bytes = Self.message()
            bytes[3] = size
            #expect(throws: RocketMQDataError.self, "\(size)") { try Self.read(bytes) }
        }
    }

    @Test("Tags are compared by their text, and hashed as Java hashes them")
    func comparesTags() throws {
        #expect(TagExpression.hash("Aa") == TagExpression.hash("BB"))
        #expect(TagExpression.hash("paid") == 3_433_164)
        #expect(TagExpression.hash("shipped") == 2_061_557_075)
        let tags = try #require(TagExpression(" Aa ||  b||"))
        #expect(tags.tags == ["Aa", "b"])
        func takes(_ tag: String?) -> Bool {
            guard let tag else { return tags.takes(nil) }
            return Array(tag.utf8).withUnsafeBytes { tags.takes($0) }
        }
        #expect(takes("Aa") && takes("b") && !takes("BB") && !takes(nil) && !takes("Aa || b"))
        #expect(TagExpression("*")?.isAll == true && TagExpression("")?.isAll == true)
        #expect(TagExpression(" || ") == nil)
        #expect(try #require(TagExpression("*")).takes(nil))
    }

    @Test("Properties are read with and without their last separator")
    func readsProperties() {
        let text = MessageProperties.text([("KEYS", "a b"), ("TAGS", "t"), ("bad\u{2}", "x"), ("e", "")])
        #expect(text == "KEYS\u{1}a b\u{2}TAGS\u{1}t\u{2}e\u{1}\u{2}")
        for ending in [text, String(text.dropLast())] {
            let read = MessageProperties.read(Array(ending.utf8))
            #expect(read.map(\.name) == ["KEYS", "TAGS", "e"])
            #expect(read.map(\.value) == ["a b", "t", ""])
        }
        #expect(MessageProperties.read(Array("no separator".utf8)).isEmpty)
    }

    @Test("Queues are shared as the official clients share them, each once")
    func sharesQueues() {
        func queues(_ count: Int32) -> [MessageQueueName] {
            (0..<count).map { MessageQueueName(topic: "t", broker: "b", id: $0) }.reversed()
        }
        func share(_ count: Int32, _ members: [String], _ member: String) -> [Int32] {
            QueueAllocation.averagely(queues(count), members, of: member).map(\.id)
        }
        #expect(share(4, ["c2", "c1"], "c1") == [0, 1] && share(4, ["c2", "c1"], "c2") == [2, 3])
        #expect(share(5, ["a", "b"], "a") == [0, 1, 2] && share(5, ["a", "b"], "b") == [3, 4])
        #expect(share(1, ["a", "b"], "b") == [] && share(3, ["a"], "x") == [])
        for count in 0...12 as ClosedRange<Int32> {
            for members in 1...6 {
                let names = (0..<members).map { "client-\($0)" }
                let all = names.flatMap { share(count, names, $0) }
                #expect(all == Array(0..<count), "\(count) queues, \(members) members")
            }
        }
    }

    /// "hello hello hello hello" as literals and an overlapping match.
    @Test("An LZ4 frame is read block by block, and never beyond its limits")
    func readsLZ4() throws {
        let header: [UInt8] = [0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82]
        let block: [UInt8] = [0x6D] + Array("hello ".utf8) + [6, 0] + [0x00]
        let stored: [UInt8] = Array("plain".utf8)
        let frame =
            header + [UInt8(block.count), 0, 0, 0] + block + [5, 0, 0, 0x80] + stored + [0, 0, 0, 0]
        let (bytes, isCut) = try frame.withUnsafeBytes { try CompressedBody.decompress($0, .lz4, limit: 1000) }
        #expect(String(decoding: bytes, as: UTF8.self) == "hello hello hello hello".prefix(23) + "plain")
        #expect(!isCut)
        for end in 0..<frame.count {
            _ = try? frame[..<end].withUnsafeBytes { try CompressedBody.decompress($0, .lz4, limit: 1000) }
        }
        var far = frame
        far[18] = 7
        #expect(throws: RocketMQDataError.self) {
            try far.withUnsafeBytes { try CompressedBody.decompress($0, .lz4, limit: 1000) }
        }
    }
}
