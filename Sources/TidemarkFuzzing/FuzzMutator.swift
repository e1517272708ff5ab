import TidemarkCore

/// Makes broken messages out of whole ones. Most of what it makes is still JSON, so that it gets past the parser.
package struct FuzzMutator: Sendable {
    private let corpus: [[UInt8]]
    private let frames: [[UInt8]]
    /// Every so many inputs is a frame.
    private static let frameEvery: UInt64 = 4
    /// Longer than this an input does not grow.
    private static let bytesMax = 1 << 18

    /// - Parameters:
    ///   - corpus: whole messages, at least one.
    ///   - frames: whole frames of RocketMQ, behind their marker.
    package init(corpus: [[UInt8]], frames: [[UInt8]] = []) {
        precondition(!corpus.isEmpty)
        self.corpus = corpus
        self.frames = frames
    }

    /// The input of one number: the same from the same seed and corpus, whatever came before. Every other one is a
    /// generated configuration with messages for it.
    package func input(seed: UInt64, number: UInt64) -> [UInt8] {
        guard number.isMultiple(of: 2) else { return FuzzMessages.input(seed: seed, number: number) }
        var random = SplitMix64(seed: SplitMix64.mix(seed) ^ SplitMix64.mix(number &* 0x9E37_79B9_7F4A_7C15 &+ 1))
        if number.isMultiple(of: Self.frameEvery), !self.frames.isEmpty {
            return FuzzFrames.mutated(self.frames[random.below(self.frames.count)], of: self.frames, &random)
        }
        var input = self.corpus[random.below(self.corpus.count)]
        for _ in 0...random.below(6) where input.count < Self.bytesMax {
            if random.chance(80) {
                self.mutateStructure(&input, &random)
            } else {
                self.mutateBytes(&input, &random)
            }
        }
        return input
    }

    // MARK: Values and members

    private func mutateStructure(_ input: inout [UInt8], _ random: inout SplitMix64) {
        let values = JSONPlaces(of: input).values
        guard !values.isEmpty else { return self.mutateBytes(&input, &random) }
        let value = values[random.below(values.count)]
        switch random.below(13) {
        case 0, 1, 2: input.replaceSubrange(value.range, with: Self.pick(Self.atoms, &random))
        case 3: input.replaceSubrange(value.range, with: self.foreignValue(&random))
        case 4: Self.remove(value, from: &input)
        case 5: input.insert(contentsOf: [0x2C] + Array(input[value.whole]), at: value.whole.upperBound)
        case 6:
            let other = values[random.below(values.count)]
            guard !value.range.overlaps(other.range) else { return }
            let (first, second) =
                value.range.lowerBound < other.range.lowerBound
                ? (value.range, other.range) : (other.range, value.range)
            let (left, right) = (Array(input[first]), Array(input[second]))
            input.replaceSubrange(second, with: left)
            input.replaceSubrange(first, with: right)
        case 7:
            let (opening, closing) = Self.wrappings[random.below(Self.wrappings.count)]
            let depth = random.chance(20) ? 1 + random.below(300) : 1
            let wrapped =
                Array(repeating: opening, count: depth).joined() + Array(input[value.range])
                + Array(repeating: closing, count: depth).joined()
            input.replaceSubrange(value.range, with: wrapped)
        case 8:
            guard let name = value.name else { return }
            input.replaceSubrange(name, with: Array("\"\(Self.names[random.below(Self.names.count)])\"".utf8))
        case 9:
            let member =
                Array("\"\(Self.names[random.below(Self.names.count)])\":".utf8) + Self.pick(Self.atoms, &random)
            guard let name = value.name else { return }
            input.insert(contentsOf: member + [0x2C], at: name.lowerBound)
        case 10:
            let copies = Array(repeating: [0x2C] + Array(input[value.range]), count: random.below(300)).joined()
            guard value.name == nil, copies.count < Self.bytesMax else { return }
            input.insert(contentsOf: copies, at: value.range.upperBound)
        case 11: Self.escape(&input, value.range, &random)
        default: Self.changeDigits(&input, value.range, &random)
        }
    }

    private static func pick(_ choices: [String], _ random: inout SplitMix64) -> [UInt8] {
        Array(choices[random.below(choices.count)].utf8)
    }

    private func foreignValue(_ random: inout SplitMix64) -> [UInt8] {
        let other = self.corpus[random.below(self.corpus.count)]
        let values = JSONPlaces(of: other).values
        return values.isEmpty ? other : Array(other[values[random.below(values.count)].range])
    }

    private static func remove(_ value: JSONPlaces.Value, from input: inout [UInt8]) {
        var range = value.whole
        if range.upperBound < input.count, input[range.upperBound] == 0x2C {
            range = range.lowerBound..<(range.upperBound + 1)
        } else if range.lowerBound > 0, input[range.lowerBound - 1] == 0x2C {
            range = (range.lowerBound - 1)..<range.upperBound
        }
        input.removeSubrange(range)
    }

    /// Writes characters of a string or a name as `\uXXXX`: the same text, or half a surrogate pair.
    private static func escape(_ input: inout [UInt8], _ range: Range<Int>, _ random: inout SplitMix64) {
        guard range.count > 2, input[range.lowerBound] == UInt8(ascii: "\"") else { return }
        let at = range.lowerBound + 1 + random.below(range.count - 2)
        let escapes = ["\\u0000", "\\ud83d\\ude00", "\\ud83d", "\\u000a", "\\\"", "\\\\", "\\/", "\\u00e9", "\\udc00"]
        if random.chance(50), input[at] < 0x80, input[at] != UInt8(ascii: "\\") {
            let digits = String(input[at], radix: 16)
            let escaped = "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            input.replaceSubrange(at...at, with: Array(escaped.utf8))
        } else {
            input.insert(contentsOf: Self.pick(escapes, &random), at: at)
        }
    }

    private static func changeDigits(_ input: inout [UInt8], _ range: Range<Int>, _ random: inout SplitMix64) {
        let digits = range.filter { (0x30...0x39).contains(input[$0]) }
        guard !digits.isEmpty else { return }
        let at = digits[random.below(digits.count)]
        switch random.below(4) {
        case 0: input[at] = UInt8(0x30 + random.below(10))
        case 1:
            input.insert(contentsOf: (0..<(1 + random.below(40))).map { _ in UInt8(0x30 + random.below(10)) }, at: at)
        case 2: input.insert(contentsOf: Self.pick([".", "e", "E-", "-", "+", "e+99999", ":"], &random), at: at)
        default: input.remove(at: at)
        }
    }

    // MARK: Bytes

    private func mutateBytes(_ input: inout [UInt8], _ random: inout SplitMix64) {
        guard !input.isEmpty else {
            input = Self.pick(Self.atoms, &random)
            return
        }
        let at = random.below(input.count)
        let end = at + random.below(min(input.count - at, 60) + 1)
        switch random.below(7) {
        case 0: input[at] = UInt8(truncatingIfNeeded: random.next())
        case 1: input[at] ^= 1 << UInt8(random.below(8))
        case 2: input.removeSubrange(at..<end)
        case 3: input.insert(contentsOf: Self.pick(Self.tokens, &random), at: at)
        case 4: input.insert(contentsOf: Array(input[at..<end]), at: random.below(input.count + 1))
        case 5: input.removeSubrange(at...)
        default:
            let other = self.corpus[random.below(self.corpus.count)]
            input.replaceSubrange(at..., with: other.suffix(random.below(other.count + 1)))
        }
    }
}
