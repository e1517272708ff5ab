/// Reads big-endian fields one after another. Every read is checked against the end; a length from the wire is trusted in
/// nothing.
struct ByteInput {
    let bytes: UnsafeRawBufferPointer
    private(set) var position: Int
    let end: Int
    /// What is read, for errors.
    private let what: StaticString

    init(_ bytes: UnsafeRawBufferPointer, _ what: StaticString) { self.init(bytes, 0..<bytes.count, what) }

    init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ what: StaticString) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        self.bytes = bytes
        self.position = range.lowerBound
        self.end = range.upperBound
        self.what = what
    }

    var remaining: Int { self.end - self.position }

    @inline(__always)
    mutating func integer<Value: FixedWidthInteger>(_: Value.Type = Value.self) throws(RocketMQDataError) -> Value {
        guard self.remaining >= MemoryLayout<Value>.size else { throw self.ended(MemoryLayout<Value>.size) }
        let value = self.bytes.loadUnaligned(fromByteOffset: self.position, as: Value.self)
        self.position += MemoryLayout<Value>.size
        return Value(bigEndian: value)
    }

    /// The next bytes.
    mutating func take(_ count: Int) throws(RocketMQDataError) -> Range<Int> {
        guard count >= 0 else { throw RocketMQDataError("\(self.what) has a field of \(count) bytes") }
        guard count <= self.remaining else { throw self.ended(count) }
        defer { self.position += count }
        return self.position..<(self.position + count)
    }

    /// The next bytes, behind their length.
    mutating func field<Length: FixedWidthInteger>(_: Length.Type) throws(RocketMQDataError) -> Range<Int> {
        let count = try self.integer(Length.self)
        return try self.take(Int(clamping: count))
    }

    mutating func text<Length: FixedWidthInteger>(_ length: Length.Type) throws(RocketMQDataError) -> String {
        let range = try self.field(length)
        return String(decoding: UnsafeRawBufferPointer(rebasing: self.bytes[range]), as: UTF8.self)
    }

    private func ended(_ count: Int) -> RocketMQDataError {
        RocketMQDataError("\(self.what) ends where \(count) bytes more should follow; \(self.remaining) do")
    }
}

extension [UInt8] {
    mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { self.append(contentsOf: $0) }
    }

    /// Appends the text behind its length, which a number of this type has to hold.
    mutating func append<Length: FixedWidthInteger>(text: String, _: Length.Type) {
        self.append(bigEndian: Length(clamping: text.utf8.count))
        self += text.utf8.prefix(Int(clamping: Length.max))
    }
}
