import Testing

@testable import TidemarkCore

/// Two rows have one digest only if they have one content: what a content holds can be read back.
@Suite struct ContentTagTests {
    @Test func whatAContentHoldsCanBeReadBack() throws {
        let texts = (0...600).map { count in (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ count) } }
        var content = ByteBuffer()
        for text in texts {
            content.appendContent(text.span)
            content.append(ContentTag.null)
        }
        var rest = content.array[...]
        for text in texts {
            let tag = try #require(rest.first)
            rest.removeFirst()
            var count = Int(tag) - Int(ContentTag.value)
            if tag == .max {
                count = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
                rest.removeFirst(4)
            }
            #expect(rest.prefix(text.count) == text[...])
            #expect(count == text.count)
            rest.removeFirst(text.count)
            #expect(rest.first == ContentTag.null)
            rest = rest.dropFirst()
        }
        #expect(rest.isEmpty)
    }
}
