import Testing
import TidemarkCore
import TidemarkTesting

/// Numbers from least to greatest.
private let numberLine = [
    "-1e61", "-1e60", "-999e57", "-1e59", "-1e30", "-18446744073709551616", "-9223372036854775808", "-100", "-99.5",
    "-99", "-10", "-9.01", "-9", "-1.5",
    "-1", "-0.99", "-0.5", "-0.001", "0", "0.0009", "0.001", "0.01", "0.1", "0.5", "0.99", "1", "1.0001", "1.5", "9",
    "9.01", "10", "99", "99.5", "100", "101", "9007199254740992", "9007199254740993", "18446744073709551615",
    "18446744073709551616", "1e30", "1.5e30", "1e59", "999e57", "1e60", "1.01e60", "1e61",
]

private func key(_ literal: String, _ layout: NumberLayout = .current) -> [UInt8] {
    var decimal = Decimal()
    let isNumber = decimal.parse(Array(literal.utf8).span)
    #expect(isNumber)
    var order = OrderKeyBuilder(numbers: layout)
    order.append(number: &decimal)
    return order.bytes.array
}

@Suite struct OrderKeyTests {
    /// Whatever follows: a number says where it ends.
    @Test(arguments: [NumberLayout.wide, .short])
    func numbersOfAnySizeAndSignAreOneLine(_ layout: NumberLayout) {
        for (left, right) in zip(numberLine, numberLine.dropFirst()) {
            let (less, more) = (key(left, layout) + [0xFF], key(right, layout) + [0x00])
            #expect(less.lexicographicallyPrecedes(more), "\(left) before \(right)")
        }
    }

    /// Stored order keys have these bytes.
    @Test func numbersAreLaidOutAsTheyAreStored() {
        func hex(_ literal: String, _ layout: NumberLayout) -> String {
            key(literal, layout).map { String(UInt16($0) + 0x100, radix: 16).dropFirst() }.joined(separator: " ")
        }
        #expect(hex("5", .wide) == "03 40 00 01 33 00")
        #expect(hex("-120", .wide) == "01 bf ff fc f2 ff")
        #expect(hex("5", .short) == "82 64")
        #expect(hex("1234567", .short) == "88 19 45 71 8c")
        #expect(hex("-120", .short) == "7b e7")
        #expect(hex("0.05", .short) == "81 3f ff ff 64")
        #expect(hex("0", .wide) == "02")
        #expect(hex("0", .short) == "80")
    }

    @Test(arguments: [NumberLayout.wide, .short])
    func randomNumbersAreOrderedByTheirKeys(_ layout: NumberLayout) throws {
        var random = SeededGenerator.forTest("number layouts")
        let seed = random.seed
        let powers: [Int64] = (1...18).map { (0..<$0).reduce(1) { power, _ in power * 10 } }
        /// A number as text, and what it is in units of 10^-20.
        func number() -> (text: String, value: Int128) {
            let whole = Int64.random(in: 0..<powers.randomElement(using: &random)!, using: &random)
            let scale = Int.random(in: 0...20, using: &random)
            let isNegative = Bool.random(using: &random)
            let digits = "\(whole)"
            let padded = String(repeating: "0", count: max(0, scale + 1 - digits.count)) + digits
            let text = scale == 0 ? padded : padded.dropLast(scale) + "." + padded.suffix(scale)
            let value = (0..<20 - scale).reduce(Int128(whole)) { value, _ in value * 10 }
            return (isNegative ? "-\(text)" : "\(text)", isNegative ? -value : value)
        }
        for _ in 0..<5_000 {
            let numbers = [number(), number()]
            let keys = numbers.map { key($0.text, layout) }
            let isLess = (keys[0] + [0xFF]).lexicographicallyPrecedes(keys[1] + [0x00])
            #expect(isLess == (numbers[0].value < numbers[1].value), "\(numbers), seed \(seed)")
            guard let quick = FastPathNumber(Array(numbers[0].text.utf8).span) else { continue }
            var bytes = ByteBuffer()
            quick.appendOrderBytes(layout, to: &bytes)
            #expect(bytes.array == keys[0], "\(numbers[0]), seed \(seed)")
        }
    }

    @Test(arguments: [("1.0", "1.00"), ("1e2", "100"), ("-0", "0"), ("0.50", "0.5"), ("007", "7"), ("+3", "3")])
    func equalNumbersHaveOneKeyHoweverTheyAreWritten(_ left: String, _ right: String) {
        #expect(key(left) == key(right))
    }

    @Test(arguments: ["NaN", "", "-", "1e", "1.2.3", "0x10", "1e999999999", "Infinity", " 1"])
    func whatIsNoNumberIsRefused(_ literal: String) {
        var decimal = Decimal()
        let isNumber = decimal.parse(Array(literal.utf8).span)
        #expect(!isNumber)
    }

    @Test func partsDelimitThemselves() {
        func text(_ parts: String...) -> [UInt8] {
            var order = OrderKeyBuilder()
            for part in parts { order.append(text: Array(part.utf8).span) }
            return order.bytes.array
        }
        #expect(text("a", "z").lexicographicallyPrecedes(text("ab", "a")))
        #expect(text("", "z").lexicographicallyPrecedes(text("a", "")))
        #expect(text("a").lexicographicallyPrecedes(text("a", "")))
    }

    @Test func timestampsBefore1970ComeFirst() {
        func time(_ microseconds: Int64) -> [UInt8] {
            var order = OrderKeyBuilder()
            order.append(timestamp: microseconds)
            return order.bytes.array
        }
        let line: [Int64] = [.min, -1_000_000, -1, 0, 1, 1_700_000_000_000_000, .max]
        for (left, right) in zip(line, line.dropFirst()) {
            #expect(time(left).lexicographicallyPrecedes(time(right)))
        }
    }

    @Test func aDeleteIsAboveAnythingElseAtItsSequence() {
        var decimal = Decimal()
        _ = decimal.parse(Array("5".utf8).span)
        var update = OrderKeyBuilder()
        update.append(number: &decimal)
        var deleteBuilder = OrderKeyBuilder()
        deleteBuilder.append(number: &decimal)
        deleteBuilder.appendDeleteTag()
        let delete = deleteBuilder.bytes.array
        update.appendTieBreakers(stateRank: .max, digest: [UInt8](repeating: 0xFF, count: 16).span)
        #expect(update.bytes.array.lexicographicallyPrecedes(delete))
        var next = OrderKeyBuilder()
        _ = decimal.parse(Array("6".utf8).span)
        next.append(number: &decimal)
        next.appendTieBreakers(stateRank: 0, digest: [UInt8](repeating: 0, count: 16).span)
        #expect(delete.lexicographicallyPrecedes(next.bytes.array))
    }
}

@Suite struct HashingTests {
    /// From Kafka's own tests of `Utils.murmur2`.
    @Test(arguments: [
        ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ])
    func murmur2IsKafkas(_ text: String, _ expected: Int) {
        let hash = Murmur2.hash(Array(text.utf8).span)
        #expect(Int(Int32(bitPattern: hash)) == expected)
    }

    /// From the reference implementation's vectors: the key is 00 01 … 0f.
    @Test func sipHashIsTheReferences() {
        let hash = SipHash128(key0: 0x0706_0504_0302_0100, key1: 0x0f0e_0d0c_0b0a_0908)
        let empty: [UInt8] = []
        let ofNothing = hash.hash(empty.span)
        #expect(ofNothing == KeyHash(high: 0x9302_55c7_1472_f66d, low: 0xe6a8_25ba_047f_81a3))
        let one: [UInt8] = [0]
        let ofOne = hash.hash(one.span)
        #expect(ofOne == KeyHash(high: 0x45fc_229b_1159_7634, low: 0x44af_996b_d8c1_87da))
    }

    @Test func aDeliverysIdentifierNeverChanges() {
        var definition = ProjectionDefinition(name: "orders", from: ["a.b"], key: ["id"], sequence: [.position])
        definition.columns = [.init(name: "id", type: .bigint)]
        let key = KeyText(ProjectionPlan(definition), Array("1001".utf8)[...])
        #expect(key.json == "[1001]")
        let text = KeyText(
            ProjectionPlan(.init(name: "orders", from: ["a.b"], key: ["id"], sequence: [.position])),
            Array("1001".utf8)[...]
        )
        #expect(text.json == "[\"1001\"]")
        #expect(
            key.deliveryID(projection: "orders", milestone: "shipped")
                == text.deliveryID(projection: "orders", milestone: "shipped")
        )
        // RFC 9562, appendix A.4: www.example.com in the DNS namespace.
        let dns: [UInt8] = [
            0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
        ]
        let expected: [UInt8] = [
            0x2e, 0xd6, 0x65, 0x7d, 0xe9, 0x27, 0x56, 0x8b, 0x95, 0xe1, 0x26, 0x65, 0xa8, 0xae, 0xa6, 0xa2,
        ]
        #expect(KeyText.uuidV5(namespace: dns, name: "www.example.com") == expected)
    }
}
