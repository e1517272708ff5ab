import Testing
import TidemarkCore
import TidemarkDecoding

/// Every byte of a message is checked, also of members that are not read.
struct StrictJSONTests {
    private static func isMalformed(_ bytes: [UInt8]) -> Bool {
        decode(bytes).failure?.reason == .malformedJSON
    }

    @Test(
        "Valid JSON is accepted",
        arguments: [
            #"0"#, #"-0"#, #"-0.0e-0"#, #"1E+400"#, #"18446744073709551615"#, #"0.1234567890123456789012345678901"#,
            #""""#, #""é€😀""#, #""\"\\\/\b\f\n\r\t""#, #""\u00e9\u20AC\ud83D\uDE00\u0000""#, "\"\u{7F}\u{2028}\"",
            "true", "false", "null", "[]", "[ ]", "{}", "{ }", "[[],{}]", #"{"":{"":[]}}"#, "[1,2 , 3]",
            " \t\r\n1 \t\r\n", #"{"a":1,"A":2,"b":{"a":3}}"#, #"[{"a":1},{"a":1}]"#, #"{"a":"\\"}"#, #"{"a":"\\\""}"#,
        ]
    )
    func accepts(_ text: String) {
        #expect(!Self.isMalformed(Array(text.utf8)))
        // The same as a member that no format knows.
        let message = decode(#"{"table":"t","op":"insert","after":{"x":1},"more":\#(text)}"#)
        #expect(message.failure == nil)
    }

    @Test(
        "What is no JSON is refused",
        arguments: [
            "", " ", "{", "}", "[", "]", "[1", "[1,]", "[,1]", "[1 2]", "[1}", "{]", #"{"a"}"#, #"{"a":}"#,
            #"{"a":1,}"#,
            #"{,"a":1}"#, #"{a:1}"#, #"{"a" 1}"#, #"{"a":1 "b":2}"#, #"{"a":1]"#, #"{1:2}"#, #"{"a":1}}"#, "1 2", "1,",
            "nul", "nulll", "True", "tru", "truefalse", "NaN", "Infinity", "-Infinity", "undefined", "'a'",
            "01", "-", "+1", "1.", ".5", "-.5", "1e", "1e+", "1.e1", "0x10", "1_000", "--1", "1a", "1\"a\"", "00",
            "-01",
            "\"", #""\"#, #""\""#, #""\x""#, #""\u12""#, #""\u12G4""#, #""\ud800""#, #""\udc00""#, #""\ud800\u0041""#,
            #""\ud800x""#, #""\uDBFF\uDBFF""#, "\"a\nb\"", "\"a\u{0}b\"", "\"a\u{1F}b\"", "\"tab\there\"", #""a"b"#,
            #""a""b""#, #"["a"\]"#, "\u{C}1", "[1\u{C}]", "\u{1A}", "[1\u{1A}2]", "\u{FEFF}1", "\u{A0}1", "//x\n1",
            "/**/1", "\u{0}", "1\u{0}",
        ]
    )
    func refuses(_ text: String) {
        #expect(Self.isMalformed(Array(text.utf8)))
        #expect(Self.isMalformed(Array(#"{"table":"t","op":"insert","after":{"x":1},"more":\#(text)}x"#.utf8)))
    }

    @Test(
        "Invalid UTF-8 is refused, and its offset named",
        arguments: [
            [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xC3], [0xE0, 0x80, 0x80], [0xE2, 0x82], [0xED, 0xA0, 0x80],
            [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF],
        ] as [[UInt8]]
    )
    func refusesInvalidUTF8(_ bytes: [UInt8]) throws {
        for padding in [0, 61, 62, 63, 64, 127, 200] {
            let text = Array("{\"a\":\"".utf8) + [UInt8](repeating: 0x61, count: padding) + bytes + Array("\"}".utf8)
            let failure = try #require(decode(text).failure)
            #expect(failure.reason == .malformedJSON)
            #expect(failure.detail == "malformed JSON at byte \(6 + padding): invalid UTF-8")
        }
    }

    @Test(
        "A name may occur once in an object, however it is written",
        arguments: [
            #"{"a":1,"a":1}"#, #"{"id":1,"b":2,"\u0069d":3}"#, #"{"":1,"":2}"#, #"{"x":{"deep":[{"k":1,"k":null}]}}"#,
            #"{"/":1,"\/":2}"#, #"{"name_of_nineteen_ch":1,"b":2,"name_of_nineteen_ch":3}"#,
        ]
    )
    func refusesDuplicateNames(_ text: String) throws {
        let failure = try #require(decode(text).failure)
        #expect(failure.reason == .malformedJSON)
        #expect(failure.detail.contains("occurs twice"))
    }

    @Test("Objects of any size are searched for duplicate names", arguments: [2, 3, 23, 24, 25, 26, 63, 64, 65, 1000])
    func findsDuplicateNames(count: Int) {
        let members = (0..<count).map { "\"name_\($0)_\(String(repeating: "x", count: $0 % 12))\":{\"name\":\($0)}" }
        #expect(!Self.isMalformed(Array("{\(members.joined(separator: ","))}".utf8)))
        for index in Set([0, 1, count / 2, count - 1]) {
            #expect(Self.isMalformed(Array("{\(members.joined(separator: ",")),\(members[index])}".utf8)))
        }
    }

    @Test("A huge object costs no more than its size")
    func readsHugeObject() {
        let members = (0..<200_000).map { "\"\($0)\":0" }.joined(separator: ",")
        let clock = ContinuousClock()
        let elapsed = clock.measure { #expect(!Self.isMalformed(Array("{\(members)}".utf8))) }
        #expect(elapsed < .seconds(20))
    }

    @Test("Nesting ends at 256, without a stack to overflow")
    func limitsDepth() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(!Self.isMalformed(Array(nested(256).utf8)))
        let failure = try #require(decode(nested(257)).failure)
        #expect(failure == Rejection(.malformedJSON, "malformed JSON at byte 256: nested more than 256 deep"))
        #expect(Self.isMalformed([UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)))
        let objects = String(repeating: "{\"a\":", count: 300) + "1" + String(repeating: "}", count: 300)
        #expect(Self.isMalformed(Array(objects.utf8)))
    }

    @Test("Every beginning of a message is refused, and the whole is not")
    func refusesEveryBeginning() {
        for text in Samples.all {
            let bytes = Array(text.utf8)
            for count in 0..<bytes.count { #expect(Self.isMalformed(Array(bytes[..<count])), "\(count) of \(text)") }
            #expect(!Self.isMalformed(bytes))
        }
    }

    @Test("Escapes become what they stand for, wherever they are")
    func unescapes() throws {
        let text =
            #"{"table":"sh\u006fp.or\u0064ers","op":"in\u0073ert","after":{"\u00e9\n":"\u20ac\ud83d\ude00\\\"\/","b":"plain"}}"#
        let (event, message) = try event(text)
        #expect(message.text(event.table) == "shop.orders")
        #expect(message.row(event.after) == ["é\n=string:€😀\\\"/", "b=string:plain"])
    }

    @Test("A large message reads as a small one, before and after others")
    func readsAllSizes() throws {
        var decoder = MessageDecoder(settings: SourceSettings(name: "test"))
        var message = DecodedMessage()
        for size in [1, 4000, 3_000_000, 10] + [Int](repeating: 5, count: 600) + [70_000, 3_000_000] {
            let text = #"{"table":"t","op":"insert","after":{"a":"\#(String(repeating: "é", count: size))","b":"\n"}}"#
            Array(text.utf8).withUnsafeBytes { decoder.decode($0, into: &message) }
            #expect(message.failure == nil)
            let row = try #require(message.events.first?.after)
            #expect(Int(message.fields[row.lowerBound].value.count) == 2 * size)
            #expect(message.text(message.fields[row.lowerBound + 1].value) == "\n")
        }
    }
}
