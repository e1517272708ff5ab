import Testing
import TidemarkTesting

@testable import TidemarkCore

private func decoded(_ text: String, _ encoding: ValueEncoding) -> [UInt8]? {
    BinaryText.decode(Array(text.utf8).span, as: encoding)
}

private func variableScale(_ json: String) -> (scale: Int, unscaled: [UInt8])? {
    VariableScaleDecimal.parse(Array(json.utf8).span)
}

private func base64(_ bytes: [UInt8]) -> String {
    var output: [UInt8] = []
    BinaryText.appendBase64(bytes, to: &output)
    return String(decoding: output, as: UTF8.self)
}

@Suite struct BinaryTextTests {
    /// The test vectors of RFC 4648, section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func `base64 is RFC 4648's, with or without its padding`(_ text: String, _ encoded: String) {
        let bytes = Array(text.utf8)
        #expect(base64(bytes) == encoded)
        #expect(decoded(encoded, .base64) == bytes)
        #expect(decoded(encoded.filter { $0 != "=" }, .base64) == bytes)
    }

    @Test(arguments: [
        // One digit too many, padding inside or too much of it, another alphabet, white space.
        "Zm9vY", "Z", "Zg=a", "=", "==", "Zg=", "Zg===", "Zm9v=", "Zm9v==", "Zm9vYmE==", "Zm9v====", "Zm9-", "Zm9_",
        "Zm 9v", "Zm9v\n", "Zm9é",
        // Bits behind the last byte: another text for the same bytes.
        "Zh==", "Zm9=", "Zh", "/x==",
    ])
    func `what is no base64, or not the one for its bytes, is refused`(_ text: String) {
        #expect(decoded(text, .base64) == nil)
    }

    @Test func `the alphabet of URLs has two digits of its own`() {
        let bytes: [UInt8] = [0xFB, 0xEF, 0xBE, 0xFF, 0xFF]
        #expect(base64(bytes) == "++++//8=")
        #expect(decoded("----__8", .base64URL) == bytes && decoded("----__8=", .base64URL) == bytes)
        #expect(decoded("++++//8=", .base64URL) == nil && decoded("----__8=", .base64) == nil)
    }

    @Test(
        arguments: [
            ("", []), ("00fF", [0, 0xFF]), (#"\xDEADbeef"#, [0xDE, 0xAD, 0xBE, 0xEF]), (#"\x"#, []), ("0", nil),
            (#"\x0"#, nil),
            ("0g", nil), ("0x00", nil), (#"\X00"#, nil), (" 00", nil),
        ] as [(String, [UInt8]?)]
    )
    func `hex is pairs of digits, with PostgreSQL's prefix or without it`(_ text: String, _ expected: [UInt8]?) {
        #expect(decoded(text, .hex) == expected)
    }

    @Test func `a character is a byte, or none`() {
        #expect(decoded("a\u{0}\u{7F}\u{80}ÿ", .latin1) == [0x61, 0, 0x7F, 0x80, 0xFF])
        #expect(decoded("aĀ", .latin1) == nil && decoded("€", .latin1) == nil)
        #expect(decoded("aĀ€", .utf8) == Array("aĀ€".utf8))
    }

    @Test func `bytes of any number come back from each of their texts`() {
        var random = SeededGenerator.forTest("binary text")
        for count in 0..<300 {
            let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
            let encoded = base64(bytes)
            #expect(encoded.utf8.count == (count + 2) / 3 * 4, "seed \(random.seed)")
            #expect(decoded(encoded, .base64) == bytes, "seed \(random.seed)")
            let url = encoded.replacing(byte: "+", with: "-").replacing(byte: "/", with: "_").replacing(
                byte: "=",
                with: ""
            )
            #expect(decoded(url, .base64URL) == bytes, "seed \(random.seed)")
            var hex: [UInt8] = []
            BinaryText.appendHex(bytes, to: &hex)
            #expect(decoded(String(decoding: hex, as: UTF8.self), .hex) == bytes, "seed \(random.seed)")
            let characters = String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
            #expect(decoded(characters, .latin1) == bytes, "seed \(random.seed)")
        }
    }

    /// Debezium's form of a `numeric` without a scale.
    @Test(
        arguments: [
            (#"{"scale":3,"value":"Bdw="}"#, 3, [0x05, 0xDC]), (#"{ "value" : "AA==", "scale" : 0 }"#, 0, [0]),
            (#"{"scale":-2,"value":"/w=="}"#, -2, [0xFF]), (#"{"scale":0,"value":""}"#, 0, []),
        ] as [(String, Int, [UInt8])]
    )
    func `a decimal carries its scale`(_ json: String, _ scale: Int, _ unscaled: [UInt8]) throws {
        let reading = try #require(variableScale(json))
        #expect(reading.scale == scale && reading.unscaled == unscaled)
    }

    @Test(arguments: [
        #"{"scale":3}"#, #"{"value":"AA=="}"#, #"{"scale":1.5,"value":"AA=="}"#, #"{"scale":"3","value":"AA=="}"#,
        #"{"scale":3,"value":7}"#, #"{"scale":3,"value":"A"}"#, #"[3,"AA=="]"#, #"{"scale":3,"value":"AA==""#, "",
        #"{"a":1,"scale":3,"value":"AA=="}"#, #"{"scale":3,"value":"AA==","z":"x","valuf":"AA=="}"#,
    ])
    func `any other object is no decimal`(_ json: String) {
        #expect(variableScale(json) == nil)
    }
}
