import Testing
import TidemarkCore
import TidemarkDecoding
import TidemarkTesting

struct HostileInputTests {
    private static let seed = UInt64.random(in: 0...UInt64.max)
    private static let tokens = [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "true", "-", "0", "18446744073709551616", "1e999", "\"d\"",
        "\"op\":", "\"__table\":\"t\",", "\\u0000", "\\ud800", "\u{7F}", "é", "{}", "[]", "\"file\":\"b.1\",",
        "-9223372036854775808",
    ].map { Array($0.utf8) }

    private static func mutate(_ bytes: inout [UInt8], with generator: inout SeededGenerator) {
        for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: bytes[at] = UInt8.random(in: 0...255, using: &generator)
            case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 2: bytes.remove(at: at)
            case 3: bytes.insert(contentsOf: Self.tokens.randomElement(using: &generator)!, at: at)
            case 4:
                let end = Int.random(in: at...min(bytes.count, at + 40), using: &generator)
                bytes.removeSubrange(at..<end)
            default:
                let end = Int.random(in: at...min(bytes.count, at + 60), using: &generator)
                bytes.insert(
                    contentsOf: Array(bytes[at..<end]),
                    at: Int.random(in: 0...bytes.count, using: &generator)
                )
            }
        }
    }

    /// Puts other values behind names, so that more of what is wrong is still JSON.
    private static func exchangeValue(_ bytes: inout [UInt8], with generator: inout SeededGenerator) {
        let colons = bytes.indices.filter { bytes[$0] == UInt8(ascii: ":") }
        guard let colon = colons.randomElement(using: &generator) else { return }
        var end = colon + 1
        while end < bytes.count, ![UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]")].contains(bytes[end]) {
            end += 1
        }
        let values = [
            "null", "[]", "{}", "{\"long\":1}", "[[{}]]", "\"\"", "\"x\"", "true", "-1", "18446744073709551615",
            "99999999999999999999999", "1e400", "9223372036854775807", "\"9223372036854775807\"", "\".\"", "\":\"",
        ]
        bytes.replaceSubrange((colon + 1)..<end, with: Array(values.randomElement(using: &generator)!.utf8))
    }

    @Test("No mutation of a message crashes the decoder, and each is decided")
    func survivesMutations() {
        print("HostileInputTests: seed \(Self.seed)")
        var generator = SeededGenerator(seed: Self.seed)
        for format in SourceSettings.Format.allCases {
            var decoder = MessageDecoder(
                settings: settings(format, gtidOrder: format == .auto ? [] : ["3e11fa47-71ca-11e1-9e33-c80aa9429562"])
            )
            var message = DecodedMessage()
            for round in 0..<6000 {
                var bytes = Array(Samples.all.randomElement(using: &generator)!.utf8)
                if round.isMultiple(of: 2) {
                    Self.mutate(&bytes, with: &generator)
                } else {
                    for _ in 0..<Int.random(in: 1...3, using: &generator) {
                        Self.exchangeValue(&bytes, with: &generator)
                    }
                }
                bytes.withUnsafeBytes { decoder.decode($0, into: &message) }
                message.expectConsistent()
            }
        }
    }

    @Test("What a message decodes to does not depend on the messages before it")
    func forgetsEarlierMessages() {
        var generator = SeededGenerator(seed: Self.seed)
        var decoder = MessageDecoder(settings: settings())
        var message = DecodedMessage()
        for _ in 0..<1500 {
            var bytes = Array(Samples.all.randomElement(using: &generator)!.utf8)
            if Bool.random(using: &generator) { Self.exchangeValue(&bytes, with: &generator) }
            bytes.withUnsafeBytes { decoder.decode($0, into: &message) }
            let fresh = decode(bytes)
            #expect(message.failure == fresh.failure)
            #expect(message.isControl == fresh.isControl)
            #expect(message.bytes == fresh.bytes)
            #expect(message.fields.map(message.describe) == fresh.fields.map(fresh.describe))
            #expect(message.events.map(\.position) == fresh.events.map(\.position))
        }
    }

    @Test("A long name or value is cut in the sentence about it, between characters")
    func cutsExcerpts() throws {
        let failure = try #require(decode("{\"table\":\"t\",\"op\":\"\(String(repeating: "é", count: 500))\"}").failure)
        #expect(failure.detail.hasPrefix("\"op\" is \"\(String(repeating: "é", count: 40))…\", expected"))
    }
}
