/// A glob pattern: `*` is any text, `?` one code point; texts are compared byte for byte, as UTF-8 orders them.
///
/// A mismatch resumes behind the last `*` alone, since the earliest match of what is before it leaves the most to the
/// rest. So it takes at most as many steps as the pattern has code points times those of the text.
package struct GlobPattern: Sendable, Hashable {
    /// What has a meaning in a pattern beside `*` and `?`.
    package enum Syntax: Sendable, Hashable {
        /// Nothing: `*` and `?` take whatever there is.
        case plain
        /// As in a shell: `[a-z]` and `[!a-z]` are one code point, and `\` takes the next one as it stands. Only `**`
        /// crosses the separator: it is any number of segments, at the end of a pattern one or more. A segment that
        /// begins with a dot is matched by a dot only.
        case shell(separator: Unicode.Scalar)
    }

    private enum Token: Sendable, Hashable {
        case any
        case one
        case set([ClosedRange<Unicode.Scalar>], isNegated: Bool)
        case literal(Unicode.Scalar)
    }

    private enum Segment: Sendable, Hashable {
        case any
        case tokens([Token])
    }

    private let syntax: Syntax
    private let segments: [Segment]

    package init(_ pattern: some StringProtocol, _ syntax: Syntax) {
        var segments = Self.split(pattern, syntax).map { segment -> Segment in
            if syntax != .plain, segment == ["*", "*"] { return .any }
            return .tokens(Self.tokens(segment, isShell: syntax != .plain))
        }
        if segments.last == .any { segments.append(.tokens([.any])) }
        self.syntax = syntax
        self.segments = segments
    }

    /// A pattern in which each code point is itself.
    package init(literal text: some StringProtocol) {
        self.syntax = .plain
        self.segments = [.tokens(text.unicodeScalars.map { .literal($0) })]
    }

    /// Whether a text is more than a name in ``Syntax/shell(separator:)``.
    package static func isPattern(_ text: some StringProtocol) -> Bool {
        text.unicodeScalars.contains { "*?[\\".unicodeScalars.contains($0) }
    }

    package func matches(_ text: some StringProtocol) -> Bool {
        var steps = 0
        return self.matches(text, steps: &steps)
    }

    /// - Parameter steps: counts comparisons, for tests of how many there are.
    func matches(_ text: some StringProtocol, steps: inout Int) -> Bool {
        let texts = Self.split(text, self.syntax)
        return Self.align(self.segments.map { $0 == .any }, texts.count, &steps) { segment, index, steps in
            guard case .tokens(let tokens) = self.segments[segment] else { return texts[index].first != "." }
            return self.matches(tokens, texts[index], &steps)
        }
    }

    private func matches(_ tokens: [Token], _ text: [Unicode.Scalar], _ steps: inout Int) -> Bool {
        if self.syntax != .plain, text.first == ".", tokens.first != .literal(".") { return false }
        return Self.align(tokens.map { $0 == .any }, text.count, &steps) { token, index, _ in
            switch tokens[token] {
            case .any, .one: true
            case .set(let ranges, let isNegated): ranges.contains { $0.contains(text[index]) } != isNegated
            case .literal(let literal): literal == text[index]
            }
        }
    }

    /// Whether the items of a pattern take all `count` items of a text.
    /// - Parameters:
    ///   - isAny: whether an item of the pattern takes any number of items.
    ///   - takes: whether an item of the pattern, by its index, takes an item of the text, by its index.
    private static func align(
        _ isAny: [Bool],
        _ count: Int,
        _ steps: inout Int,
        takes: (Int, Int, inout Int) -> Bool
    ) -> Bool {
        var (item, index) = (0, 0)
        // Where to resume on a mismatch: behind the last `*`, which then takes one item more.
        var retry: (item: Int, index: Int)?
        while index < count {
            steps += 1
            if item < isAny.count, isAny[item] {
                item += 1
                retry = (item, index)
            } else if item < isAny.count, takes(item, index, &steps) {
                item += 1
                index += 1
            } else if let last = retry, takes(last.item - 1, last.index, &steps) {
                retry = (last.item, last.index + 1)
                (item, index) = (last.item, last.index + 1)
            } else {
                return false
            }
        }
        return isAny[item...].allSatisfy { $0 }
    }
}

// MARK: Reading a pattern

extension GlobPattern {
    private static func split(_ text: some StringProtocol, _ syntax: Syntax) -> [[Unicode.Scalar]] {
        guard case .shell(let separator) = syntax else { return [Array(text.unicodeScalars)] }
        return text.unicodeScalars.split(separator: separator, omittingEmptySubsequences: false).map { Array($0) }
    }

    private static func tokens(_ scalars: [Unicode.Scalar], isShell: Bool) -> [Token] {
        var tokens: [Token] = []
        var rest = scalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "*": tokens.append(.any)
            case "?": tokens.append(.one)
            case "[" where isShell: tokens.append(Self.set(&rest) ?? .literal(scalar))
            case "\\" where isShell: tokens.append(.literal(rest.popFirst() ?? scalar))
            default: tokens.append(.literal(scalar))
            }
        }
        return tokens
    }

    /// What follows a `[`, up to its `]`; `nil` when there is none, and the bracket stands for itself.
    private static func set(_ scalars: inout ArraySlice<Unicode.Scalar>) -> Token? {
        var rest = scalars
        let isNegated = rest.first == "!" || rest.first == "^"
        if isNegated { rest.removeFirst() }
        // A bracket in the first place is a member of the set.
        let first = rest.startIndex
        var ranges: [ClosedRange<Unicode.Scalar>] = []
        while var lower = rest.popFirst() {
            if lower == "]", rest.startIndex > first + 1 {
                scalars = rest
                return .set(ranges, isNegated: isNegated)
            }
            if lower == "\\" { lower = rest.popFirst() ?? lower }
            var upper = lower
            if rest.first == "-", let last = rest.dropFirst().first, last != "]" {
                upper = last
                rest.removeFirst(2)
            }
            if lower <= upper { ranges.append(lower...upper) }
        }
        return nil
    }
}
