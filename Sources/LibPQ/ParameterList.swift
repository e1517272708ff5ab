/// Parameters laid out as libpq takes them: parallel arrays, and pointers that are valid for one call.
struct ParameterList {
    private(set) var types: [UInt32] = []
    private(set) var formats: [Int32] = []
    private(set) var lengths: [Int32] = []

    private enum Storage {
        case null
        case scratch(offset: Int)
        case large(index: Int)
    }

    private var storages: [Storage] = []
    /// Small values, one behind the other. Never empty, so that an empty value has an address too: libpq takes a null
    /// pointer for SQL NULL.
    private var scratch: [UInt8] = []
    /// Values that are passed from where they are, to save a copy.
    private var large: [[UInt8]] = []

    private static let largeBytes = 4096
    /// Passing them nests one call for each large value; beyond this many they are copied, to keep the stack small.
    private static let largeCountMax = 64

    /// The protocol counts parameters in 16 bits.
    static let countMax = 65_535

    var count: Int32 { Int32(self.storages.count) }

    init(_ parameters: [Parameter]) throws(PostgresError) {
        guard parameters.count <= Self.countMax else {
            throw PostgresError(.invalidParameter, "\(parameters.count) parameters, the most is \(Self.countMax)")
        }
        self.reserve(parameters.count)
        for (index, parameter) in parameters.enumerated() { try self.add(parameter, at: index) }
        self.scratch.append(0)
    }

    private mutating func reserve(_ count: Int) {
        self.types.reserveCapacity(count)
        self.formats.reserveCapacity(count)
        self.lengths.reserveCapacity(count)
        self.storages.reserveCapacity(count)
        self.scratch.reserveCapacity(16 * count + 1)
    }

    private mutating func add(_ parameter: Parameter, at index: Int) throws(PostgresError) {
        switch parameter {
        case .null:
            self.add(oid: 0, format: .text, length: 0, .null)
        case .text(let text):
            try self.add(text: text, at: index)
        case .int64(let value):
            self.add(oid: OID.int8, bigEndian: value)
        case .int32(let value):
            self.add(oid: OID.int4, bigEndian: value)
        case .bool(let value):
            self.add(oid: OID.bool, bigEndian: UInt8(value ? 1 : 0))
        case .double(let value):
            self.add(oid: OID.float8, bigEndian: value.bitPattern)
        case .bytes(let bytes):
            try self.add(oid: OID.bytea, bytes: bytes, at: index)
        case .binary(let oid, let bytes):
            try self.add(oid: oid, bytes: bytes, at: index)
        }
    }

    private mutating func add(oid: UInt32, format: ResultFormat, length: Int, _ storage: Storage) {
        self.types.append(oid)
        self.formats.append(format.rawValue)
        self.lengths.append(Int32(length))
        self.storages.append(storage)
    }

    private mutating func add(oid: UInt32, bigEndian value: some FixedWidthInteger) {
        let offset = self.scratch.count
        withUnsafeBytes(of: value.bigEndian) { self.scratch.append(contentsOf: $0) }
        self.add(oid: oid, format: .binary, length: self.scratch.count - offset, .scratch(offset: offset))
    }

    private mutating func add(oid: UInt32, bytes: [UInt8], at index: Int) throws(PostgresError) {
        guard bytes.count <= Int32.max else {
            throw PostgresError(.invalidParameter, "parameter $\(index + 1) has \(bytes.count) bytes")
        }
        if bytes.count >= Self.largeBytes, self.large.count < Self.largeCountMax {
            self.add(oid: oid, format: .binary, length: bytes.count, .large(index: self.large.count))
            self.large.append(bytes)
        } else {
            self.add(oid: oid, format: .binary, length: bytes.count, .scratch(offset: self.scratch.count))
            self.scratch.append(contentsOf: bytes)
        }
    }

    private mutating func add(text: String, at index: Int) throws(PostgresError) {
        guard !text.utf8.contains(0) else {
            throw PostgresError(
                .invalidParameter,
                sqlState: "22021",
                "parameter $\(index + 1) is a text with a NUL in it, which PostgreSQL cannot store"
            )
        }
        let offset = self.scratch.count
        self.scratch.append(contentsOf: text.utf8)
        self.add(oid: 0, format: .text, length: self.scratch.count - offset, .scratch(offset: offset))
        self.scratch.append(0)
    }

    /// Calls `body` with the values' addresses, in order, `nil` for NULL.
    func withPointers<R>(_ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> R) -> R {
        self.scratch.withUnsafeBytes { scratch in
            var pointers: [UnsafePointer<CChar>?] = self.storages.map { storage in
                guard case .scratch(let offset) = storage else { return nil }
                return scratch.baseAddress.map { ($0 + offset).assumingMemoryBound(to: CChar.self) }
            }
            let largeIndices = self.storages.indices.filter { index in
                if case .large = self.storages[index] { true } else { false }
            }
            return self.addLarge(0, at: largeIndices, into: &pointers, body)
        }
    }

    private func addLarge<R>(
        _ index: Int,
        at largeIndices: [Int],
        into pointers: inout [UnsafePointer<CChar>?],
        _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> R
    ) -> R {
        guard index < self.large.count else { return pointers.withUnsafeBufferPointer { body($0.baseAddress) } }
        return self.large[index].withUnsafeBytes { bytes in
            pointers[largeIndices[index]] = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            return self.addLarge(index + 1, at: largeIndices, into: &pointers, body)
        }
    }
}
