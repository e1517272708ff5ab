import Testing
import TidemarkCore
import TidemarkTesting

/// What the quick path makes of a value is what the general one makes of it, or it leaves the value to that.
@Suite struct PlainValueTests {
    private static let types = [
        "bigint", "integer", "smallint", "numeric(12,2)", "numeric(38,10)", "numeric(4,4)", "numeric", "text",
        "timestamptz", "timestamp", "boolean", "varchar(5)",
    ]

    private static let edges = [
        "0", "-0", "00", "7", "-7", "007", "10", "100", "-100", "32767", "32768", "2147483648", "9223372036854775807",
        "999999999999999999", "1000000000000000000", "0.5", "-0.50", ".5", "5.", "1.005", "9999999999.99", "0.0001",
        "1e3", "12345678.12345678", "10000.0001", "-", "", ".", "1.2.3", "2026-03-01 09:30:15", "2026-03-01T23:59:59",
        "0001-01-01 00:00:00", "0000-01-01 00:00:00", "2026-02-29 00:00:00", "2024-02-29 12:00:00",
        "2026-03-01 24:00:00", "2026-03-01 09:60:15", "2026-03-01 09:30:1x", "9999-12-31 23:59:59", "a\u{0}b", "a\"b",
        "1\u{fe}\u{ff}",
    ]

    @Test(arguments: types)
    func aPlainValueIsWhatTheGeneralPathMakesOfIt(_ type: String) throws {
        var random = SeededGenerator.forTest("plain values")
        let seed = random.seed
        let column = ColumnPlan(.init(name: "c", type: try #require(ColumnType(type))))
        var encoder = ValueEncoder()
        for round in 0..<4_000 {
            let text = round < Self.edges.count ? Self.edges[round] : Self.value(&random)
            for kind in [Field.Kind.string, .number] {
                // What stands behind a value in its message must not matter.
                let behind = Bool.random(using: &random) ? [] : Array("0.7\",1234567890.123456789:00-00T00\u{0}".utf8)
                let end = text.utf8.count
                let bytes = Array(text.utf8) + behind
                let field = Field(name: .empty, value: ByteRange(start: 0, end: end), kind: kind)
                var general: (binary: [UInt8], text: [UInt8])?
                if (try? encoder.encode(field, of: bytes.span, as: column, in: .init())) != nil {
                    general = (encoder.binary, encoder.text)
                }
                let written = try? Self.append(field, bytes, column, &encoder)
                let comment: Comment = "\(type) \(kind) \"\(text)\" seed \(seed)"
                #expect((written != nil) == (general != nil), comment)
                guard let written, let general else { continue }
                #expect(written.binary == general.binary, comment)
                #expect(written.text == general.text, comment)
            }
        }
    }

    private static func append(
        _ field: Field,
        _ bytes: [UInt8],
        _ column: ColumnPlan,
        _ encoder: inout ValueEncoder
    ) throws -> (binary: [UInt8], text: [UInt8]) {
        var binary = ByteSink()
        var text = ByteSink()
        try encoder.append(field, of: bytes.span, as: column, in: .init(), binary: &binary, text: &text)
        return (binary.array, text.array)
    }

    /// An index takes 1.0 and 1.00 for one key, so they are one entity, with one row and one identifier.
    @Test func equalNumbersAreOneKey() throws {
        let column = ColumnPlan(.init(name: "c", type: .numeric(precision: nil, scale: 0)), isKey: true)
        var encoder = ValueEncoder()
        for (texts, canonical) in [
            (["1", "1.0", "1.00", "1e0"], "1"), (["-0.50", "-0.5"], "-0.5"), (["0.0", "0"], "0"),
        ] {
            var forms: Set<[UInt8]> = []
            for text in texts {
                let bytes = Array(text.utf8)
                let field = Field(name: .empty, value: ByteRange(start: 0, end: bytes.count), kind: .number)
                let written = try Self.append(field, bytes, column, &encoder)
                forms.insert(written.binary)
                #expect(written.text == Array(canonical.utf8), "\(text)")
            }
            #expect(forms.count == 1, "\(texts)")
        }
    }

    /// Order bytes are stored: the quick path's have to be those that were there before it.
    @Test func wholeNumbersHaveOneOrder() {
        var random = SeededGenerator.forTest("plain values")
        let seed = random.seed
        for _ in 0..<20_000 {
            let text = Self.digits(&random)
            guard let plain = PlainNumber(Array(text.utf8).span) else { continue }
            var decimal = Decimal()
            let isNumber = decimal.parse(Array(text.utf8).span)
            #expect(isNumber)
            var quick = OrderKeyBuilder()
            var general = OrderKeyBuilder()
            quick.append(plain, Array(text.utf8).span)
            general.append(number: &decimal)
            #expect(quick.bytes.array == general.bytes.array, "\(text) seed \(seed)")
            #expect(quick.text.array == general.text.array, "\(text) seed \(seed)")
        }
    }

    private static func digits(_ random: inout SeededGenerator) -> String {
        let sign = Bool.random(using: &random) ? "-" : ""
        let zeros = String(repeating: "0", count: Int.random(in: 0...6, using: &random))
        let digits = (0..<Int.random(in: 1...14, using: &random)).map { _ in "\(Int.random(in: 0...9, using: &random))"
        }
        return sign + digits.joined() + zeros
    }

    private static func value(_ random: inout SeededGenerator) -> String {
        switch Int.random(in: 0..<5, using: &random) {
        case 0: return Self.digits(&random)
        case 1: return Self.digits(&random) + "." + Self.digits(&random).filter { $0 != "-" }
        case 2:
            func two(_ range: ClosedRange<Int>) -> String {
                let number = Int.random(in: range, using: &random)
                return number < 10 ? "0\(number)" : "\(number)"
            }
            return
                "\(two(10...30))\(two(0...99))-\(two(1...12))-\(two(1...31)) \(two(0...24)):\(two(0...59)):\(two(0...60))"
        case 3:
            let characters = Array("0123456789012345678901234567890123456789..-")
            return String(
                (0..<Int.random(in: 1...9, using: &random)).map { _ in characters.randomElement(using: &random)! }
            )
        default:
            let characters = Array("abc \"\\\n\u{1f}äß€😀0123456789")
            return String(
                (0..<Int.random(in: 0...20, using: &random)).map { _ in characters.randomElement(using: &random)! }
            )
        }
    }
}
