import Testing
import TidemarkTesting

@testable import TidemarkCore

private func prefix(_ bytes: [UInt8]) -> OrderKeyPrefix { bytes.withUnsafeBytes { OrderKeyPrefix($0) } }

/// The first 24 bytes of an order key as numbers: a quick answer that must never differ from that of the keys.
@Suite struct OrderKeyPrefixTests {
    @Test func `where two prefixes differ they compare as the keys do`() {
        var random = SeededGenerator.forTest("order key prefixes")
        var differing = 0
        for _ in 0..<20_000 {
            let common = (0..<Int.random(in: 0...30, using: &random)).map { _ in
                random.pick([0, 0x7F, 0x80, 0xFF] as [UInt8])
            }
            func key() -> [UInt8] {
                common + (0..<Int.random(in: 0...10, using: &random)).map { _ in random.pick([0, 1, 0x80, 0xFF]) }
            }
            let (left, right) = (key(), key())
            let (first, second) = (prefix(left), prefix(right))
            guard first != second else { continue }
            differing += 1
            #expect((first < second) == left.lexicographicallyPrecedes(right), "\(left) \(right) seed \(random.seed)")
            #expect((second < first) == right.lexicographicallyPrecedes(left), "\(left) \(right) seed \(random.seed)")
        }
        #expect(differing > 5000)
    }

    @Test func `prefixes are equal where the first 24 bytes are, with zeros behind a shorter key`() {
        let key = (1...30).map { UInt8($0) }
        for count in 0...30 {
            let cut = Array(key.prefix(count))
            #expect((prefix(cut) == prefix(key)) == (count >= 24), "\(count)")
            #expect(prefix(cut + [UInt8](repeating: 0, count: 30 - count)) == prefix(cut), "\(count)")
        }
        #expect(prefix([]) == OrderKeyPrefix())
    }

    @Test func `each of the 24 bytes counts, and an earlier one counts more`() {
        let base = [UInt8](repeating: 0x80, count: 24)
        for index in 0..<24 {
            var (above, below) = (base, base)
            above[index] = 0x81
            below[index] = 0x7F
            for later in index + 1..<24 { (above[later], below[later]) = (0, 0xFF) }
            #expect(prefix(base) < prefix(above) && prefix(below) < prefix(base), "byte \(index)")
        }
    }

    @Test func `an encoded event has the prefix of its order key`() throws {
        let bench = EncoderBench(.orders(sequence: [.position, .column("version", type: nil)]))
        let row: TestRow = ["id": 1, "version": 2, "status": "paid", "total": 3]
        for operation in [TidemarkCore.Operation.update, .delete] {
            let position = Position(kind: .binlog, 7, 4096, 1, count: 3)
            let event = TestEvent(operation, before: operation == .delete ? row : nil, after: row, position: position)
            let change = try #require(bench.encode(event).encoded.first)
            #expect(change.item.orderPrefix == prefix(change.orderKey))
        }
    }
}
