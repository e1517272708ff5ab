import Testing
import TidemarkTesting

@testable import TidemarkDecoding

struct WireTextTests {
    /// Wherever it stands, and whatever stands around it.
    @Test("A whole number is read as Swift reads it, or refused with it")
    func readsWholeNumbers() {
        var random = SeededGenerator.forTest("wire text")
        let digits = Array("0123456789".utf8)
        let others = Array("0123456789:/.-+ a".utf8) + [0, 0xFF]
        for _ in 0..<50_000 {
            var text = (0..<Int.random(in: 1...21, using: &random)).map { _ in digits.randomElement(using: &random)! }
            if Int.random(in: 0..<3, using: &random) == 0 {
                text[Int.random(in: 0..<text.count, using: &random)] = others.randomElement(using: &random)!
            }
            func around() -> [UInt8] {
                (0..<Int.random(in: 0...20, using: &random)).map { _ in others.randomElement(using: &random)! }
            }
            let before = around()
            let bytes = before + text + around()
            let isNumber = text.allSatisfy { digits.contains($0) }
            let expected = isNumber ? UInt64(String(decoding: text, as: UTF8.self)) : nil
            let found = bytes.unsigned(in: before.count..<before.count + text.count)
            #expect(found == expected, "\(text) behind \(before.count) bytes, seed \(random.seed)")
        }
    }
}
