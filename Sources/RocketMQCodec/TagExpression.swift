/// Which messages are asked for by their tags: `a || b`, or `*` for all.
package struct TagExpression: Sendable, Equatable {
    /// As it is sent to brokers.
    package let text: String
    /// Empty for all.
    package let tags: [String]

    /// - Returns: `nil` for a text that names no tag.
    package init?(_ text: String) {
        let parts = Self.parts(of: text)
        if text.isEmpty || text == "*" {
            (self.text, self.tags) = ("*", [])
            return
        }
        guard !parts.isEmpty else { return nil }
        (self.text, self.tags) = (text, parts)
    }

    private static func parts(of text: String) -> [String] {
        var parts: [String] = []
        var rest = text[...]
        while true {
            let separator = rest.firstRange(of: "||")
            let part = rest[..<(separator?.lowerBound ?? rest.endIndex)]
            let trimmed = part.drop { $0.isWhitespace }
            let end = trimmed.lastIndex { !$0.isWhitespace }.map { trimmed.index(after: $0) } ?? trimmed.startIndex
            if trimmed.startIndex < end { parts.append(String(trimmed[..<end])) }
            guard let separator else { return parts }
            rest = rest[separator.upperBound...]
        }
    }

    package var isAll: Bool { self.tags.isEmpty }

    /// Whether a message with this tag is asked for. The broker compares hashes alone, so what it sends is compared again.
    package func takes(_ tag: UnsafeRawBufferPointer?) -> Bool {
        guard !self.isAll else { return true }
        guard let tag else { return false }
        return self.tags.contains { $0.utf8.elementsEqual(tag) }
    }

    /// Java's `String.hashCode`, which brokers compare tags by: over UTF-16, with overflow.
    package static func hash(_ text: String) -> Int32 {
        text.utf16.reduce(0 as Int32) { $0 &* 31 &+ Int32($1) }
    }
}
