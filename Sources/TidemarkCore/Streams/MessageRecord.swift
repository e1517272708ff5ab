/// A header of a message, by ranges of the bytes that its owner has. One name may come several times, in order.
package struct MessageHeader: Sendable, Hashable {
    package var name: ByteRange
    /// `nil` for a header without a value, which is not an empty one.
    package var value: ByteRange?

    package init(name: ByteRange, value: ByteRange?) {
        self.name = name
        self.value = value
    }
}

/// A partition of a topic, or one of its queues, whose messages are in order.
package final class RecordOrigin: Sendable {
    package let topic: [UInt8]
    package let partition: Int32
    /// `topic[partition]` or `topic@broker[queue]`, as `tidemark status` shows it.
    package let name: [UInt8]
    /// The table that the topic is named after, as the text of a ``TableName``: the last two of the parts that dots
    /// separate, since Debezium names topics `prefix.schema.table` or `prefix.database.table`.
    package let table: [UInt8]
    /// The parts before them; empty where there are none.
    package let database: [UInt8]

    static func name(of topic: [UInt8], _ partition: Int32) -> [UInt8] { topic + Array("[\(partition)]".utf8) }

    /// - Parameter name: where it is not `topic[partition]`.
    package init(topic: [UInt8], partition: Int32, name: [UInt8]? = nil) {
        self.topic = topic
        self.partition = partition
        self.name = name ?? Self.name(of: topic, partition)
        let parts = topic.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        var table: [UInt8] = []
        guard !parts.contains(where: \.isEmpty) else {
            TableName.append(topic[...], to: &table, isFirst: true)
            self.table = table
            self.database = []
            return
        }
        for (index, part) in parts.suffix(2).enumerated() {
            TableName.append(part, to: &table, isFirst: index == 0)
        }
        self.table = table
        self.database = Array(parts.dropLast(2).joined(separator: [UInt8(ascii: ".")]))
    }
}

/// What a broker keeps beside a message's value, while the message is decoded. Its pointers are valid that long.
package struct MessageRecord {
    /// The name of a key that is one value: a projection whose key is one column takes it for that.
    package static let scalarKey = Array("$key".utf8)

    package let origin: RecordOrigin
    /// The message's offset in its partition.
    package let offset: UInt64
    /// `nil` where it has none.
    package let key: UnsafeRawBufferPointer?
    package let headers: UnsafeBufferPointer<MessageHeader>
    /// What the headers' ranges are of.
    package let bytes: UnsafeRawBufferPointer

    package init(
        origin: RecordOrigin,
        offset: UInt64,
        key: UnsafeRawBufferPointer?,
        headers: UnsafeBufferPointer<MessageHeader>,
        bytes: UnsafeRawBufferPointer
    ) {
        self.origin = origin
        self.offset = offset
        self.key = key
        self.headers = headers
        self.bytes = bytes
    }

    package func text(_ range: ByteRange) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.bytes[range.range])
    }

    /// The last header of that name, as Kafka's own clients look one up.
    package func header(_ name: some Collection<UInt8>) -> MessageHeader? {
        self.headers.last { self.text($0.name).elementsEqual(name) }
    }
}

/// What a broker keeps beside a message's value, kept with a dead letter so that it can be tried again.
package struct StoredRecord: Sendable, Hashable {
    package struct Header: Sendable, Hashable {
        package var name: [UInt8]
        package var value: [UInt8]?
    }

    package var topic: [UInt8]
    package var partition: Int32
    package var offset: UInt64
    package var key: [UInt8]?
    package var headers: [Header]
    /// The message has no value.
    package var isTombstone: Bool
    /// Of its origin, where that is not called `topic[partition]`.
    package var originName: [UInt8]?

    package init(_ record: MessageRecord, isTombstone: Bool) {
        let origin = record.origin
        let isUsual = RecordOrigin.name(of: origin.topic, origin.partition) == origin.name
        self.originName = isUsual ? nil : origin.name
        self.topic = record.origin.topic
        self.partition = record.origin.partition
        self.offset = record.offset
        self.key = record.key.map { Array($0) }
        self.headers = record.headers.map { header in
            Header(name: Array(record.text(header.name)), value: header.value.map { Array(record.text($0)) })
        }
        self.isTombstone = isTombstone
    }

    private static let version: UInt8 = 1

    /// Version, partition, offset, whether it is a tombstone; then the topic, the key and the headers, each behind its
    /// length (-1 for what is not there); last the origin's name, where it has one of its own. Numbers are big-endian.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = [Self.version]
        bytes.append(bigEndian: self.partition)
        bytes.append(bigEndian: self.offset)
        bytes.append(self.isTombstone ? 1 : 0)
        bytes.append(field: self.topic)
        bytes.append(field: self.key)
        bytes.append(bigEndian: Int32(clamping: self.headers.count))
        for header in self.headers {
            bytes.append(field: header.name)
            bytes.append(field: header.value)
        }
        if let originName { bytes.append(field: originName) }
        return bytes
    }

    /// - Returns: `nil` for bytes that are not those of a record.
    package init?(bytes: [UInt8]) {
        var rest = bytes[...]
        guard rest.popFirst() == Self.version, let partition = rest.popInteger(Int32.self),
            let offset = rest.popInteger(UInt64.self), let tombstone = rest.popFirst(),
            let topic = rest.popField(), let topic, let key = rest.popField(),
            let count = rest.popInteger(Int32.self), count >= 0
        else { return nil }
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.isTombstone = tombstone == 1
        self.key = key
        self.headers = []
        for _ in 0..<count {
            guard let name = rest.popField(), let name, let value = rest.popField() else { return nil }
            self.headers.append(Header(name: name, value: value))
        }
        if !rest.isEmpty {
            guard let name = rest.popField(), let name else { return nil }
            self.originName = name
        }
        guard rest.isEmpty else { return nil }
    }

    /// Has the record as it was when the message was read.
    package func withRecord<R>(_ body: (MessageRecord) throws -> R) rethrows -> R {
        var bytes: [UInt8] = self.key ?? []
        let keyCount = bytes.count
        var headers: [MessageHeader] = []
        for header in self.headers {
            let start = bytes.count
            bytes += header.name
            let middle = bytes.count
            bytes += header.value ?? []
            headers.append(
                MessageHeader(
                    name: ByteRange(start: start, end: middle),
                    value: header.value == nil ? nil : ByteRange(start: middle, end: bytes.count)
                )
            )
        }
        return try bytes.withUnsafeBytes { all in
            try headers.withUnsafeBufferPointer { headers in
                try body(
                    MessageRecord(
                        origin: RecordOrigin(topic: self.topic, partition: self.partition, name: self.originName),
                        offset: self.offset,
                        key: self.key == nil ? nil : UnsafeRawBufferPointer(rebasing: all[..<keyCount]),
                        headers: headers,
                        bytes: all
                    )
                )
            }
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { self.append(contentsOf: $0) }
    }

    fileprivate mutating func append(field: [UInt8]?) {
        self.append(bigEndian: field.map { Int32(clamping: $0.count) } ?? -1)
        self += field ?? []
    }
}

extension ArraySlice<UInt8> {
    fileprivate mutating func popInteger<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
        let size = MemoryLayout<Value>.size
        guard self.count >= size else { return nil }
        defer { self.removeFirst(size) }
        return self.prefix(size).reduce(0 as Value) { $0 << 8 | Value(truncatingIfNeeded: $1) }
    }

    /// - Returns: `nil` where the bytes end; `.some(nil)` for a field that is not there.
    fileprivate mutating func popField() -> [UInt8]?? {
        guard let count = self.popInteger(Int32.self) else { return nil }
        guard count >= 0 else { return .some(nil) }
        guard self.count >= Int(count) else { return nil }
        defer { self.removeFirst(Int(count)) }
        return .some(Array(self.prefix(Int(count))))
    }
}
