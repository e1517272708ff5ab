package import TidemarkCore

/// A line of `kcat -J`: a broker's message with its topic, partition, offset, key and headers, its value as a text. The
/// message is decoded as if it came from the broker.
///
/// kcat writes bytes that are not UTF-8 as they are, so a line with a binary key or value is no JSON text.
struct DumpedMessage {
    fileprivate var bytes: [UInt8] = []
    fileprivate var value: ByteRange?
    fileprivate var key: ByteRange?
    fileprivate var headers: [MessageHeader] = []
    fileprivate var origin: RecordOrigin
    fileprivate var offset: UInt64

    /// Has the message as the broker would hand it out.
    fileprivate func withRecord<R>(_ body: (_ value: UnsafeRawBufferPointer?, _ record: MessageRecord) -> R) -> R {
        self.bytes.withUnsafeBytes { bytes in
            self.headers.withUnsafeBufferPointer { headers in
                let record = MessageRecord(
                    origin: self.origin,
                    offset: self.offset,
                    key: self.key.map { UnsafeRawBufferPointer(rebasing: bytes[$0.range]) },
                    headers: headers,
                    bytes: bytes
                )
                return body(self.value.map { UnsafeRawBufferPointer(rebasing: bytes[$0.range]) }, record)
            }
        }
    }
}

/// The partitions that lines of a dump name; bounded, since names come from outside.
struct DumpOrigins {
    private var known: [[UInt8]: RecordOrigin] = [:]
    private static let countMax = 1000

    fileprivate mutating func origin(_ topic: ArraySlice<UInt8>, _ partition: Int32) -> RecordOrigin {
        let name = topic + Array("[\(partition)]".utf8)
        if let origin = self.known[Array(name)] { return origin }
        if self.known.count >= Self.countMax { self.known.removeAll() }
        let origin = RecordOrigin(topic: Array(topic), partition: partition)
        self.known[Array(name)] = origin
        return origin
    }
}

extension ControlForm {
    /// With `-s`, kcat writes keys and values that it unpacks as JSON; headers are a list of names and values, and an
    /// object by kcat's own help.
    static let dump = ControlForm(
        required: [
            ("topic", .text), ("partition", .number), ("offset", .number), ("key", .anything), ("payload", .anything),
        ],
        optional: [
            ("tstype", .text), ("ts", .number), ("broker", .number), ("headers", .anything), ("headers_str", .anything),
        ]
    )
}

extension MessageDecoder {
    /// - Returns: `nil` for an object that is no line of a dump.
    mutating func dumped(_ members: Members, in message: DecodedMessage) -> DumpedMessage? {
        func member(_ name: String) -> Int? { self.document.member(name, of: JSONDocument.root, message.bytes) }
        guard self.has(JSONDocument.root, .dump, of: message.bytes),
            let topic = self.document.string(members[.topic]),
            let partition = self.document.integer(member("partition"), of: message.bytes).flatMap({ Int32(exactly: $0) }
            ),
            let offset = self.document.unsigned(member("offset"), of: message.bytes), partition >= 0
        else { return nil }
        var dumped = DumpedMessage(
            origin: self.dumpOrigins.origin(message.bytes[topic.range], partition),
            offset: offset
        )
        // First, so that the parser may look behind it.
        dumped.value = self.copy(members[.payload], of: message, to: &dumped)
        dumped.bytes.append(contentsOf: repeatElement(0, count: MessageBlock.padding))
        dumped.key = self.copy(member("key"), of: message, to: &dumped)
        guard let headers = self.document.present(member("headers")) else { return dumped }
        let isObject = self.document.kind(headers) == .object
        let nodes = self.document.children(of: headers).flatMap { isObject ? [$0, $0 + 1] : [$0] }
        for index in stride(from: 0, to: nodes.count - 1, by: 2) {
            guard let name = self.copy(nodes[index], of: message, to: &dumped) else { continue }
            let value = self.copy(nodes[index + 1], of: message, to: &dumped)
            dumped.headers.append(MessageHeader(name: name, value: value))
        }
        return dumped
    }

    private func copy(_ node: Int?, of message: DecodedMessage, to dumped: inout DumpedMessage) -> ByteRange? {
        guard let node = self.document.present(node) else { return nil }
        return dumped.bytes.appendText(message.bytes[self.document.range(node).range])
    }

    /// The message that the last line was the dump of: its value, and what the broker kept beside it.
    package var dumpedMessage: (value: [UInt8]?, record: StoredRecord)? {
        self.lastDump?.withRecord { value, record in
            (value.map { Array($0) }, StoredRecord(record, isTombstone: value == nil))
        }
    }

    mutating func decode(_ dumped: DumpedMessage, into message: inout DecodedMessage) {
        self.lastDump = dumped
        dumped.withRecord { value, record in
            self.isInDump = true
            self.decode(value, of: record, into: &message)
            self.isInDump = false
        }
        // Its bytes are counted in the payload, not in the line.
        if let failure = message.failure, failure.reason == .malformedJSON {
            message.failure = Rejection(.malformedJSON, "the payload: \(failure.detail)")
        }
    }
}
