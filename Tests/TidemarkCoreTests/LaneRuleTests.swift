import Testing
import TidemarkCore
import TidemarkTesting

private func lane(_ key: String, _ rule: LaneRule = .wordHash, among count: Int) -> Int {
    rule.lane(ofKey: Array(key.utf8).span, among: count)
}

/// Whether no count is far from the average: five standard deviations, or about one run in a million for each lane.
private func isEven(_ counts: [Int]) -> Bool {
    let total = counts.reduce(0, +)
    let average = Double(total) / Double(counts.count)
    return counts.allSatisfy { abs(Double($0) - average) < 5 * average.squareRoot() }
}

@Suite struct LaneRuleTests {
    /// Keys as tables have them: numbers in a row, with a gap, texts with one beginning, identifiers, parts behind NUL.
    private static let shapes: [(name: String, key: @Sendable (Int) -> String)] = [
        ("1, 2, 3", { "\($0)" }), ("1000, 2000", { "\($0 * 1000)" }), ("order-1", { "order-\($0)" }),
        ("text and number", { "de\u{0}\($0)" }), ("zeros in front", { String("0000000000\($0)".suffix(11)) }),
        ("uuid", { "a0eebc99-9c0b-4ef8-bb6d-\(String($0 * 7919, radix: 16))" }),
    ]

    @Test(arguments: shapes.indices, [2, 3, 4, 7, 16])
    func `entities spread evenly over the lanes`(_ shape: Int, _ count: Int) {
        var counts = [Int](repeating: 0, count: count)
        for number in 0..<8000 { counts[lane(Self.shapes[shape].key(number), among: count)] += 1 }
        #expect(isEven(counts), "\(Self.shapes[shape].name): \(counts)")
    }

    /// A reader of some of a topic's partitions must not leave lanes idle.
    @Test(arguments: [2, 4, 6, 12, 16], [2, 4, 8])
    func `the keys of each Kafka partition spread over all lanes`(_ partitions: Int, _ lanes: Int) {
        var counts = [[Int]](repeating: [Int](repeating: 0, count: lanes), count: partitions)
        for number in 0..<16_000 {
            let key = "order-\(number)"
            counts[lane(key, .murmur2, among: partitions)][lane(key, among: lanes)] += 1
        }
        for (partition, own) in counts.enumerated() { #expect(isEven(own), "partition \(partition): \(own)") }
    }

    @Test func `messages of any length spread evenly by their offsets`() {
        var random = SeededGenerator.forTest("lanes of messages")
        for count in [2, 4, 5, 16] {
            var counts = [Int](repeating: 0, count: count)
            var offset = StreamOffset(major: random.next() >> 30)
            for ordinal in 1...8000 as ClosedRange<Int64> {
                counts[LaneRule.wordHash.lane(ofMessageAt: offset, ordinal: ordinal, among: count)] += 1
                offset.major += UInt64.random(in: 200...220, using: &random)
            }
            #expect(isEven(counts), "\(counts) seed \(random.seed)")
        }
    }

    /// From an implementation of its own, in another language. A pass that is unfinished is resumed by these.
    @Test(arguments: [
        ("", [0, 0, 2, 133], [1, 1, 9, 681]), ("1", [1, 2, 10, 639], [1, 3, 15, 159]),
        ("21", [1, 3, 13, 854], [0, 0, 12, 340]),
        ("order-1", [0, 1, 6, 435], [0, 2, 6, 326]), ("de\u{0}7", [1, 2, 10, 626], [1, 3, 11, 811]),
        ("0123456789abcdef", [1, 3, 14, 926], [0, 0, 12, 52]),
        ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", [0, 1, 5, 320], [1, 3, 7, 31]),
    ])
    func `a key stays in its lane, under either rule`(_ key: String, _ wordHash: [Int], _ murmur2: [Int]) {
        #expect([2, 4, 16, 1000].map { lane(key, among: $0) } == wordHash)
        #expect([2, 4, 16, 1000].map { lane(key, .murmur2, among: $0) } == murmur2)
    }

    @Test(
        arguments: [
            (0, 0, [0, 0, 0, 0]), (1, 0, [1, 2, 9, 618]), (4096, 0, [0, 1, 7, 467]), (4096, 7, [1, 3, 12, 793]),
            (1 << 40, 0, [0, 1, 4, 290]),
        ] as [(UInt64, UInt64, [Int])]
    )
    func `a message stays in its lane, whichever of its rows is asked for`(
        _ major: UInt64,
        _ minor: UInt64,
        _ lanes: [Int]
    ) {
        for row in [0, 9] as [UInt32] {
            let offset = StreamOffset(major: major, minor: minor, row: row)
            let found = [2, 4, 16, 1000].map { LaneRule.wordHash.lane(ofMessageAt: offset, ordinal: 5, among: $0) }
            #expect(found == lanes)
            #expect(LaneRule.murmur2.lane(ofMessageAt: offset, ordinal: 5, among: 4) == 1, "by the ordinal")
        }
    }

    @Test func `one lane has everything`() {
        for rule in [LaneRule.murmur2, .wordHash] {
            for key in ["", "1", "order-1"] { #expect(lane(key, rule, among: 1) == 0) }
            #expect(rule.lane(ofMessageAt: StreamOffset(major: 77), ordinal: 3, among: 1) == 0)
        }
    }

    /// A pass stores the rule that it began with.
    @Test func `the stored numbers of the rules stay`() {
        #expect(
            LaneRule(rawValue: 1) == .murmur2 && LaneRule(rawValue: 2) == .wordHash && LaneRule.current == .wordHash
        )
    }
}
