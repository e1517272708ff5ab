import Foundation
import TidemarkCore

/// SplitMix64: small, fast, and the same numbers from the same seed on every machine.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    /// Names the seed of a run that is to be repeated.
    package static let variable = "TIDEMARK_TEST_SEED"

    package let seed: UInt64
    private var base: SplitMix64

    package init(seed: UInt64) {
        self.seed = seed
        self.base = SplitMix64(seed: seed)
    }

    /// The seed from the environment, else a new one; printed, so that a failure can be repeated.
    package static func forTest(_ name: String) -> SeededGenerator {
        let given = ProcessInfo.processInfo.environment[Self.variable].flatMap { UInt64($0) }
        let seed = given ?? UInt64.random(in: 0..<1_000_000_000)
        print("\(name): \(Self.variable)=\(seed)")
        return SeededGenerator(seed: seed)
    }

    package mutating func next() -> UInt64 { self.base.next() }

    /// True in `percent` of 100 cases.
    package mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

    package mutating func pick<T>(_ choices: [T]) -> T { choices[Int.random(in: 0..<choices.count, using: &self)] }

    /// A generator of its own for a part of the test, so that parts do not depend on each other.
    package func fork(_ number: Int) -> SeededGenerator {
        var mixer = SeededGenerator(seed: self.seed ^ UInt64(truncatingIfNeeded: number) &* 0xD6E8_FEB8_6659_FD93)
        return SeededGenerator(seed: mixer.next())
    }
}
