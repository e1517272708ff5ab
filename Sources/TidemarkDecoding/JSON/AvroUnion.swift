internal import TidemarkCore

/// A value of a union in Avro's JSON form: an object with one member, which is named after the value's type.
struct AvroUnion {
    enum Branch {
        case text
        /// A string each of whose characters is one byte.
        case bytes
        case number, boolean, array, map
        /// A record, or a string: an enum's or a fixed one's. Names have a namespace, so they hold a dot, which no
        /// field's name does.
        case named
    }

    var branch: Branch
    /// The value's node.
    var value: Int
}

extension JSONDocument {
    /// - Returns: `nil` for what is no union, or has a value that its branch does not have.
    @inline(never)
    func avroUnion(_ node: Int) -> AvroUnion? {
        guard self.kind(node) == .object, self.childCount(node) == 1 else { return nil }
        let (name, value) = (node + 1, node + 2)
        let kind = self.kind(value)
        func has(_ text: StaticString) -> Bool {
            let range = self.range(name)
            return Int(range.count) == text.utf8CodeUnitCount && self.isName(range, text.utf8Start)
        }
        let branch: AvroUnion.Branch? =
            switch kind {
            case .string where has("string"): .text
            case .string where has("bytes"): .bytes
            case .string where (has("double") || has("float")) && self.isSpecialNumber(value): .number
            case .number where has("long") || has("int") || has("double") || has("float"): .number
            case .true where has("boolean"), .false where has("boolean"): .boolean
            case .array where has("array"): .array
            case .object where has("map"): .map
            case .object, .string: self.hasDot(name) ? .named : nil
            default: nil
            }
        return branch.map { AvroUnion(branch: $0, value: value) }
    }

    private func isSpecialNumber(_ node: Int) -> Bool {
        let words: [StaticString] = ["NaN", "Infinity", "-Infinity", "INF", "-INF"]
        let range = self.range(node)
        return words.contains { Int(range.count) == $0.utf8CodeUnitCount && self.isName(range, $0.utf8Start) }
    }

    /// A scalar, out of the union that may hold it. Bytes are none: what they say depends on who asks.
    @inline(__always)
    func unwrapped(_ index: Int?) -> Int? {
        guard let index, self.kind(index) == .object else { return index }
        return self.unwrappedScalar(index)
    }

    @inline(never)
    private func unwrappedScalar(_ index: Int) -> Int {
        guard let union = self.avroUnion(index) else { return index }
        return switch union.branch {
        case .text, .number, .boolean: union.value
        case .named: self.kind(union.value) == .string ? union.value : index
        case .bytes, .array, .map: index
        }
    }

    /// An object, out of the union that may hold it; `nil` for what is none.
    @inline(__always)
    func record(_ index: Int?) -> Int? {
        guard let index, self.kind(index) == .object else { return nil }
        return self.childCount(index) == 1 ? self.unwrappedRecord(index) : index
    }

    @inline(never)
    private func unwrappedRecord(_ index: Int) -> Int {
        guard let union = self.avroUnion(index), union.branch == .named, self.kind(union.value) == .object else {
            return index
        }
        return union.value
    }
}
