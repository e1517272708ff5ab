/// Builds a one-dimensional array in PostgreSQL's binary format: a header of 20 bytes, then each element as its length
/// in four bytes and its value (-1 and nothing for NULL).
///
/// All elements go into one buffer; appending one allocates nothing unless the buffer grows.
package struct BinaryArray: Sendable {
    private var buffer: [UInt8]
    private let elementOID: UInt32
    package private(set) var count = 0
    private var hasNull = false

    private static let headerBytes = 20
    private static let lengthBytes = 4
    private static let null: [UInt8] = [0xff, 0xff, 0xff, 0xff]

    /// - Parameter expectedBytes: what the values are expected to take together, without their lengths.
    package init(elementOID: UInt32, expectedCount: Int = 0, expectedBytes: Int? = nil) {
        self.elementOID = elementOID
        self.buffer = []
        self.buffer.reserveCapacity(Self.headerBytes + 4 * expectedCount + (expectedBytes ?? 8 * expectedCount))
        self.buffer.append(contentsOf: [0, 0, 0, 1, 0, 0, 0, 0])
        self.appendBigEndian(elementOID)
        self.buffer.append(contentsOf: [0, 0, 0, 0, 0, 0, 0, 1])
    }

    package mutating func append(_ bytes: ArraySlice<UInt8>) {
        bytes.withUnsafeBytes { self.append($0) }
    }

    /// Length and value in one go: a row is a dozen of these.
    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= Int32.max, "an element is larger than the format can say")
        self.count += 1
        self.buffer.append(addingCapacity: Self.lengthBytes + bytes.count) { output in
            output.withUnsafeMutableBufferPointer { memory, written in
                let memory = UnsafeMutableRawBufferPointer(memory)
                memory.storeBytes(of: Int32(truncatingIfNeeded: bytes.count).bigEndian, as: Int32.self)
                UnsafeMutableRawBufferPointer(rebasing: memory[Self.lengthBytes...]).copyMemory(from: bytes)
                written = Self.lengthBytes + bytes.count
            }
        }
    }

    package mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { self.append(UnsafeRawBufferPointer($0)) }
    }

    package mutating func append(_ value: Int64) {
        withUnsafeBytes(of: value.bigEndian) { self.append($0) }
    }

    package mutating func append(_ value: Int16) {
        withUnsafeBytes(of: value.bigEndian) { self.append($0) }
    }

    package mutating func append(_ value: Int32) {
        withUnsafeBytes(of: value.bigEndian) { self.append($0) }
    }

    package mutating func append(_ value: Bool) {
        withUnsafeBytes(of: value) { self.append($0) }
    }

    package mutating func appendNull() {
        self.hasNull = true
        self.count += 1
        self.buffer.append(contentsOf: Self.null)
    }

    /// Appends an element that has its length before it already, as COPY's binary format has its fields: four bytes,
    /// big-endian, -1 for NULL. What follows it is left alone.
    /// - Returns: how many bytes it took.
    @discardableResult
    package mutating func append(firstLengthPrefixed fields: UnsafeRawBufferPointer) -> Int {
        precondition(fields.count >= 4, "a field begins with its length in four bytes")
        let length = Int32(bigEndian: fields.loadUnaligned(as: Int32.self))
        let count = 4 + Int(max(length, 0))
        precondition(fields.count >= count, "a field's length says how many bytes follow")
        if length < 0 { self.hasNull = true }
        self.count += 1
        self.buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: fields[..<count]))
        return count
    }

    /// The array as a parameter, its header filled in. It shares the buffer: nothing is copied unless the builder is
    /// changed while the parameter is alive.
    package mutating func parameter(arrayOID: UInt32) -> Parameter { .binary(oid: arrayOID, self.bytes()) }

    /// The array, its header filled in.
    package mutating func bytes() -> [UInt8] {
        guard self.count > 0 else {
            // An array without elements has no dimensions either; one of length 0 is refused by some functions.
            return [0, 0, 0, 0, 0, 0, 0, 0] + self.buffer[8..<12]
        }
        let count = Int32(self.count)
        let flags = Int32(self.hasNull ? 1 : 0)
        self.buffer.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: flags.bigEndian, toByteOffset: 4, as: Int32.self)
            bytes.storeBytes(of: count.bigEndian, toByteOffset: 12, as: Int32.self)
        }
        return self.buffer
    }

    private mutating func appendBigEndian(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.bigEndian) { self.buffer.append(contentsOf: $0) }
    }
}

extension Parameter {
    /// A `text[]`.
    package static func texts(_ values: [String]) -> Parameter {
        var array = BinaryArray(elementOID: OID.text)
        for value in values { array.append(value) }
        return array.parameter(arrayOID: OID.textArray)
    }
}
