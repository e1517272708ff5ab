/// MurmurHash2, 32 bits, as Kafka's default partitioner seeds and reads it
/// (`org.apache.kafka.common.utils.Utils.murmur2`).
package enum Murmur2 {
    package static func hash(_ bytes: Span<UInt8>) -> UInt32 {
        let multiplier: UInt32 = 0x5bd1_e995
        var hash: UInt32 = 0x9747_b28c ^ UInt32(truncatingIfNeeded: bytes.count)
        var index = 0
        while index + 4 <= bytes.count {
            var word =
                UInt32(bytes[index]) | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2]) << 16
                | UInt32(bytes[index + 3]) << 24
            word = word &* multiplier
            word ^= word >> 24
            word = word &* multiplier
            hash = hash &* multiplier ^ word
            index += 4
        }
        let rest = bytes.count - index
        if rest == 3 { hash ^= UInt32(bytes[index + 2]) << 16 }
        if rest >= 2 { hash ^= UInt32(bytes[index + 1]) << 8 }
        if rest >= 1 {
            hash ^= UInt32(bytes[index])
            hash = hash &* multiplier
        }
        hash ^= hash >> 13
        hash = hash &* multiplier
        hash ^= hash >> 15
        return hash
    }

    /// The lane of a key: the partition that Kafka's default partitioner gives it among `count`.
    package static func lane(of key: Span<UInt8>, among count: Int) -> Int {
        Int(Self.hash(key) & 0x7FFF_FFFF) % count
    }
}

/// A quick hash of 64 bits, for what may be wrong about two things that are equal by chance, or by ill will.
package struct WordHash: Sendable {
    package private(set) var value: UInt64

    package init(_ seed: UInt64) {
        self.value = seed
    }

    package mutating func mix(_ word: UInt64) {
        self.value = (self.value ^ word) &* 0x9E37_79B9_7F4A_7C15
        self.value ^= self.value >> 29
    }

    /// Bytes and their number.
    package mutating func mix(_ bytes: ArraySlice<UInt8>) {
        bytes.withUnsafeBytes { self.mix($0) }
    }

    package mutating func mix(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        while index + 8 <= bytes.count {
            self.mix(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)))
            index += 8
        }
        var rest: UInt64 = 0
        while index < bytes.count {
            rest = rest << 8 | UInt64(bytes[index])
            index += 1
        }
        self.mix(rest)
        self.mix(UInt64(bytes.count))
    }
}

/// A 128-bit hash under a secret key. It stands for an entity's key in memory: without the secret it is infeasible to make two
/// keys collide, and by chance they do not.
package struct KeyHash: Sendable, Hashable {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(self.low)
    }
}

/// SipHash-2-4 with 128 bits of output (J.-P. Aumasson and D. J. Bernstein).
package struct SipHash128: Sendable {
    private let key0: UInt64
    private let key1: UInt64

    package init(key0: UInt64, key1: UInt64) {
        self.key0 = key0
        self.key1 = key1
    }

    /// A secret of this process.
    package static let process = SipHash128(key0: .random(in: .min ... .max), key1: .random(in: .min ... .max))

    package func hash(_ bytes: Span<UInt8>) -> KeyHash {
        var state = State(
            v0: self.key0 ^ 0x736f_6d65_7073_6575,
            v1: self.key1 ^ 0x646f_7261_6e64_6f6d ^ 0xEE,
            v2: self.key0 ^ 0x6c79_6765_6e65_7261,
            v3: self.key1 ^ 0x7465_6462_7974_6573
        )
        bytes.withUnsafeBytes { bytes in
            var index = 0
            while index + 8 <= bytes.count {
                state.absorb(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)))
                index += 8
            }
            state.absorb(UInt64(truncatingIfNeeded: bytes.count) << 56 | Self.word(bytes, from: index))
        }
        state.v2 ^= 0xEE
        for _ in 0..<4 { state.round() }
        let low = state.v0 ^ state.v1 ^ state.v2 ^ state.v3
        state.v1 ^= 0xDD
        for _ in 0..<4 { state.round() }
        return KeyHash(high: state.v0 ^ state.v1 ^ state.v2 ^ state.v3, low: low)
    }

    /// The bytes from `index` on, fewer than eight, the first one lowest.
    @inline(__always)
    private static func word(_ bytes: UnsafeRawBufferPointer, from index: Int) -> UInt64 {
        let count = bytes.count - index
        guard count >= 4 else {
            var word: UInt64 = 0
            for offset in 0..<count { word |= UInt64(bytes[index + offset]) << UInt64(8 * offset) }
            return word
        }
        // Two halves, which overlap in equal bits.
        let low = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt32.self))
        let high = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index + count - 4, as: UInt32.self))
        return UInt64(low) | UInt64(high) << UInt64(8 * (count - 4))
    }

    private struct State {
        var v0: UInt64
        var v1: UInt64
        var v2: UInt64
        var v3: UInt64

        mutating func absorb(_ word: UInt64) {
            self.v3 ^= word
            self.round()
            self.round()
            self.v0 ^= word
        }

        mutating func round() {
            self.v0 = self.v0 &+ self.v1
            self.v1 = (self.v1 << 13 | self.v1 >> 51) ^ self.v0
            self.v0 = self.v0 << 32 | self.v0 >> 32
            self.v2 = self.v2 &+ self.v3
            self.v3 = (self.v3 << 16 | self.v3 >> 48) ^ self.v2
            self.v0 = self.v0 &+ self.v3
            self.v3 = (self.v3 << 21 | self.v3 >> 43) ^ self.v0
            self.v2 = self.v2 &+ self.v1
            self.v1 = (self.v1 << 17 | self.v1 >> 47) ^ self.v2
            self.v2 = self.v2 << 32 | self.v2 >> 32
        }
    }
}
