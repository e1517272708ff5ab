import Testing

@testable import TidemarkCore

/// Two rows have one digest only if they have one content: what a content holds can be read back.
@Suite struct ContentMarkTests {
    @Test func whatAContentHoldsCanBeReadBack() throws {
        let texts = (0...600).map { count in (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ count) } }
        var content = ByteBuffer()
        for text in texts {
            content.appendContent(text.span)
            content.append(ContentMark.null)
        }
        var rest = content.array[...]
        for text in texts {
            let mark = try #require(rest.first)
            rest.removeFirst()
            var count = Int(mark) - Int(ContentMark.value)
            if mark == .max {
                count = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
                rest.removeFirst(4)
            }
            #expect(rest.prefix(text.count) == text[...])
            #expect(count == text.count)
            rest.removeFirst(text.count)
            #expect(rest.first == ContentMark.null)
            rest = rest.dropFirst()
        }
        #expect(rest.isEmpty)
    }
}
