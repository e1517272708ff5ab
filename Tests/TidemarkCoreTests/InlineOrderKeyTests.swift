import Testing
import TidemarkCore

struct InlineOrderKeyTests {
    @Test(
        "An order key is kept byte by byte, whether it has room in place or not",
        arguments: [0, 1, 25, 56, 57, 1100]
    )
    func keepsBytes(count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let key = OrderKey(bytes)
        #expect(key.array == bytes)
        #expect((key.short == nil) == (count > OrderKey.Inline.countMax))
        #expect(bytes.withUnsafeBytes { OrderKey($0) } == key)
        #expect(key.hashValue == OrderKey(bytes).hashValue)
        if let short = key.short { #expect(OrderKey(short) == key) }
    }

    @Test("Two order keys are equal when all of their bytes are, and their number is")
    func compares() {
        let keys: [[UInt8]] = [[], [0], [0, 0], Array(repeating: 0, count: 56), Array(repeating: 0, count: 57)]
        for (left, first) in keys.enumerated() {
            for (right, second) in keys.enumerated() {
                #expect((OrderKey(first) == OrderKey(second)) == (left == right))
            }
        }
        var other = Array(repeating: UInt8(0), count: 56)
        other[55] = 1
        #expect(OrderKey(other) != OrderKey(Array(repeating: 0, count: 56)))
    }
}
