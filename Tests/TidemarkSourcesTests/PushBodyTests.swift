import Testing

@testable import TidemarkSources

/// Bodies of requests that end too early, behind what was handed on.
struct PushBodyTests {
    /// Elements of an array, more than a block of them.
    private static let elements = (0..<4000).map { #"{"id":\#($0),"filler":"\#(String(repeating: "x", count: 80))"}"# }

    private func texts(of body: String) throws -> (handedOn: Bool, texts: [String]) {
        var push = PushBody(messageBytesMax: 1 << 20)
        var texts: [String] = []
        func note(_ pushed: PushedMessages?) {
            for message in pushed?.messages ?? [] {
                texts.append(String(decoding: pushed?.bytes[message.range] ?? [], as: UTF8.self))
            }
        }
        for part in Array(body.utf8).chunked(10_000) { note(try push.take(part)) }
        let isHandedOn = push.isHandedOn
        note(try push.end())
        return (isHandedOn, texts)
    }

    /// Whole elements are events, whatever is missing behind them; that something is missing is a message that will be a
    /// dead letter.
    @Test(arguments: ["", ",", ",\n", ",{\"id\":40", ",{\"id\":40,\"filler\":\"x"])
    func anArrayThatIsCutBehindItsFirstBlockIsToldOnce(_ rest: String) throws {
        let (isHandedOn, texts) = try self.texts(of: "[" + Self.elements.joined(separator: ",\n") + rest)
        #expect(isHandedOn)
        #expect(Array(texts.dropLast()) == Self.elements)
        #expect(texts.last?.hasSuffix("the body is cut short: its last bracket is missing") == true)
    }

    @Test func aWholeArrayIsItsElements() throws {
        let (isHandedOn, texts) = try self.texts(of: "[" + Self.elements.joined(separator: ",\n") + "]\n")
        #expect(isHandedOn && texts == Self.elements)
    }

    @Test func anArrayThatIsCutWithinItsFirstBlockIsRefused() throws {
        #expect(throws: PushBodyError.self) { try self.texts(of: "[" + Self.elements[0]) }
    }
}

extension Array {
    fileprivate func chunked(_ count: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: self.count, by: count).map { self[$0..<Swift.min($0 + count, self.count)] }
    }
}
