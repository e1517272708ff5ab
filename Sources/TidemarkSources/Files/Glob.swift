/// A pattern of file names: `*`, `?` and `[…]` within one name, `**` for any number of folders. As in a shell, a name
/// that begins with a dot is matched by a dot only.
struct Glob {
    private enum Token {
        case any
        case one
        case set(ranges: [ClosedRange<Unicode.Scalar>], isNegated: Bool)
        case literal(Unicode.Scalar)
    }

    private var tokens: [Token] = []

    static func isPattern(_ text: some StringProtocol) -> Bool {
        text.unicodeScalars.contains { "*?[\\".unicodeScalars.contains($0) }
    }

    /// The pattern of one name, without a slash.
    init(_ pattern: some StringProtocol) {
        let scalars = Array(pattern.unicodeScalars)
        var index = 0
        while index < scalars.count {
            let scalar = scalars[index]
            index += 1
            switch scalar {
            case "*": self.tokens.append(.any)
            case "?": self.tokens.append(.one)
            case "[":
                if let set = Self.set(scalars, from: &index) {
                    self.tokens.append(set)
                } else {
                    self.tokens.append(.literal(scalar))
                }
            case "\\" where index < scalars.count:
                self.tokens.append(.literal(scalars[index]))
                index += 1
            default: self.tokens.append(.literal(scalar))
            }
        }
    }

    /// What follows a `[`, up to its `]`; `nil` when there is none, and the bracket stands for itself.
    private static func set(_ scalars: [Unicode.Scalar], from start: inout Int) -> Token? {
        var index = start
        var isNegated = false
        if index < scalars.count, scalars[index] == "!" || scalars[index] == "^" {
            isNegated = true
            index += 1
        }
        var ranges: [ClosedRange<Unicode.Scalar>] = []
        // A bracket in the first place is a member of the set.
        let first = index
        while index < scalars.count, scalars[index] != "]" || index == first {
            var lower = scalars[index]
            if lower == "\\", index + 1 < scalars.count {
                index += 1
                lower = scalars[index]
            }
            index += 1
            guard index + 1 < scalars.count, scalars[index] == "-", scalars[index + 1] != "]" else {
                ranges.append(lower...lower)
                continue
            }
            let upper = scalars[index + 1]
            index += 2
            if lower <= upper { ranges.append(lower...upper) }
        }
        guard index < scalars.count else { return nil }
        start = index + 1
        return .set(ranges: ranges, isNegated: isNegated)
    }

    func matches(_ name: String) -> Bool {
        let scalars = Array(name.unicodeScalars)
        if scalars.first == ".", !self.beginsWithDot { return false }
        var token = 0
        var index = 0
        // Where to go on when it does not fit: behind the last `*`, which then takes one scalar more.
        var retry: (token: Int, index: Int)?
        while index < scalars.count {
            if token < self.tokens.count, case .any = self.tokens[token] {
                token += 1
                retry = (token, index)
            } else if token < self.tokens.count, Self.fits(self.tokens[token], scalars[index]) {
                token += 1
                index += 1
            } else if let last = retry {
                retry = (last.token, last.index + 1)
                (token, index) = (last.token, last.index + 1)
            } else {
                return false
            }
        }
        return self.tokens[token...].allSatisfy { if case .any = $0 { true } else { false } }
    }

    private var beginsWithDot: Bool {
        if case .literal(".")? = self.tokens.first { true } else { false }
    }

    private static func fits(_ token: Token, _ scalar: Unicode.Scalar) -> Bool {
        switch token {
        case .any, .one: true
        case .set(let ranges, let isNegated): ranges.contains { $0.contains(scalar) } != isNegated
        case .literal(let literal): literal == scalar
        }
    }
}
