/// JSON text in the one form in which equal values are equal bytes: no white space, object members ordered as
/// `jsonb` orders them (by length, then by bytes; the last of equal names stays), numbers in plain decimal notation
/// with the digits they came with, and only those escapes that JSON demands.
package struct JSONText {
    package enum Failure: Error {
        case malformed, tooDeep
        /// U+0000, which PostgreSQL cannot store in `text` or `jsonb`.
        case nulCharacter
        /// Beyond what numeric can hold, or more digits than the text may become.
        case numberOutOfRange
    }

    package static let depthMax = 256

    private var index = 0
    private var decimal = Decimal()

    /// Appends the canonical form of `text` to `output`.
    package static func appendCanonical(_ text: Span<UInt8>, to output: inout [UInt8]) throws(Failure) {
        var reader = JSONText()
        reader.decimal.boundZeros(forTextOf: text.count)
        try reader.value(text, depth: 0, to: &output)
        reader.skipSpace(text)
        guard reader.index == text.count else { throw .malformed }
    }

    /// Appends a JSON string that stands for `bytes`, which are UTF-8.
    package static func appendString(_ bytes: Span<UInt8>, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        if bytes.needsEscape {
            for index in bytes.indices { Self.appendEscaped(bytes[index], to: &output) }
        } else {
            output.append(contentsOf: bytes)
        }
        output.append(UInt8(ascii: "\""))
    }

    private static func appendEscaped(_ byte: UInt8, to output: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            output.append(UInt8(ascii: "\\"))
            output.append(byte)
        case 0x0A: output.append(contentsOf: "\\n".utf8)
        case 0x0D: output.append(contentsOf: "\\r".utf8)
        case 0x09: output.append(contentsOf: "\\t".utf8)
        case 0x08: output.append(contentsOf: "\\b".utf8)
        case 0x0C: output.append(contentsOf: "\\f".utf8)
        case 0..<0x20:
            let hex = Array("0123456789abcdef".utf8)
            output.append(contentsOf: "\\u00".utf8)
            output.append(hex[Int(byte >> 4)])
            output.append(hex[Int(byte & 15)])
        default: output.append(byte)
        }
    }

    private mutating func skipSpace(_ text: Span<UInt8>) {
        while self.index < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[self.index]) { self.index += 1 }
    }

    private mutating func take(_ text: Span<UInt8>, _ byte: UInt8) -> Bool {
        guard self.index < text.count, text[self.index] == byte else { return false }
        self.index += 1
        return true
    }

    private mutating func value(_ text: Span<UInt8>, depth: Int, to output: inout [UInt8]) throws(Failure) {
        guard depth <= Self.depthMax else { throw .tooDeep }
        self.skipSpace(text)
        guard self.index < text.count else { throw .malformed }
        switch text[self.index] {
        case UInt8(ascii: "{"): try self.object(text, depth: depth, to: &output)
        case UInt8(ascii: "["): try self.array(text, depth: depth, to: &output)
        case UInt8(ascii: "\""): try self.string(text, to: &output)
        case UInt8(ascii: "t"): try self.word(text, "true", to: &output)
        case UInt8(ascii: "f"): try self.word(text, "false", to: &output)
        case UInt8(ascii: "n"): try self.word(text, "null", to: &output)
        default: try self.number(text, to: &output)
        }
    }

    private mutating func word(_ text: Span<UInt8>, _ word: StaticString, to output: inout [UInt8]) throws(Failure) {
        for offset in 0..<word.utf8CodeUnitCount {
            guard self.take(text, word.utf8Start[offset]) else { throw .malformed }
            output.append(word.utf8Start[offset])
        }
    }

    private mutating func number(_ text: Span<UInt8>, to output: inout [UInt8]) throws(Failure) {
        let start = self.index
        while self.index < text.count {
            switch text[self.index] {
            case 0x30...0x39, UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "e"),
                UInt8(ascii: "E"):
                self.index += 1
                continue
            default: break
            }
            break
        }
        let literal = text.extracting(start..<self.index)
        guard Self.isNumber(literal) else { throw .malformed }
        guard self.decimal.parse(literal) else { throw .numberOutOfRange }
        self.decimal.appendText(to: &output)
    }

    /// Whether the text is a number as JSON writes it: no leading zero or plus, and digits on both sides of the point.
    private static func isNumber(_ literal: Span<UInt8>) -> Bool {
        var index = 0
        func byte() -> UInt8 { index < literal.count ? literal[index] : 0 }
        func digits() -> Int {
            let start = index
            while byte() &- 0x30 < 10 { index += 1 }
            return index - start
        }
        if byte() == UInt8(ascii: "-") { index += 1 }
        let hasLeadingZero = byte() == 0x30
        let whole = digits()
        guard whole > 0, !hasLeadingZero || whole == 1 else { return false }
        if byte() == UInt8(ascii: ".") {
            index += 1
            guard digits() > 0 else { return false }
        }
        if byte() | 0x20 == UInt8(ascii: "e") {
            index += 1
            if byte() == UInt8(ascii: "-") || byte() == UInt8(ascii: "+") { index += 1 }
            guard digits() > 0 else { return false }
        }
        return index == literal.count
    }

    private mutating func array(_ text: Span<UInt8>, depth: Int, to output: inout [UInt8]) throws(Failure) {
        self.index += 1
        output.append(UInt8(ascii: "["))
        self.skipSpace(text)
        if !self.take(text, UInt8(ascii: "]")) {
            while true {
                try self.value(text, depth: depth + 1, to: &output)
                self.skipSpace(text)
                if self.take(text, UInt8(ascii: "]")) { break }
                guard self.take(text, UInt8(ascii: ",")) else { throw .malformed }
                output.append(UInt8(ascii: ","))
            }
        }
        output.append(UInt8(ascii: "]"))
    }

    private mutating func object(_ text: Span<UInt8>, depth: Int, to output: inout [UInt8]) throws(Failure) {
        self.index += 1
        var members: [(name: [UInt8], value: [UInt8])] = []
        self.skipSpace(text)
        if !self.take(text, UInt8(ascii: "}")) {
            while true {
                self.skipSpace(text)
                guard self.index < text.count, text[self.index] == UInt8(ascii: "\"") else { throw .malformed }
                var member: (name: [UInt8], value: [UInt8]) = ([], [])
                try self.string(text, to: &member.name)
                self.skipSpace(text)
                guard self.take(text, UInt8(ascii: ":")) else { throw .malformed }
                try self.value(text, depth: depth + 1, to: &member.value)
                members.append(member)
                self.skipSpace(text)
                if self.take(text, UInt8(ascii: "}")) { break }
                guard self.take(text, UInt8(ascii: ",")) else { throw .malformed }
            }
        }
        output.append(UInt8(ascii: "{"))
        var isFirst = true
        let ordered = members.enumerated().sorted { left, right in
            if Self.precedes(left.element.name, right.element.name) { return true }
            return left.element.name == right.element.name && left.offset < right.offset
        }
        for (index, entry) in ordered.enumerated() {
            let member = entry.element
            if index + 1 < ordered.count, ordered[index + 1].element.name == member.name { continue }
            if !isFirst { output.append(UInt8(ascii: ",")) }
            isFirst = false
            output.append(contentsOf: member.name)
            output.append(UInt8(ascii: ":"))
            output.append(contentsOf: member.value)
        }
        output.append(UInt8(ascii: "}"))
    }

    /// The order of `jsonb`: shorter names first, equally long ones by their bytes.
    package static func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count != right.count ? left.count < right.count : left.lexicographicallyPrecedes(right)
    }

    /// A member of an object.
    /// - Parameter object: canonical JSON.
    /// - Returns: its value; `nil` where the object has no such member.
    package static func member(_ name: [UInt8], ofCanonical object: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        var wanted: [UInt8] = []
        Self.appendString(name.span, to: &wanted)
        var index = object.startIndex + 1
        while index < object.endIndex, object[index] != UInt8(ascii: "}") {
            let nameEnd = Self.valueEnd(object, from: index)
            let end = Self.valueEnd(object, from: nameEnd + 1)
            if object[index..<nameEnd].elementsEqual(wanted) { return object[nameEnd + 1..<end] }
            index = end + 1
        }
        return nil
    }

    /// Where the value that begins at an index ends: before the next comma, colon or end of what it stands in.
    private static func valueEnd(_ text: ArraySlice<UInt8>, from start: Int) -> Int {
        var index = start
        var depth = 0
        var isString = false
        while index < text.endIndex {
            let byte = text[index]
            if isString {
                if byte == UInt8(ascii: "\\") { index += 1 }
                if byte == UInt8(ascii: "\"") { isString = false }
            } else if byte == UInt8(ascii: "\"") {
                isString = true
            } else if byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[") {
                depth += 1
            } else if byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") || byte == UInt8(ascii: ",")
                || byte == UInt8(ascii: ":")
            {
                if depth == 0 { return index }
                if byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") { depth -= 1 }
            }
            index += 1
        }
        return min(index, text.endIndex)
    }

    private mutating func string(_ text: Span<UInt8>, to output: inout [UInt8]) throws(Failure) {
        self.index += 1
        output.append(UInt8(ascii: "\""))
        while true {
            guard self.index < text.count else { throw .malformed }
            let byte = text[self.index]
            self.index += 1
            switch byte {
            case UInt8(ascii: "\""):
                output.append(byte)
                return
            case UInt8(ascii: "\\"):
                try self.escape(text, to: &output)
            case 0..<0x20:
                throw .malformed
            default:
                output.append(byte)
            }
        }
    }

    private mutating func escape(_ text: Span<UInt8>, to output: inout [UInt8]) throws(Failure) {
        guard self.index < text.count else { throw .malformed }
        let byte = text[self.index]
        self.index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): Self.appendEscaped(byte, to: &output)
        case UInt8(ascii: "b"): Self.appendEscaped(0x08, to: &output)
        case UInt8(ascii: "f"): Self.appendEscaped(0x0C, to: &output)
        case UInt8(ascii: "n"): Self.appendEscaped(0x0A, to: &output)
        case UInt8(ascii: "r"): Self.appendEscaped(0x0D, to: &output)
        case UInt8(ascii: "t"): Self.appendEscaped(0x09, to: &output)
        case UInt8(ascii: "u"):
            var unit = try self.hexUnit(text)
            if (0xD800..<0xDC00).contains(unit) {
                guard self.take(text, UInt8(ascii: "\\")), self.take(text, UInt8(ascii: "u")) else { throw .malformed }
                let low = try self.hexUnit(text)
                guard (0xDC00..<0xE000).contains(low) else { throw .malformed }
                unit = 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
            }
            guard unit != 0 else { throw .nulCharacter }
            guard let scalar = Unicode.Scalar(unit) else { throw .malformed }
            for unit in UTF8.encode(scalar)! { Self.appendEscaped(unit, to: &output) }
        default: throw .malformed
        }
    }

    private mutating func hexUnit(_ text: Span<UInt8>) throws(Failure) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard self.index < text.count, let digit = Self.hexDigit(text[self.index]) else { throw .malformed }
            value = value << 4 | UInt32(digit)
            self.index += 1
        }
        return value
    }

    package static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
