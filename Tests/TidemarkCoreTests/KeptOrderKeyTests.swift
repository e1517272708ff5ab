import Testing
import TidemarkCore

struct KeptOrderKeyTests {
    @Test(
        "An order key is kept byte by byte, whether it has room in place or not",
        arguments: [0, 1, 25, 56, 57, 1100]
    )
    func keepsBytes(count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let key = KeptOrderKey(bytes)
        #expect(key.array == bytes)
        #expect((key.short == nil) == (count > ShortOrderKey.countMax))
        #expect(bytes.withUnsafeBytes { KeptOrderKey($0) } == key)
        #expect(key.hashValue == KeptOrderKey(bytes).hashValue)
        if let short = key.short { #expect(KeptOrderKey(short) == key) }
    }

    @Test("Two order keys are equal when all of their bytes are, and their number is")
    func compares() {
        let keys: [[UInt8]] = [[], [0], [0, 0], Array(repeating: 0, count: 56), Array(repeating: 0, count: 57)]
        for (left, first) in keys.enumerated() {
            for (right, second) in keys.enumerated() {
                #expect((KeptOrderKey(first) == KeptOrderKey(second)) == (left == right))
            }
        }
        var other = Array(repeating: UInt8(0), count: 56)
        other[55] = 1
        #expect(KeptOrderKey(other) != KeptOrderKey(Array(repeating: 0, count: 56)))
    }
}
