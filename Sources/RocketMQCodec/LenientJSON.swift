/// JSON as name servers and brokers write it: names may be bare numbers (`{0:"127.0.0.1:10911"}`), which no JSON reader
/// takes. A number keeps its digits.
package enum LenientJSON: Sendable, Equatable {
    package struct Member: Sendable, Equatable {
        package var name: String
        package var value: LenientJSON
    }

    case object([Member])
    case array([LenientJSON])
    case string(String)
    case number(String)
    case boolean(Bool)
    case null

    /// - Throws: ``RocketMQDataError`` for what is no such JSON, or has something behind it.
    package init(_ bytes: UnsafeRawBufferPointer) throws(RocketMQDataError) {
        var parser = LenientParser(bytes)
        self = try parser.document()
    }

    package init(_ bytes: some Collection<UInt8>) throws(RocketMQDataError) {
        let bytes = Array(bytes)
        // A closure with a typed error is not inferred.
        let result = bytes.withUnsafeBytes { buffer -> Result<LenientJSON, RocketMQDataError> in
            do throws(RocketMQDataError) { return .success(try LenientJSON(buffer)) } catch { return .failure(error) }
        }
        self = try result.get()
    }

    package subscript(name: String) -> LenientJSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    package var members: [Member] { if case .object(let members) = self { members } else { [] } }
    package var items: [LenientJSON] { if case .array(let items) = self { items } else { [] } }

    /// Of a string, a number or a boolean; fields of a header are any of them.
    package var text: String? {
        switch self {
        case .string(let text), .number(let text): text
        case .boolean(let value): value ? "true" : "false"
        case .object, .array, .null: nil
        }
    }

    package var integer: Int64? { self.text.flatMap { Int64($0) } }
}

private struct LenientParser {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    private static let depthMost = 32

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func document() throws(RocketMQDataError) -> LenientJSON {
        let value = try self.value(depth: 0)
        self.skipBlanks()
        guard self.position == self.bytes.count else { throw self.error("has something behind its end") }
        return value
    }

    private func error(_ what: String) -> RocketMQDataError {
        RocketMQDataError("JSON \(what) (at byte \(self.position))")
    }

    private var next: UInt8? { self.position < self.bytes.count ? self.bytes[self.position] : nil }

    private mutating func skipBlanks() {
        while let byte = self.next, byte == 0x20 || (0x09...0x0D).contains(byte) { self.position += 1 }
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
        self.skipBlanks()
        guard self.next == byte else { return false }
        self.position += 1
        return true
    }

    private mutating func value(depth: Int) throws(RocketMQDataError) -> LenientJSON {
        guard depth < Self.depthMost else { throw self.error("is deeper than \(Self.depthMost)") }
        self.skipBlanks()
        switch self.next {
        case UInt8(ascii: "{"): return try self.object(depth)
        case UInt8(ascii: "["): return try self.array(depth)
        case UInt8(ascii: "\""): return .string(try self.string())
        case nil: throw self.error("ends too early")
        default: break
        }
        switch try self.word() {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        case "null": return .null
        case let word:
            guard let first = word.utf8.first, first == UInt8(ascii: "-") || (0x30...0x39).contains(first) else {
                throw self.error("has the word \(word.prefix(20))")
            }
            return .number(word)
        }
    }

    private mutating func object(_ depth: Int) throws(RocketMQDataError) -> LenientJSON {
        self.position += 1
        var members: [LenientJSON.Member] = []
        if self.skip(UInt8(ascii: "}")) { return .object(members) }
        while true {
            self.skipBlanks()
            let name = self.next == UInt8(ascii: "\"") ? try self.string() : try self.word()
            guard self.skip(UInt8(ascii: ":")) else { throw self.error("lacks a colon") }
            members.append(.init(name: name, value: try self.value(depth: depth + 1)))
            if self.skip(UInt8(ascii: "}")) { return .object(members) }
            guard self.skip(UInt8(ascii: ",")) else { throw self.error("has an object without an end") }
        }
    }

    private mutating func array(_ depth: Int) throws(RocketMQDataError) -> LenientJSON {
        self.position += 1
        var items: [LenientJSON] = []
        if self.skip(UInt8(ascii: "]")) { return .array(items) }
        while true {
            items.append(try self.value(depth: depth + 1))
            if self.skip(UInt8(ascii: "]")) { return .array(items) }
            guard self.skip(UInt8(ascii: ",")) else { throw self.error("has an array without an end") }
        }
    }

    /// Letters, digits and what numbers have: a bare name, a number, or a literal.
    private mutating func word() throws(RocketMQDataError) -> String {
        let start = self.position
        while let byte = self.next {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."),
                UInt8(ascii: "_"):
                self.position += 1
                continue
            default: break
            }
            break
        }
        guard self.position > start else { throw self.error("has neither a name nor a value") }
        return self.text(start..<self.position)
    }

    private func text(_ range: Range<Int>) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: self.bytes[range]), as: UTF8.self)
    }

    private mutating func string() throws(RocketMQDataError) -> String {
        self.position += 1
        let start = self.position
        while let byte = self.next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { self.position += 1 }
        guard self.next == UInt8(ascii: "\\") else {
            guard self.next != nil else { throw self.error("has a string without an end") }
            defer { self.position += 1 }
            return self.text(start..<self.position)
        }
        return try self.escapedString(from: start)
    }

    private mutating func escapedString(from start: Int) throws(RocketMQDataError) -> String {
        // UTF-16, because escapes are: halves of a pair come as two of them.
        var units = Array(self.text(start..<self.position).utf16)
        while true {
            guard let byte = self.next else { throw self.error("has a string without an end") }
            if byte == UInt8(ascii: "\"") {
                self.position += 1
                return String(decoding: units, as: UTF16.self)
            }
            if byte == UInt8(ascii: "\\") {
                units.append(try self.escape())
                continue
            }
            let from = self.position
            while let byte = self.next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { self.position += 1 }
            units += self.text(from..<self.position).utf16
        }
    }

    private mutating func escape() throws(RocketMQDataError) -> UInt16 {
        self.position += 1
        guard let byte = self.next else { throw self.error("has a string without an end") }
        self.position += 1
        switch byte {
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "b"): return 0x08
        case UInt8(ascii: "f"): return 0x0C
        case UInt8(ascii: "v"): return 0x0B
        case UInt8(ascii: "0"): return 0
        case UInt8(ascii: "x"): return try self.hex(2)
        case UInt8(ascii: "u"): return try self.hex(4)
        default: return UInt16(byte)
        }
    }

    private mutating func hex(_ count: Int) throws(RocketMQDataError) -> UInt16 {
        guard self.position + count <= self.bytes.count,
            let value = UInt16(self.text(self.position..<(self.position + count)), radix: 16)
        else { throw self.error("has an escape that is not hexadecimal") }
        self.position += count
        return value
    }
}

/// Writes JSON as the recorded requests have it: no blanks, control characters as `\u0001`.
package enum RemotingJSON {
    package static func append(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes += [UInt8(ascii: "\\"), byte]
            case UInt8(ascii: "\\"): bytes += [byte, byte]
            case 0x0A: bytes += Array("\\n".utf8)
            case 0x0D: bytes += Array("\\r".utf8)
            case 0x09: bytes += Array("\\t".utf8)
            case 0..<0x20:
                bytes += Array("\\u00".utf8)
                bytes += Array((byte < 0x10 ? "0" : "").utf8)
                bytes += Array(String(byte, radix: 16).utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
