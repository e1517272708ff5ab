#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Bytes on their way to standard output, written a megabyte at a time.
struct Output: ~Copyable {
    private static let capacity = 1 << 20
    /// The most that is appended between two calls of ``flushIfFull()``.
    private static let slack = 1 << 12

    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: Self.capacity + Self.slack, alignment: 16)
    private var count = 0

    deinit {
        self.buffer.deallocate()
    }

    mutating func append(_ text: StaticString) {
        (self.buffer + self.count).copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        self.count += text.utf8CodeUnitCount
    }

    mutating func append(byte: UInt8) {
        self.buffer.storeBytes(of: byte, toByteOffset: self.count, as: UInt8.self)
        self.count += 1
    }

    mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            (self.buffer + self.count).copyMemory(from: start, byteCount: bytes.count)
        }
        self.count += bytes.count
    }

    /// Appends a whole number that is not negative, with leading zeros up to `width`.
    mutating func append(decimal number: Int, width: Int = 1) {
        var digits = width
        var bound = 1
        for _ in 0..<width { bound *= 10 }
        while number >= bound {
            bound *= 10
            digits += 1
        }
        var rest = number
        for place in stride(from: self.count + digits - 1, through: self.count, by: -1) {
            let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
            self.buffer.storeBytes(of: 0x30 + UInt8(digit), toByteOffset: place, as: UInt8.self)
            rest = quotient
        }
        self.count += digits
    }

    /// Appends in network order.
    mutating func append<Number: FixedWidthInteger>(bigEndian number: Number) {
        self.buffer.storeBytes(of: number.bigEndian, toByteOffset: self.count, as: Number.self)
        self.count += MemoryLayout<Number>.size
    }

    mutating func flushIfFull() {
        if self.count >= Self.capacity { self.flush() }
    }

    mutating func flush() {
        var written = 0
        while written < self.count {
            let result = write(STDOUT_FILENO, self.buffer + written, self.count - written)
            guard result > 0 else {
                guard errno == EINTR else { exit(1) }
                continue
            }
            written += result
        }
        self.count = 0
    }
}
