import Testing
import TidemarkCore
import TidemarkTesting

private func decimal(_ text: String) -> Decimal? {
    var decimal = Decimal()
    return decimal.parse(Array(text.utf8).span) ? decimal : nil
}

private func text(_ decimal: Decimal) -> String {
    var bytes: [UInt8] = []
    decimal.appendText(to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
}

/// The number that PostgreSQL's binary form of `numeric` holds, in as many digits as its display scale says.
private func read(postgres bytes: [UInt8]) -> String {
    func word(_ index: Int) -> Int { Int(bytes[2 * index]) << 8 | Int(bytes[2 * index + 1]) }
    let (count, weight, scale) = (word(0), Int(Int16(truncatingIfNeeded: word(1))), word(3))
    func group(_ power: Int) -> String {
        let index = weight - power
        return (0..<count).contains(index) ? String("\(word(4 + index) + 10_000)".dropFirst()) : "0000"
    }
    var whole = "", fraction = ""
    for power in stride(from: max(weight, 0), through: 0, by: -1) { whole += group(power) }
    for power in 0..<(scale + 3) / 4 { fraction += group(-1 - power) }
    whole = String(whole.drop { $0 == "0" })
    let sign = word(2) == 0x4000 ? "-" : ""
    return sign + (whole.isEmpty ? "0" : whole) + (scale > 0 ? "." + fraction.prefix(scale) : "")
}

@Suite struct DecimalTests {
    @Test(arguments: [
        ("0", "0"), ("-0", "0"), ("+5", "5"), ("007.50", "7.50"), (".5", "0.5"), ("5.", "5"), ("-0.0010", "-0.0010"),
        ("12e3", "12000"), ("1.25e1", "12.5"), ("1.25E+2", "125"), ("125e-2", "1.25"), ("1e-5", "0.00001"),
        ("0e5", "0"), ("0e-3", "0.000"), ("-0.00", "0.00"), ("9007199254740993", "9007199254740993"),
        ("18446744073709551616.000000000000000001", "18446744073709551616.000000000000000001"),
    ])
    func `a number keeps every digit that it is written with`(_ literal: String, _ expected: String) {
        #expect(decimal(literal).map(text) == expected)
    }

    @Test(arguments: [
        "", "-", "+", ".", "-.", "e5", "1e", "1e+", "1e5.0", "1 ", " 1", "1,5", "--1", "0x1", "1_000", "1e1234567890",
        "١",
    ])
    func `what is no number is refused`(_ literal: String) {
        #expect(decimal(literal) == nil)
    }

    /// A zero too has the digits behind its point that its exponent says.
    @Test(arguments: ["1e-16383", "0e-16383", "0E-16384", "-0e-99999", "0.0e-9999", "1e131071"])
    func `an exponent may not add many times its text in zeros`(_ literal: String) {
        var decimal = Decimal()
        let isTaken = decimal.parse(alone: Array(literal.utf8).span)
        #expect(!isTaken)
        let list = Array(("[" + Array(repeating: literal, count: 4000).joined(separator: ",") + "]").utf8)
        var text: [UInt8] = []
        let isTooLong = (try? JSONText.appendCanonical(list.span, to: &text)) == nil
        #expect(isTooLong)
    }

    @Test(arguments: ["0e-9", "0e+99999", "0.000", "1e300", "5e-324"])
    func `an exponent that a double has is taken`(_ literal: String) {
        var decimal = Decimal()
        let isTaken = decimal.parse(alone: Array(literal.utf8).span)
        #expect(isTaken)
    }

    @Test func `a number ends where PostgreSQL's numeric does`() {
        #expect(decimal("1e131071").map { text($0).count } == 131_072)
        #expect(decimal("1e131072") == nil)
        #expect(decimal(String(repeating: "9", count: 131_072)) != nil)
        #expect(decimal(String(repeating: "9", count: 131_073)) == nil)
        #expect(decimal(String(repeating: "0", count: 200_000) + "1") != nil, "zeros in front are no digits")
        #expect(decimal("1e-16383").map { text($0).count } == 16_385)
        #expect(decimal("1e-16384") == nil)
        #expect(decimal("0e999999999").map(text) == "0")
    }

    /// Digits before and behind the point, as `numeric(precision, scale)` allows them. `nil` where the type would round.
    @Test(
        arguments: [
            ("999.99", 5, 2, "999.99"), ("-999.99", 5, 2, "-999.99"), ("1000", 5, 2, nil), ("999.990", 5, 2, "999.99"),
            ("999.991", 5, 2, nil), ("0.001", 5, 2, nil), ("0.000", 5, 2, "0.00"), ("1", 5, 2, "1.00"),
            ("1e2", 5, 2, "100.00"),
            ("99999", 5, 0, "99999"), ("99999.0", 5, 0, "99999"), ("99999.5", 5, 0, nil), ("100000", 5, 0, nil),
            // A scale above the precision: zeros behind the point are demanded.
            ("0.00999", 3, 5, "0.00999"), ("0.01", 3, 5, nil), ("0.0001", 3, 5, "0.00010"),
            // A scale below zero: the last digits have to be zeros.
            ("99000", 2, -3, "99000"), ("99500", 2, -3, nil), ("100000", 2, -3, nil), ("500", 2, -3, nil),
            ("0", 2, -3, "0"),
            ("-1e4", 2, -3, "-10000"),
        ] as [(String, Int, Int, String?)]
    )
    func `a number fits its type or is refused, and is never rounded`(
        _ literal: String,
        _ precision: Int,
        _ scale: Int,
        _ expected: String?
    ) throws {
        var number = try #require(decimal(literal))
        let isFitting = number.fit(precision: precision, scale: scale)
        #expect((isFitting ? text(number) : nil) == expected)
    }

    @Test func `equal numbers are alike once they are normalized`() throws {
        for (texts, canonical) in [
            (["1", "1.0", "1.000", "10e-1", "0.1e1"], "1"), (["-2.50", "-2.5", "-25e-1"], "-2.5"),
            (["0", "-0.00", "0e-9"], "0"),
            (["100", "1e2", "100.00"], "100"),
        ] {
            for literal in texts {
                var number = try #require(decimal(literal))
                number.normalize()
                #expect(text(number) == canonical && number == decimal(canonical), "\(literal)")
            }
        }
        #expect(decimal("1.0") != decimal("1"), "before that they are what was written")
    }

    @Test(
        arguments: [
            ("9223372036854775807", Int64.max), ("-9223372036854775808", .min), ("9223372036854775808", nil),
            ("-9223372036854775809", nil), ("18446744073709551615", nil), ("99999999999999999999", nil), ("1.0", 1),
            ("1.5", nil),
            ("-0.0", 0), ("12e3", 12_000), ("1e19", nil), ("1e-1", nil),
        ] as [(String, Int64?)]
    )
    func `a whole number of 64 bits is one, and no other is`(_ literal: String, _ expected: Int64?) {
        #expect(decimal(literal)?.int64 == expected)
    }

    /// MySQL's BIGINT UNSIGNED, as a producer with signed numbers writes it.
    @Test(arguments: [
        ("-1", "18446744073709551615"), ("-9223372036854775808", "9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775809"), ("5", "5"), ("-0.5", "-0.5"), ("0", "0"),
        ("18446744073709551615", "18446744073709551615"),
    ])
    func `an unsigned number that was written as a signed one is set right`(_ literal: String, _ expected: String)
        throws
    {
        var number = try #require(decimal(literal))
        number.addTwoToThe64()
        #expect(text(number) == expected)
    }

    // MARK: Bytes

    @Test(
        arguments: [
            ([], true, 0, "0"), ([0], true, 2, "0.00"), ([0x7F], true, 0, "127"), ([0x80], true, 0, "-128"),
            ([0x80], false, 0, "128"), ([0xFF], true, 1, "-0.1"), ([0x00, 0xFF], true, 0, "255"),
            ([0xFF, 0x00], true, 0, "-256"),
            ([0x07, 0x5B, 0xCD, 0x15], true, 4, "12345.6789"), ([0x05], true, -3, "5000"),
            ([0xFF, 0xFF, 0xFF], true, 0, "-1"),
        ] as [([UInt8], Bool, Int, String)]
    )
    func `bytes are a two's complement number, or an unsigned one`(
        _ bytes: [UInt8],
        _ isSigned: Bool,
        _ scale: Int,
        _ expected: String
    ) {
        var number = Decimal()
        let isNumber = number.parse(bigEndian: bytes, isSigned: isSigned, scale: scale)
        #expect(isNumber && text(number) == expected)
    }

    @Test func `bytes of any 64-bit number are that number`() {
        var random = SeededGenerator.forTest("decimal bytes")
        for _ in 0..<500 {
            let value = Int64(truncatingIfNeeded: random.next()) >> Int64.random(in: 0..<64, using: &random)
            var bytes: [UInt8] = []
            bytes.appendBigEndian(value)
            var number = Decimal()
            let isSigned = number.parse(bigEndian: bytes, isSigned: true, scale: 0)
            #expect(isSigned && text(number) == "\(value)", "seed \(random.seed)")
            let isUnsigned = number.parse(bigEndian: bytes, isSigned: false, scale: 0)
            #expect(isUnsigned && text(number) == "\(UInt64(bitPattern: value))", "seed \(random.seed)")
        }
    }

    @Test func `bytes beyond numeric's scale, or too many of them, are refused`() {
        var number = Decimal()
        for (count, scale, expected) in [
            (1, 16_383, true), (1, 16_384, false), (1, -16_384, false), (4096, 0, true), (4097, 0, false),
        ] {
            let isNumber = number.parse(bigEndian: [UInt8](repeating: 1, count: count), isSigned: true, scale: scale)
            #expect(isNumber == expected, "\(count) bytes, scale \(scale)")
        }
    }

    /// As PostgreSQL's `numeric_send` writes them.
    @Test(
        arguments: [
            ("0", [0, 0, 0, 0]), ("0.00", [0, 0, 0, 2]), ("1", [1, 0, 0, 0, 1]), ("-1", [1, 0, 0x4000, 0, 1]),
            ("10000", [1, 1, 0, 0, 1]), ("0.0001", [1, 0xFFFF, 0, 4, 1]), ("0.00001", [1, 0xFFFE, 0, 5, 1000]),
            ("-12345.678", [3, 1, 0x4000, 3, 1, 2345, 6780]), ("1.50", [2, 0, 0, 2, 1, 5000]),
            ("100000000.0", [1, 2, 0, 1, 1]), ("9999.9999", [2, 0, 0, 4, 9999, 9999]),
        ] as [(String, [UInt16])]
    )
    func `the binary form is PostgreSQL's`(_ literal: String, _ words: [UInt16]) throws {
        var bytes: [UInt8] = []
        try #require(decimal(literal)).appendPostgresBinary(to: &bytes)
        var expected: [UInt8] = []
        for word in words { expected.appendBigEndian(word) }
        #expect(bytes == expected)
    }

    @Test func `the binary form holds the number that the text does`() throws {
        var random = SeededGenerator.forTest("decimal binary")
        for _ in 0..<1000 {
            func digits(_ count: ClosedRange<Int>) -> String {
                let zeros = random.chance(30)
                return (0..<Int.random(in: count, using: &random))
                    .map { _ in zeros && random.chance(80) ? "0" : "\(Int.random(in: 0...9, using: &random))" }.joined()
            }
            let literal = (random.chance(50) ? "-" : "") + digits(1...30) + "." + digits(0...25)
            let number = try #require(decimal(literal))
            var bytes: [UInt8] = []
            number.appendPostgresBinary(to: &bytes)
            #expect(read(postgres: bytes) == text(number), "\(literal), seed \(random.seed)")
        }
    }

    // MARK: Binary floating point

    @Test func `a binary number has exactly its own digits`() {
        for (double, expected) in [
            (0.1, "0.1000000000000000055511151231257827021181583404541015625"), (-2.5, "-2.5"), (0, "0"),
            (9_007_199_254_740_992, "9007199254740992"), (1e22, "10000000000000000000000"), (0x1p-10, "0.0009765625"),
            (1e23, "99999999999999991611392"),
        ] {
            var number = Decimal()
            number.set(exactly: double)
            #expect(text(number) == expected)
        }
        var least = Decimal()
        least.set(exactly: .leastNonzeroMagnitude)
        #expect(least.scale == 1074 && least.significantDigits == 751)
        #expect(Double(text(least)) == .leastNonzeroMagnitude)
    }

    @Test func `a binary number is read back from its digits`() {
        var random = SeededGenerator.forTest("decimal exact")
        for _ in 0..<300 {
            let double = Double(bitPattern: random.next())
            guard double.isFinite else { continue }
            var number = Decimal()
            number.set(exactly: double)
            #expect(Double(text(number)) == double, "\(double) seed \(random.seed)")
        }
    }
}

/// Values that `numeric` holds beside numbers, through the encoder.
@Suite struct SpecialNumberTests {
    private static func encode(_ value: String, _ type: String) throws(ValueEncoder.Misfit) -> (
        text: String, binary: [UInt8]
    ) {
        var encoder = ValueEncoder()
        let bytes = Array(value.utf8)
        let field = Field(name: .empty, value: ByteRange(start: 0, end: bytes.count), kind: .string)
        let column = ColumnPlan(.init(name: "c", type: ColumnType(type) ?? .text))
        try encoder.encode(field, of: bytes.span, as: column, in: .init())
        return (String(decoding: encoder.text, as: UTF8.self), encoder.binary)
    }

    @Test(
        arguments: [
            ("NaN", 0xC0), ("nan", 0xC0), ("Infinity", 0xD0), ("+inf", 0xD0), ("-Infinity", 0xF0),
            ("NEGATIVE_INFINITY", 0xF0),
        ] as [(String, UInt8)]
    )
    func `numeric's binary form names NaN and the infinities by its sign`(_ value: String, _ sign: UInt8) throws {
        #expect(try Self.encode(value, "numeric").binary == [0, 0, 0, 8, 0, 0, 0, 0, sign, 0, 0, 0])
    }

    @Test func `the infinities of floating point are IEEE's`() throws {
        #expect(try Self.encode("-inf", "real").binary == [0, 0, 0, 4, 0xFF, 0x80, 0, 0])
        #expect(try Self.encode("Infinity", "double precision").binary == [0, 0, 0, 8, 0x7F, 0xF0, 0, 0, 0, 0, 0, 0])
        #expect(try Self.encode("NaN", "double precision").text == "NaN")
    }

    @Test func `a declared precision holds NaN and no infinity`() throws {
        #expect(try Self.encode("NaN", "numeric(4,2)").text == "NaN")
        let misfit = #expect(throws: ValueEncoder.Misfit.self) { try Self.encode("Infinity", "numeric(4,2)") }
        #expect(misfit?.expected == "a finite number; only numeric without precision and scale holds infinities")
        for type in ["bigint", "integer", "smallint"] {
            #expect(throws: ValueEncoder.Misfit.self) { try Self.encode("NaN", type) }
            #expect(throws: ValueEncoder.Misfit.self) { try Self.encode("Infinity", type) }
        }
    }

    @Test(arguments: [
        "numeric(0,0)", "numeric(1001,0)", "numeric(5,1001)", "numeric(5,-1001)", "numeric(5,2,1)", "numeric()",
    ])
    func `a precision or scale that PostgreSQL does not know is no type`(_ type: String) {
        #expect(ColumnType(type) == nil)
    }

    @Test func `a type is read as it is written`() {
        for type in [
            "numeric(1000,-1000)", "numeric(1,1000)", "numeric(5,0)", "numeric", "varchar(1)", "varchar(10485760)",
        ] {
            #expect(ColumnType(type)?.sql == type)
        }
        #expect(ColumnType(" DECIMAL ( 12 , 2 ) ") == .numeric(precision: 12, scale: 2))
        #expect(ColumnType("Timestamp  With Time Zone") == .timestamptz)
        #expect(ColumnType("varchar(10485761)") == nil && ColumnType("varchar(0)") == nil && ColumnType("money") == nil)
    }
}
