import Testing
import TidemarkCore
import TidemarkFuzzing
import TidemarkTesting

/// What the quick path makes of a value is what the general one makes of it, or it leaves the value to that.
@Suite struct PlainValueTests {
    private static let types = [
        "bigint", "integer", "smallint", "numeric(12,2)", "numeric(38,10)", "numeric(4,4)", "numeric(38,20)",
        "numeric(18,18)", "numeric(19,19)", "numeric(3,5)", "numeric(5,-2)", "numeric(1000,1000)", "numeric", "text",
        "varchar(5)", "boolean", "timestamptz", "timestamp", "date", "time", "double precision", "real", "uuid",
        "jsonb",
        "bytea",
    ]

    private static let edges = [
        "0", "-0", "00", "7", "-7", "007", "10", "100", "-100", "32767", "32768", "2147483648", "9223372036854775807",
        "999999999999999999", "1000000000000000000", "0.5", "-0.50", ".5", "5.", "1.005", "9999999999.99", "0.0001",
        "1e3", "12345678.12345678", "10000.0001", "-", "", ".", "1.2.3", "2026-03-01 09:30:15", "2026-03-01T23:59:59",
        "0001-01-01 00:00:00", "0000-01-01 00:00:00", "2026-02-29 00:00:00", "2024-02-29 12:00:00",
        "2026-03-01 24:00:00", "2026-03-01 09:60:15", "2026-03-01 09:30:1x", "9999-12-31 23:59:59", "a\u{0}b", "a\"b",
        "1\u{fe}\u{ff}", "0.00", "0.000000000000000000", "0.0000000000000000000", "-0.00", "NaN", "Infinity",
    ]

    /// A column by both ways, and what they make of a value.
    private struct Both {
        let type: ColumnType
        private let quick: ColumnPlan
        private let general: ColumnPlan
        private var encoder = ValueEncoder()

        init(_ type: ColumnType, encoding: ValueEncoding = .none, isUnsigned: Bool = false) {
            self.type = type
            let column = ProjectionDefinition.Column(name: "c", type: type, encoding: encoding, isUnsigned: isUnsigned)
            self.quick = ColumnPlan(column)
            self.general = ColumnPlan(column, usesQuickPath: false)
        }

        /// Compares both ways, in the row and in the order key, and reads the canonical text again.
        mutating func compare(_ text: String, _ kind: Field.Kind, behind: [UInt8], _ comment: Comment) {
            let end = text.utf8.count
            let bytes = Array(text.utf8) + behind
            let field = Field(name: .empty, value: ByteRange(start: 0, end: end), kind: kind)
            let general = try? PlainValueTests.append(field, bytes, self.general, &self.encoder)
            let written = try? PlainValueTests.append(field, bytes, self.quick, &self.encoder)
            #expect(written?.binary == general?.binary, comment)
            #expect(written?.text == general?.text, comment)
            #expect(self.order(field, bytes, self.quick) == self.order(field, bytes, self.general), comment)
            guard let general else { return }
            let own = ColumnPlan(.init(name: "c", type: self.type, encoding: self.type == .bytea ? .hex : .none))
            // A document stands in an image as it is, every other value as a string or a token.
            let canonical = Field(
                name: .empty,
                value: ByteRange(start: 0, end: general.text.count),
                kind: self.type == .jsonb ? .json : .string
            )
            let again = try? PlainValueTests.append(canonical, general.text, own, &self.encoder)
            #expect(again?.text == general.text, comment)
            #expect(again?.binary == general.binary, comment)
        }

        private mutating func order(_ field: Field, _ bytes: [UInt8], _ column: ColumnPlan) -> [UInt8]? {
            guard let kind = self.type.sequenceKind else { return nil }
            var order = OrderKeyBuilder()
            do throws(ValueEncoder.Misfit) {
                try self.encoder.appendSequence(field, of: bytes.span, as: column, kind, zone: .utc, to: &order)
                return order.bytes.array + order.text.array
            } catch {
                return nil
            }
        }
    }

    /// What follows a value in its message must not matter.
    private static func behind(_ random: inout SplitMix64) -> [UInt8] {
        random.chance(50) ? [] : Array("0.7\",1234567890.123456789:00-00T00\u{0}".utf8)
    }

    @Test(arguments: types)
    func aPlainValueIsWhatTheGeneralPathMakesOfIt(_ type: String) throws {
        var random = SeededGenerator.forTest("plain values")
        let seed = random.seed
        var values = LimitValues(seed: seed)
        let column = ProjectionDefinition.Column(name: "c", type: try #require(ColumnType(type)))
        var both = Both(column.type)
        for round in 0..<2_000 {
            var value = values.value(for: column)
            if round < Self.edges.count {
                value.text = Self.edges[round]
            } else if round.isMultiple(of: 2) {
                value.text = Self.value(&random)
            }
            let behind = Self.behind(&values.random)
            for kind in Set([Field.Kind.string, .number, value.kind]) {
                both.compare(value.text, kind, behind: behind, "\(type) \(kind) \"\(value.text)\" seed \(seed)")
            }
        }
    }

    /// Every precision, each with scales around the limits of 64 bits, of the precision and of PostgreSQL.
    @Test func noPrecisionAndScaleTellThePathsApart() {
        let seed = SeededGenerator.forTest("plain values").seed
        var values = LimitValues(seed: seed)
        for precision in 1...1000 {
            let near = [-1, 0, 1, 2, 9, 17, 18, 19, 20, 38]
            let far = [precision - 1, precision, precision + 1, values.random.below(2001) - 1000]
            let scales = precision <= 40 ? near + far : far + [near[values.random.below(near.count)]]
            for scale in scales where (-1000...1000).contains(scale) {
                let type = ColumnType.numeric(precision: precision, scale: scale)
                #expect(ColumnType(type.sql) == type)
                var both = Both(type)
                for text in ["0.00", "-1"] {
                    both.compare(text, .number, behind: [], "\(type.sql) \(text) seed \(seed)")
                }
                for _ in 0..<4 {
                    let value = values.value(for: .init(name: "c", type: type))
                    let behind = Self.behind(&values.random)
                    both.compare(value.text, value.kind, behind: behind, "\(type.sql) \(value) seed \(seed)")
                }
            }
        }
    }

    /// Every type in every encoding, and unsigned.
    @Test func noEncodingTellsThePathsApart() {
        let seed = SeededGenerator.forTest("plain values").seed
        var values = LimitValues(seed: seed)
        for _ in 0..<20_000 {
            let type = values.type()
            let encoding = values.encoding(for: type)
            let isUnsigned = values.random.chance(20)
            let column = ProjectionDefinition.Column(name: "c", type: type, encoding: encoding, isUnsigned: isUnsigned)
            let value = values.value(for: column)
            var both = Both(type, encoding: encoding, isUnsigned: isUnsigned)
            let comment: Comment = "\(type.sql) \(encoding) unsigned \(isUnsigned) \(value) seed \(seed)"
            both.compare(value.text, value.kind, behind: Self.behind(&values.random), comment)
        }
    }

    private static func append(
        _ field: Field,
        _ bytes: [UInt8],
        _ column: ColumnPlan,
        _ encoder: inout ValueEncoder
    ) throws -> (binary: [UInt8], text: [UInt8]) {
        var binary = ByteBuffer()
        var text = ByteBuffer()
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
            guard let plain = FastPathNumber(Array(text.utf8).span) else { continue }
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
