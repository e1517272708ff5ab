import Testing
import TidemarkTesting

@testable import TidemarkCore

private func canonical(_ text: String) throws(JSONText.Failure) -> String {
    var output: [UInt8] = []
    try JSONText.appendCanonical(Array(text.utf8).span, to: &output)
    return String(decoding: output, as: UTF8.self)
}

@Suite struct JSONTextTests {
    @Test(arguments: [
        (" \t\r\n{ \"a\" : [ 1 , true , null ] } ", #"{"a":[1,true,null]}"#), ("[]", "[]"), ("{ }", "{}"),
        ("[ ]", "[]"),
        (#""a b""#, #""a b""#), ("false", "false"), ("0", "0"), (#"{"a":{"b":{"c":[]}}}"#, #"{"a":{"b":{"c":[]}}}"#),
        // Members as jsonb orders them: by length, then by bytes.
        (#"{"b":1,"aa":2,"a":3,"":4,"B":5}"#, #"{"":4,"B":5,"a":3,"b":1,"aa":2}"#),
        (#"{"é":1,"zz":2,"z":3}"#, #"{"z":3,"zz":2,"é":1}"#),
        (#"[{"b":1,"a":2},{"d":{"y":1,"x":2}}]"#, #"[{"a":2,"b":1},{"d":{"x":2,"y":1}}]"#),
    ])
    func `equal values are equal bytes`(_ text: String, _ expected: String) throws {
        #expect(try canonical(text) == expected)
        #expect(try canonical(expected) == expected, "what is canonical stays")
    }

    @Test(arguments: [
        (#"{"a":1,"a":2}"#, #"{"a":2}"#), (#"{"a":1,"b":2,"a":{"a":3,"a":4}}"#, #"{"a":{"a":4},"b":2}"#),
        (#"{"\u0061":1,"a":2}"#, #"{"a":2}"#), (#"{"a":2,"\u0061":1}"#, #"{"a":1}"#),
        (#"{"a":1,"a":1,"a":null}"#, #"{"a":null}"#),
    ])
    func `of members with one name the last stays, as in jsonb`(_ text: String, _ expected: String) throws {
        #expect(try canonical(text) == expected)
    }

    @Test(arguments: [
        ("1.50", "1.50"), ("1e2", "100"), ("1E+2", "100"), ("-0", "0"), ("-0.0", "0.0"), ("1.5e-3", "0.0015"),
        ("12345678901234567890.123456789", "12345678901234567890.123456789"), ("1e-2", "0.01"), ("0e5", "0"),
    ])
    func `a number keeps its digits, in plain notation`(_ text: String, _ expected: String) throws {
        #expect(try canonical(text) == expected)
        #expect(try canonical("[\(text),{\"a\":\(text)}]") == "[\(expected),{\"a\":\(expected)}]")
    }

    // MARK: Strings

    @Test(arguments: [
        (#""\u0041\u00e9\u20AC""#, "\"Aé€\""), (#""\ud83d\ude00""#, "\"😀\""),
        (#""\uD800\uDC00\uDBFF\uDFFF""#, "\"\u{10000}\u{10FFFF}\""),
        (#""\/""#, "\"/\""), (#""\"\\\b\f\n\r\t""#, #""\"\\\b\f\n\r\t""#), (#""\u000a\u0022\u005C""#, #""\n\"\\""#),
        (#""\u001f\u0001""#, #""\u001f\u0001""#), ("\"\u{7F}é😀\"", "\"\u{7F}é😀\""), (#""\uFFFF""#, "\"\u{FFFF}\""),
    ])
    func `only what JSON demands is escaped`(_ text: String, _ expected: String) throws {
        #expect(try canonical(text) == expected)
        #expect(try canonical("{\(text):\(text)}") == "{\(expected):\(expected)}")
    }

    @Test(arguments: [
        #""\ud83d""#, #""\ud83dx""#, #""\ud83d\n""#, #""\ud83d\u0041""#, #""\ud83d\ud83d""#, #""\ude00""#,
        #""\udc00\ud800""#,
        #""\ud83d\"#, #""\ud83d\u""#,
    ])
    func `half of a surrogate pair is no character`(_ text: String) {
        #expect(throws: JSONText.Failure.malformed) { try canonical(text) }
    }

    @Test(arguments: [#""\u0000""#, #"["a",{"b":"x\u0000y"}]"#, #"{"\u0000":1}"#])
    func `U+0000 is refused by its own name`(_ text: String) {
        #expect(throws: JSONText.Failure.nulCharacter) { try canonical(text) }
    }

    // MARK: What is no JSON

    @Test(arguments: [
        "", " ", "{", "[", "[1", "[1,", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{1:1}",
        "{\"a\" 1}",
        "[1 2]", "tru", "True", "nul", "nullx", "1 2", "{}{}", "'a'", "\"a", "\"\t\"", "\"\n\"", #""\x""#, #""\u12""#,
        #""\u12g4""#,
        "01", "-", "+1", "1.", ".5", "1e", "1e+", "--1", "1.2.3", "NaN", "Infinity", "0x1", "1_0", "]", "}", "//",
        "\u{FEFF}1",
    ])
    func `what is no JSON is malformed`(_ text: String) {
        #expect(throws: JSONText.Failure.malformed) { try canonical(text) }
    }

    @Test func `nesting ends at 256`() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + "1" + String(repeating: "]", count: depth)
        }
        #expect(try canonical(nested(256)) == nested(256))
        #expect(throws: JSONText.Failure.tooDeep) { try canonical(nested(257)) }
        #expect(throws: JSONText.Failure.tooDeep) { try canonical(String(repeating: "{\"a\":", count: 300)) }
        #expect(
            try canonical("[" + nested(255) + "," + nested(255) + "]") == "[" + nested(255) + "," + nested(255) + "]"
        )
    }

    @Test func `a number that PostgreSQL cannot hold is refused by its own name`() throws {
        #expect(throws: JSONText.Failure.numberOutOfRange) { try canonical("1e131072") }
        #expect(throws: JSONText.Failure.numberOutOfRange) { try canonical("[1e-16384]") }
        // A double is written out; what would become thousands of times as long is refused.
        #expect(try canonical("1e308").utf8.count == 309)
        #expect(try canonical("[\(Array(repeating: "5e-324", count: 100).joined(separator: ","))]").utf8.count > 32_000)
        #expect(throws: JSONText.Failure.numberOutOfRange) { try canonical("1e131071") }
        #expect(throws: JSONText.Failure.numberOutOfRange) { try canonical("1e-16383") }
        #expect(throws: JSONText.Failure.numberOutOfRange) {
            try canonical("[\(Array(repeating: "1e1500", count: 1000).joined(separator: ","))]")
        }
    }

    /// A random value, with members in a random order, white space and escapes at will; and its canonical text.
    private static func value(_ random: inout SeededGenerator, depth: Int) -> (text: String, canonical: String) {
        func space() -> String { random.chance(30) ? random.pick([" ", "\n", "\t", "  "]) : "" }
        switch Int.random(in: 0..<(depth > 3 ? 4 : 6), using: &random) {
        case 0: return (random.pick(["true", "false", "null"]).withBoth)
        case 1: return ("\(Int.random(in: -1000...1000, using: &random))".withBoth)
        case 2, 3:
            let characters = (0..<Int.random(in: 0...5, using: &random)).map { _ in
                random.pick(["a", "é", "😀", "\\n", "\\\""])
            }
            let text = characters.map { character in
                guard character.utf8.first != UInt8(ascii: "\\"), random.chance(40) else { return character }
                return character.utf16.map { "\\u" + String("000" + String($0, radix: 16)).suffix(4) }.joined()
            }
            return ("\"\(text.joined())\"", "\"\(characters.joined())\"")
        case 4:
            let elements = (0..<Int.random(in: 0...3, using: &random)).map { _ in Self.value(&random, depth: depth + 1)
            }
            let text = elements.map { space() + $0.text + space() }.joined(separator: ",")
            return ("[\(text)]", "[\(elements.map(\.canonical).joined(separator: ","))]")
        default:
            let names = ["a", "b", "c", "aa", "ab", "abc"].filter { _ in random.chance(40) }
            let members = names.map { (name: $0, value: Self.value(&random, depth: depth + 1)) }
            let text = members.shuffled(using: &random).map { member in
                "\(space())\"\(member.name)\"\(space()):\(space())\(member.value.text)\(space())"
            }
            let ordered = members.map { "\"\($0.name)\":\($0.value.canonical)" }
            return ("{\(text.joined(separator: ","))}", "{\(ordered.joined(separator: ","))}")
        }
    }

    @Test func `however a value is written, its canonical text is one`() throws {
        let generator = SeededGenerator.forTest("canonical JSON")
        for number in 0..<1000 {
            var random = generator.fork(number)
            let value = Self.value(&random, depth: 0)
            #expect(try canonical(value.text) == value.canonical, "seed \(generator.seed), value \(number)")
        }
    }

    // MARK: Members and images

    @Test func `a member of an object is found by its whole name`() {
        let object = Array(#"{"a":1,"b":{"a":[2,"}"],"c":"x\",\"d\":1"},"aa":null,"q\"":"\\"}"#.utf8)
        func member(_ name: String) -> String? {
            JSONText.member(Array(name.utf8), ofCanonical: object[...]).map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(member("a") == "1" && member("aa") == "null" && member("q\"") == #""\\""#)
        #expect(member("b") == #"{"a":[2,"}"],"c":"x\",\"d\":1"}"#)
        #expect(member("c") == nil && member("d") == nil && member("") == nil)
        #expect(JSONText.member([0x61], ofCanonical: Array("{}".utf8)[...]) == nil)
    }

    /// `{"$json":null}` is the JSON value null, told from a column that is null.
    @Test(arguments: [
        ("null", #"{"$json":null}"#), ("1", "1"), (#"{"a":null}"#, #"{"a":null}"#),
        (#"{"$json":null}"#, #"{"$json":{"$json":null}}"#), (#"{"$json":1,"a":2}"#, #"{"$json":{"$json":1,"a":2}}"#),
        (#""null""#, #""null""#), ("[null]", "[null]"),
    ])
    func `JSON null in an image is told from a column that is null`(_ json: String, _ image: String) {
        let bytes = Array("xx\(image)".utf8)
        let range = JSONNull.unwrapped(2..<bytes.count, of: bytes) ?? 2..<bytes.count
        #expect(String(decoding: bytes[range], as: UTF8.self) == json)
    }
}

extension String {
    fileprivate var withBoth: (text: String, canonical: String) { (self, self) }
}
