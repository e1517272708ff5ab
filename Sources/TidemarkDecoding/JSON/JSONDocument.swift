internal import CSimdJSON
internal import PlatformC
internal import TidemarkCore

/// One message as a tree of JSON nodes, held in buffers that the next message uses again.
///
/// This is the only Swift code that sees the C parser's pointers. A node is its index in document order: every access
/// checks it against the document's end, and text is handed out as ranges of the bytes that ``replaceBytes(of:)`` copies.
///
/// Sendable because it is the only owner of its parser, which is bound to no thread.
struct JSONDocument: ~Copyable, @unchecked Sendable {
    /// As the C header numbers them.
    enum Kind: UInt8 {
        case object, array, string, number, `true`, `false`, null
    }

    static let root = 0
    static let depthMax = 256

    private let parser: OpaquePointer
    private var contents = tm_json_document()

    init(extraDepth: Int = 0) {
        guard let parser = tm_json_new(UInt32(Self.depthMax + extraDepth)) else { fatalError("out of memory") }
        self.parser = parser
    }

    deinit {
        tm_json_free(self.parser)
    }

    /// Reads one JSON text, all of it; what was read before is gone.
    mutating func parse(_ text: UnsafeRawBufferPointer) throws(Rejection) {
        let start = text.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let code = Int(tm_json_parse(self.parser, start, text.count, &self.contents))
        guard code == TM_JSON_OK else { throw self.rejection(code) }
    }

    private func rejection(_ code: Int) -> Rejection {
        let message = String(cString: tm_json_last_error_message(self.parser))
        switch code {
        case TM_JSON_ERROR_TOO_LARGE, TM_JSON_ERROR_MEMORY:
            return Rejection(.tooLarge, "not read: \(message)")
        case TM_JSON_ERROR_DEPTH:
            return Rejection(
                .malformedJSON,
                "malformed JSON at byte \(self.contents.error_offset): nested more than \(Self.depthMax) deep"
            )
        case TM_JSON_ERROR_DUPLICATE_NAME:
            let start = Int(self.contents.error_name_start)
            let end = start + Int(self.contents.error_name_count)
            precondition(end <= self.contents.byte_count)
            let name = Excerpt.quoted(UnsafeBufferPointer(rebasing: self.bytes[start..<end]))
            return Rejection(
                .malformedJSON,
                "malformed JSON at byte \(self.contents.error_offset): the name \(name) occurs twice in one object"
            )
        default:
            return Rejection(.malformedJSON, "malformed JSON at byte \(self.contents.error_offset): \(message)")
        }
    }

    /// The number of the text's skeleton: another text of this parser with the same number has the same nodes, names
    /// included, but for where they stand and the kinds of its scalars. `nil` while it is not known.
    var skeleton: UInt32? { self.contents.skeleton == 0 ? nil : self.contents.skeleton }

    private var bytes: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: self.contents.bytes, count: self.contents.byte_count)
    }

    /// Of the text, one space, and all strings that had an escape.
    var byteCount: Int { self.contents.byte_count }

    /// Has the text and its unescaped strings replace what is in `output`: ranges are of these bytes.
    func replaceBytes(of output: inout [UInt8]) {
        output.replaceSubrange(0..., with: self.bytes)
    }

    @inline(__always)
    private func node(_ index: Int) -> tm_json_node {
        precondition(index >= 0 && index < Int(self.contents.node_count))
        return self.contents.nodes[index]
    }

    @inline(__always)
    func kind(_ index: Int) -> Kind {
        Self.kind(of: self.node(index))
    }

    /// Of a string its unescaped content, without quotes; of anything else its text.
    @inline(__always)
    func range(_ index: Int) -> ByteRange {
        let node = self.node(index)
        return ByteRange(start: node.start, count: node.count)
    }

    /// How many elements an array has, or members an object.
    @inline(__always)
    func childCount(_ index: Int) -> Int { Int(self.node(index).children) }

    /// Of a member's name, as ``nameHash(_:)`` has it.
    @inline(__always)
    func hash(_ index: Int) -> UInt32 { self.node(index).children }

    /// The node behind this one and all that is in it: of an array's element the next, of a member's value the name of
    /// the next. The first child of `index` is `index + 1`.
    @inline(__always)
    func next(_ index: Int) -> Int { Int(self.node(index).next) }

    /// A member of an object. The first one's name is the node behind the object.
    struct Member {
        var name: ByteRange
        var value: ByteRange
        var kind: Kind
        /// The value's node.
        var node: Int
        /// The name of the next member.
        var next: Int
    }

    @inline(__always)
    func member(_ name: Int) -> Member {
        precondition(name > 0 && name + 1 < Int(self.contents.node_count))
        let (first, second) = (self.contents.nodes[name], self.contents.nodes[name + 1])
        return Member(
            name: ByteRange(start: first.start, count: first.count),
            value: ByteRange(start: second.start, count: second.count),
            kind: Self.kind(of: second),
            node: name + 1,
            next: Int(second.next)
        )
    }

    @inline(__always)
    private static func kind(of node: tm_json_node) -> Kind {
        guard let kind = Kind(rawValue: node.kind) else { preconditionFailure("an unknown kind of node") }
        return kind
    }

    /// What the parser makes of a name, to find it by.
    static func nameHash(_ name: StaticString) -> UInt32 {
        let count = name.utf8CodeUnitCount
        var padded = [UInt8](repeating: 0, count: count + Int(TM_JSON_PADDING))
        for index in 0..<count { padded[index] = name.utf8Start[index] }
        return tm_json_name_hash(padded, count)
    }

    /// Whether a name is the text of as many bytes at `text`.
    @inline(__always)
    func isName(_ range: ByteRange, _ text: UnsafePointer<UInt8>) -> Bool {
        precondition(range.range.upperBound <= self.contents.byte_count)
        return memcmp(self.contents.bytes + Int(range.start), text, Int(range.count)) == 0
    }
}

extension JSONDocument {
    /// Whether a name holds a dot, as names with a namespace do.
    func hasDot(_ index: Int) -> Bool {
        let range = self.range(index).range
        precondition(range.upperBound <= self.contents.byte_count)
        return memchr(self.contents.bytes + range.lowerBound, Int32(UInt8(ascii: ".")), range.count) != nil
    }

    /// `nil` for a value that is null or not there.
    @inline(__always)
    func present(_ index: Int?) -> Int? {
        guard let index, self.kind(index) != .null else { return nil }
        return index
    }

    @inline(__always)
    func object(_ index: Int?) -> Int? {
        guard let index, self.kind(index) == .object else { return nil }
        return index
    }

    @inline(__always)
    func string(_ index: Int?) -> ByteRange? {
        guard let index, self.kind(index) == .string else { return nil }
        return self.range(index)
    }

    /// A whole number, or a string that is one.
    func integer(_ index: Int?, of bytes: [UInt8]) -> Int64? {
        guard let text = self.numeral(index) else { return nil }
        return bytes.integer(in: text)
    }

    /// A whole number of 64 bits without a sign, or a string that is one.
    func unsigned(_ index: Int?, of bytes: [UInt8]) -> UInt64? {
        guard let text = self.numeral(index) else { return nil }
        return bytes.unsigned(in: text)
    }

    private func numeral(_ index: Int?) -> ByteRange? {
        guard let index = self.unwrapped(index) else { return nil }
        switch self.kind(index) {
        case .number, .string: return self.range(index)
        default: return nil
        }
    }

    /// The elements of an array, or the names of an object's members.
    func children(of parent: Int) -> [Int] {
        let isObject = self.kind(parent) == .object
        var child = parent + 1
        return (0..<self.childCount(parent)).map { _ in
            defer { child = self.next(isObject ? child + 1 : child) }
            return child
        }
    }

    /// The value of the first member of that name.
    func member(_ name: String, of object: Int, _ bytes: [UInt8]) -> Int? {
        let found = self.children(of: object).first { bytes[self.range($0).range].elementsEqual(name.utf8) }
        return found.map { $0 + 1 }
    }

    /// A value for an error message: short, on one line.
    func excerpt(_ index: Int, of bytes: [UInt8]) -> String {
        let text = bytes[self.range(index).range]
        return self.kind(index) == .string ? Excerpt.quoted(text) : Excerpt.bare(text)
    }
}
