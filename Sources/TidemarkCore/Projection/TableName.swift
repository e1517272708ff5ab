/// A table's name in parts: `database`, `schema` and the table's own, of which the last is always there.
///
/// Its text is the parts with dots between them. A part is in double quotes, a quote in it doubled, where it holds a
/// dot, a quote, `*` or `?`, is empty, or begins or ends with a space: `shop."order.lines"`. So the texts of two tables
/// never are the same, and each can be copied into `from`.
package struct TableName: Sendable {
    package static let partsMax = 3

    package let parts: [String]

    /// Reads a text; `nil` for one that names no table.
    package init?(_ text: String) {
        guard let parts = try? TableText.parts(of: text) else { return nil }
        self.parts = parts.map(\.text)
    }

    /// The one text of these parts.
    package var text: String {
        var text: [UInt8] = []
        for (index, part) in self.parts.enumerated() {
            Self.append(Array(part.utf8)[...], to: &text, isFirst: index == 0)
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Appends one part of a name to its text, behind a dot where it is not the first.
    package static func append(_ part: ArraySlice<UInt8>, to text: inout [UInt8], isFirst: Bool) {
        if !isFirst { text.append(UInt8(ascii: ".")) }
        guard part.withUnsafeBytes({ Self.needsQuotes($0) }) else {
            text += part
            return
        }
        text.append(UInt8(ascii: "\""))
        for byte in part {
            if byte == UInt8(ascii: "\"") { text.append(byte) }
            text.append(byte)
        }
        text.append(UInt8(ascii: "\""))
    }

    /// Whether a part of a name stands in quotes.
    @inline(__always)
    package static func needsQuotes(_ part: UnsafeRawBufferPointer) -> Bool {
        // Letters and underscores share a bit that no byte with a meaning has, so most names need no closer look. Four
        // bytes at a time, the last four once more.
        var shared: UInt32 = part.isEmpty ? 0 : .max
        if part.count >= 4 {
            var index = 0
            while index + 4 < part.count {
                shared &= part.loadUnaligned(fromByteOffset: index, as: UInt32.self)
                index += 4
            }
            shared &= part.loadUnaligned(fromByteOffset: part.count - 4, as: UInt32.self)
        } else {
            for byte in part { shared &= UInt32(byte) &* 0x0101_0101 }
        }
        if shared & 0x4040_4040 == 0x4040_4040 { return false }
        guard let first = part.first, let last = part.last else { return true }
        let space = UInt8(ascii: " ")
        return first == space || last == space || part.hasTableSyntax
    }
}

/// Which tables a projection takes: a name in which parts without quotes may hold `*`, any text, and `?`, any character.
package struct TablePattern: Sendable, Hashable {
    private let parts: [GlobPattern]
    /// A part without quotes begins or ends with white space.
    package let hasBareEdgeSpace: Bool

    package init(_ text: String) throws(TableTextError) {
        let parts = try TableText.parts(of: text)
        self.hasBareEdgeSpace = parts.contains { part in
            let scalars = part.text.unicodeScalars
            let edges = [scalars.first, scalars.last]
            return !part.isQuoted && edges.contains { $0?.properties.isWhitespace ?? false }
        }
        self.parts = parts.map { $0.isQuoted ? GlobPattern(literal: $0.text) : GlobPattern($0.text, .plain) }
    }

    package var partCount: Int { self.parts.count }

    /// Compares parts from the last one on. A part that either of them lacks takes no part: `shop.orders` is the table
    /// of that schema in every database, and a table that its message does not qualify is compared by its own name.
    package func matches(_ table: TableName) -> Bool {
        zip(self.parts.reversed(), table.parts.reversed()).allSatisfy { $0.matches($1) }
    }
}

/// Why a text names no table, as the end of a sentence whose subject is the text.
package enum TableTextError: Error, Sendable, Hashable, CaseIterable {
    case emptyPart, quoteInside, unclosed, behindQuote, tooManyParts

    package var why: String {
        switch self {
        case .emptyPart: "a part of the name is empty"
        case .quoteInside:
            "a name that holds a double quote stands in double quotes, with the quote doubled: shop.\"a\"\"b\""
        case .unclosed: "a double quote is not closed"
        case .behindQuote: "a dot or the end has to follow a closing double quote"
        case .tooManyParts:
            "it has more than \(TableName.partsMax) parts; a name that holds a dot stands in double quotes: shop.\"a.b\""
        }
    }
}

/// The grammar that names and patterns share.
private enum TableText {
    struct Part {
        var text: String
        var isQuoted: Bool
    }

    static func parts(of text: String) throws(TableTextError) -> [Part] {
        var rest = text.unicodeScalars[...]
        var parts: [Part] = []
        while true {
            parts.append(rest.first == "\"" ? try Self.quoted(&rest) : try Self.bare(&rest))
            guard !rest.isEmpty else { break }
            guard rest.removeFirst() == "." else { throw .behindQuote }
        }
        guard parts.count <= TableName.partsMax else { throw .tooManyParts }
        return parts
    }

    private static func bare(_ rest: inout Substring.UnicodeScalarView) throws(TableTextError) -> Part {
        let end = rest.firstIndex(of: ".") ?? rest.endIndex
        let part = rest[..<end]
        guard !part.isEmpty else { throw .emptyPart }
        guard !part.contains("\"") else { throw .quoteInside }
        rest = rest[end...]
        return Part(text: String(part), isQuoted: false)
    }

    private static func quoted(_ rest: inout Substring.UnicodeScalarView) throws(TableTextError) -> Part {
        rest.removeFirst()
        var text = ""
        while let scalar = rest.popFirst() {
            if scalar == "\"" {
                guard rest.first == "\"" else { return Part(text: text, isQuoted: true) }
                rest.removeFirst()
            }
            text.unicodeScalars.append(scalar)
        }
        throw .unclosed
    }
}
