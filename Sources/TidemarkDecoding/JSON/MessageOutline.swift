internal import TidemarkCore

/// A JSON message laid out for a person: a member on each line, and the value that a sentence speaks of marked.
package struct MessageOutline {
    package struct Line: Hashable, Sendable {
        package var depth: Int
        /// JSON, of any length; strings are written anew, numbers as they came.
        package var text: String
        package var isMarked: Bool
    }

    package private(set) var lines: [Line] = []
    /// The message has what was to be marked.
    package private(set) var hasMark = false
    private var marked: Int?

    /// - Parameters:
    ///   - column: of the row image to be marked; the image itself where it lacks the column.
    ///   - member: of the message to be marked, where no column is at fault.
    ///   - row: which row of a message that has several.
    /// - Returns: `nil` for what is not JSON.
    package init?(_ message: [UInt8], column: String? = nil, member: String? = nil, row: Int = 0) {
        var document = JSONDocument()
        let isJSON = message.withUnsafeBytes { text in
            (try? document.parse(WireFrame.begins(text) ? WireFrame.body(of: text) ?? text : text)) != nil
        }
        guard isJSON else { return nil }
        var bytes: [UInt8] = []
        document.replaceBytes(of: &bytes)
        let tree = MessageTree(bytes: bytes)
        if let column {
            let images = tree.images(row: row, in: document)
            let found = images.lazy.compactMap { tree.member(column, of: $0, in: document) }.first
            self.hasMark = found != nil
            self.marked = found ?? images.first
        } else if let member {
            self.marked =
                tree.envelopes(in: document).lazy.compactMap { tree.member(member, of: $0, in: document) }.first
            self.hasMark = self.marked != nil
        }
        self.append(JSONDocument.root, named: nil, depth: 0, isLast: true, tree, document)
    }

    private mutating func append(
        _ node: Int,
        named name: Int?,
        depth: Int,
        isLast: Bool,
        _ tree: MessageTree,
        _ document: borrowing JSONDocument
    ) {
        let label = name.map { tree.text($0, in: document) + ": " } ?? ""
        let comma = isLast ? "" : ","
        let isMarked = node == self.marked
        let kind = document.kind(node)
        guard kind == .object || kind == .array, !tree.isShort(node, in: document) else {
            self.lines.append(
                Line(depth: depth, text: label + tree.text(node, in: document) + comma, isMarked: isMarked)
            )
            return
        }
        if depth == 1, label == "\"schema\": ", node != self.marked {
            // Debezium's, in each message: longer than all the rest, and never at fault.
            let count = document.range(node).count
            self.lines.append(Line(depth: depth, text: "\(label){ … \(count) bytes … }\(comma)", isMarked: false))
            return
        }
        let isObject = kind == .object
        self.lines.append(Line(depth: depth, text: label + (isObject ? "{" : "["), isMarked: isMarked))
        let children = document.children(of: node)
        for child in children {
            let (value, name) = isObject ? (child + 1, child) : (child, nil)
            self.append(value, named: name, depth: depth + 1, isLast: child == children.last, tree, document)
        }
        self.lines.append(Line(depth: depth, text: (isObject ? "}" : "]") + comma, isMarked: false))
    }
}

/// Finds its way in a parsed message.
private struct MessageTree {
    let bytes: [UInt8]

    func member(_ name: String, of object: Int, in document: borrowing JSONDocument) -> Int? {
        document.kind(object) == .object ? document.member(name, of: object, self.bytes) : nil
    }

    /// The objects that say what happened: the message, its payload, its source.
    func envelopes(in document: borrowing JSONDocument) -> [Int] {
        var envelopes = [JSONDocument.root]
        if let payload = self.member("payload", of: JSONDocument.root, in: document),
            self.member("schema", of: JSONDocument.root, in: document) != nil
                || document.childCount(JSONDocument.root) == 1
        {
            envelopes.insert(payload, at: 0)
        }
        return envelopes + envelopes.compactMap { self.member("source", of: $0, in: document) }
    }

    /// The objects that hold a row's columns, in the order in which a value is at fault.
    func images(row: Int, in document: borrowing JSONDocument) -> [Int] {
        guard let envelope = self.envelopes(in: document).first else { return [] }
        var images: [Int] = []
        for name in ["after", "data", "before", "old"] {
            guard let node = self.member(name, of: envelope, in: document) else { continue }
            switch document.kind(node) {
            case .object: images.append(node)
            case .array where row < document.childCount(node):
                images.append(document.children(of: node)[row])
            default: break
            }
        }
        return images.isEmpty ? [envelope] : images
    }

    /// A list of a few numbers, or nothing, is one line.
    func isShort(_ node: Int, in document: borrowing JSONDocument) -> Bool {
        guard document.childCount(node) > 0 else { return true }
        guard document.kind(node) == .array, document.range(node).count <= 60 else { return false }
        return document.children(of: node).map { document.kind($0) }.allSatisfy { $0 != .object && $0 != .array }
    }

    func text(_ node: Int, in document: borrowing JSONDocument) -> String {
        let text = self.bytes[document.range(node).range]
        guard document.kind(node) == .string else { return String(decoding: text, as: UTF8.self) }
        return JSONOutput.string(String(decoding: text, as: UTF8.self))
    }
}
