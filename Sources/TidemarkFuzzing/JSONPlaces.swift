/// Where the values and members of a JSON text are. Reads what it can of broken text, and never fails.
struct JSONPlaces {
    /// A value, and the name before it when it is a member.
    struct Value {
        var name: Range<Int>?
        var range: Range<Int>
        /// From the name, or the value where there is none, to the end of the value.
        var whole: Range<Int> { (self.name?.lowerBound ?? self.range.lowerBound)..<self.range.upperBound }
    }

    private(set) var values: [Value] = []
    private var index = 0
    private var depth = 0
    private static let depthMax = 200

    init(of text: [UInt8]) {
        self.readValue(text, name: nil)
    }

    private mutating func skipSpace(_ text: [UInt8]) {
        while self.index < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[self.index]) { self.index += 1 }
    }

    private mutating func readValue(_ text: [UInt8], name: Range<Int>?) {
        self.skipSpace(text)
        guard self.index < text.count, self.depth < Self.depthMax else { return }
        let start = self.index
        let place = self.values.count
        self.values.append(Value(name: name, range: start..<start))
        switch text[start] {
        case UInt8(ascii: "{"): self.readList(text, closing: UInt8(ascii: "}"), hasNames: true)
        case UInt8(ascii: "["): self.readList(text, closing: UInt8(ascii: "]"), hasNames: false)
        case UInt8(ascii: "\""): self.readString(text)
        default:
            let ends: [UInt8] = [0x2C, 0x5D, 0x7D, 0x3A, 0x20, 0x0A]
            while self.index < text.count, !ends.contains(text[self.index]) { self.index += 1 }
        }
        self.values[place].range = start..<self.index
    }

    private mutating func readList(_ text: [UInt8], closing: UInt8, hasNames: Bool) {
        self.index += 1
        self.depth += 1
        defer { self.depth -= 1 }
        while true {
            self.skipSpace(text)
            guard self.index < text.count else { return }
            if text[self.index] == closing {
                self.index += 1
                return
            }
            let before = self.index
            var name: Range<Int>?
            if hasNames, text[self.index] == UInt8(ascii: "\"") {
                self.readString(text)
                name = before..<self.index
                self.skipSpace(text)
                if self.index < text.count, text[self.index] == UInt8(ascii: ":") { self.index += 1 }
            }
            self.readValue(text, name: name)
            self.skipSpace(text)
            if self.index < text.count, text[self.index] == UInt8(ascii: ",") { self.index += 1 }
            // Whatever stands here is not understood: leave it.
            if self.index == before { return }
        }
    }

    private mutating func readString(_ text: [UInt8]) {
        self.index += 1
        while self.index < text.count, text[self.index] != UInt8(ascii: "\"") {
            self.index += text[self.index] == UInt8(ascii: "\\") ? 2 : 1
        }
        self.index = min(self.index + 1, text.count)
    }
}
