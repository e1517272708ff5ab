/// SplitMix64: small, fast, and the same numbers from the same seed on every machine and with every compiler.
package struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        self.state = seed
    }

    package mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        return Self.mix(self.state)
    }

    /// Spreads a number over all 64 bits, and no two onto one.
    package static func mix(_ number: UInt64) -> UInt64 {
        var word = number
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    /// A number from 0 up to `bound`, without it. Written out, because what the standard library makes of a generator
    /// may change with its version.
    package mutating func below(_ bound: Int) -> Int {
        Int(self.next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// True in `percent` of 100 cases.
    package mutating func chance(_ percent: Double) -> Bool {
        Double(self.next() >> 11) * 0x1p-53 * 100 < percent
    }
}
