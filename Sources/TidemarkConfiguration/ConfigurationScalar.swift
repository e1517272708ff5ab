import TidemarkCore
import Yams

/// One scalar of the file after replacement.
struct ConfigurationScalar {
    /// The type of a scalar by YAML 1.2's core schema.
    enum CoreType {
        case null, boolean, integer, float, text

        init(of scalar: Node.Scalar) {
            self = Self.isPlain(scalar) ? Self(ofPlain: scalar.string) : .text
        }

        init(ofPlain text: String) {
            switch text {
            case "", "~", "null", "Null", "NULL": self = .null
            case "true", "True", "TRUE", "false", "False", "FALSE": self = .boolean
            case _ where !"+-.0123456789".utf8.contains(text.utf8.first ?? 0): self = .text
            default:
                // A regex is not Sendable, so it cannot be a static property, and is compiled each time.
                if text.wholeMatch(of: #/[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+/#) != nil {
                    self = .integer
                } else if text.wholeMatch(
                    of: #/[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)/#
                ) != nil {
                    self = .float
                } else {
                    self = .text
                }
            }
        }

        /// Without quotes, and without `!!str`.
        static func isPlain(_ scalar: Node.Scalar) -> Bool {
            scalar.style == .plain && scalar.tag.rawValue != Tag.Name.str.rawValue
        }

        var name: String {
            switch self {
            case .null: "empty"
            case .boolean: "a boolean"
            case .integer, .float: "a number"
            case .text: "a text"
            }
        }
    }

    let text: String
    let type: CoreType
    /// Whether it holds an environment variable: it takes the type that its key needs, and is not shown.
    let isReplaced: Bool
    /// The scalar as in the file, quoted.
    let shown: String
}

extension ConfigurationNode {
    /// The scalar as in the file, before replacement, in quotes.
    var shownText: String {
        guard case .scalar(let scalar) = self.node else { return self.kind }
        return Self.quoted(scalar.string)
    }

    /// Whether the scalar holds an environment variable.
    var isReplaced: Bool {
        guard case .scalar(let scalar) = self.node else { return false }
        return self.context.environment != nil && scalar.string.contains("${")
    }

    var isNull: Bool {
        guard case .scalar(let scalar) = self.node else { return false }
        return ConfigurationScalar.CoreType(of: scalar) == .null
    }

    /// The scalar, its environment variables replaced.
    func scalar(_ what: String) -> ConfigurationScalar? {
        guard case .scalar(let scalar) = self.node else {
            return self.refused("is \(self.kind), where \(what) is expected")
        }
        let shown = Self.quoted(scalar.string)
        let tag = Tag.Name(rawValue: scalar.tag.rawValue)
        guard [.implicit, .str, .int, .float, .bool, .null].contains(tag) else {
            return self.refused("has a YAML tag, which has no meaning here; write \(what)")
        }
        let type = ConfigurationScalar.CoreType(of: scalar)
        guard let environment = self.context.environment else {
            return ConfigurationScalar(text: scalar.string, type: type, isReplaced: false, shown: shown)
        }
        do throws(EnvironmentText.Failure) {
            let (text, isReplaced) = try EnvironmentText.replacing(in: scalar.string, from: environment)
            return ConfigurationScalar(text: text, type: type, isReplaced: isReplaced, shown: shown)
        } catch {
            switch error {
            case .unset(let name):
                self.fail("the environment variable \(name) is not set; set it, or write ${\(name):-default}")
            case .malformed:
                self.fail("has a ${ that begins neither ${NAME} nor ${NAME:-default}")
            }
            return nil
        }
    }

    /// A text that is not empty. Plain scalars of another YAML type need quotes.
    func text(_ what: String) -> String? {
        guard let scalar = self.scalar(what) else { return nil }
        guard !scalar.text.isEmpty, scalar.isReplaced || scalar.type != .null else {
            return self.refused("is empty, where \(what) is expected")
        }
        guard scalar.isReplaced || scalar.type == .text else {
            return self.refused(
                "\(scalar.text) is \(scalar.type.name), where \(what) is expected; put it in quotes if it is one"
            )
        }
        return scalar.text
    }

    func boolean() -> Bool? {
        guard let scalar = self.scalar("true or false") else { return nil }
        if scalar.isReplaced || scalar.type == .boolean {
            switch scalar.text {
            case "true", "True", "TRUE": return true
            case "false", "False", "FALSE": return false
            default: break
            }
        }
        return self.refuse(scalar, "true or false")
    }

    func integer(_ range: ClosedRange<Int>) -> Int? {
        let what = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let scalar = self.scalar(what) else { return nil }
        guard scalar.isReplaced || scalar.type == .integer, let value = Int(scalar.text), range.contains(value) else {
            return self.refuse(scalar, what)
        }
        return value
    }

    func refuse<Value>(_ scalar: ConfigurationScalar, _ what: String) -> Value? {
        switch scalar.type {
        case .null: self.refused("is empty, where \(what) is expected")
        case .text where !scalar.isReplaced && ConfigurationScalar.CoreType(ofPlain: scalar.text) != .text:
            self.refused("\(scalar.shown) is a text because of its quotes, where \(what) is expected; leave them out")
        default: self.refused("\(scalar.shown) is not \(what)")
        }
    }

    /// One of a few words.
    func choice<Value: RawRepresentable<String>>(_ values: [Value]) -> Value? {
        let names = values.map(\.rawValue)
        let what = names.count == 1 ? names[0] : names.dropLast().joined(separator: ", ") + " or \(names.last ?? "")"
        guard let scalar = self.scalar(what) else { return nil }
        // `null` is a word too.
        if let value = Value(rawValue: scalar.text), values.contains(where: { $0.rawValue == scalar.text }) {
            return value
        }
        switch scalar.type {
        case .null where scalar.text.isEmpty: self.fail("is empty, where \(what) is expected")
        default:
            self.fail(
                "\(scalar.shown) is not \(what)"
                    + (scalar.isReplaced ? "" : Suggestion.hint(for: scalar.text, among: names))
            )
        }
        return nil
    }

    /// `16MiB`, `64MB`, `1GiB`, or a plain number of bytes.
    func byteCount(_ range: ClosedRange<Int>) -> Int? {
        let what = "a size such as 16MiB or 64MB"
        guard let scalar = self.scalar(what) else { return nil }
        guard let value = Self.byteCount(scalar.text) else { return self.refuse(scalar, what) }
        guard range.contains(value) else {
            return self.refused("\(scalar.shown) is not between \(range.lowerBound) and \(range.upperBound) bytes")
        }
        return value
    }

    private static func byteCount(_ text: String) -> Int? {
        guard let match = text.wholeMatch(of: #/([0-9]+) ?(B|[kKMG]i?B)?/#), let number = Int(match.1) else {
            return nil
        }
        let factor =
            switch match.2?.uppercased() {
            case nil, "B": 1
            case "KB": 1000
            case "MB": 1_000_000
            case "GB": 1_000_000_000
            case "KIB": 1 << 10
            case "MIB": 1 << 20
            default: 1 << 30
            }
        let (value, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : value
    }

    /// `10%`, or a count.
    func deadLetterLimit() -> DeadLetterLimit? {
        let what = "a percentage such as 10% or a whole number of messages"
        guard let scalar = self.scalar(what) else { return nil }
        if let match = scalar.text.wholeMatch(of: #/([0-9]+(\.[0-9]+)?) ?%/#), let percent = Double(match.1),
            percent <= 100
        {
            return .fraction(percent / 100)
        }
        if let count = Int(scalar.text), count >= 0 { return .count(count) }
        return self.refuse(scalar, what)
    }

    /// `15s`, `500ms`, `2min`, `5h`, `7d`, or a plain number of seconds.
    func duration(_ range: ClosedRange<Duration>) -> Duration? {
        let what = "a duration such as 15s, 500ms or 2min, up to \(range.upperBound.components.seconds)s"
        guard let scalar = self.scalar(what) else { return nil }
        if let value = Self.duration(scalar.text), range.contains(value) { return value }
        return self.refuse(scalar, what)
    }

    /// A duration of hours or days, with a unit.
    func longDuration(_ range: ClosedRange<Duration>) -> Duration? {
        let (low, high) = (range.lowerBound.components.seconds / 3600, range.upperBound.components.seconds / 86_400)
        let what = "a duration such as 30d or 12h, from \(low)h to \(high)d"
        guard let scalar = self.scalar(what) else { return nil }
        // A plain number would be seconds, and 30 is meant as days.
        if scalar.text.utf8.last.map({ !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) ?? false,
            let value = Self.duration(scalar.text), range.contains(value)
        {
            return value
        }
        return self.refuse(scalar, what)
    }

    private static func duration(_ text: String) -> Duration? {
        guard let match = text.wholeMatch(of: #/([0-9]{1,9}) ?(ms|s|min|h|d)?/#), let number = Int(match.1) else {
            return nil
        }
        return switch match.2 {
        case "ms": .milliseconds(number)
        case "min": .seconds(60 * number)
        case "h": .seconds(3600 * number)
        case "d": .seconds(86_400 * number)
        default: .seconds(number)
        }
    }
}

/// `${NAME}` and `${NAME:-default}` in a text.
enum EnvironmentText {
    enum Failure: Error, Equatable {
        case unset(String)
        case malformed
    }

    /// Values are not expanded again. As in a shell, an empty variable takes the default.
    static func replacing(
        in text: String,
        from environment: [String: String]
    ) throws(Failure) -> (text: String, isReplaced: Bool) {
        var output = ""
        var rest = text[...]
        var isReplaced = false
        while let start = rest.firstRange(of: "${") {
            output += rest[..<start.lowerBound]
            guard let end = rest[start.upperBound...].firstIndex(of: "}") else { throw .malformed }
            let inside = rest[start.upperBound..<end]
            guard let match = inside.wholeMatch(of: #/([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?/#.dotMatchesNewlines()),
                !inside.contains("${")
            else { throw .malformed }
            let name = String(match.1)
            let value = environment[name]
            if let fallback = match.3 {
                output += value.flatMap { $0.isEmpty ? nil : $0 } ?? String(fallback)
            } else {
                guard let value else { throw .unset(name) }
                output += value
            }
            isReplaced = true
            rest = rest[rest.index(after: end)...]
        }
        return isReplaced ? (output + rest, true) : (text, false)
    }
}
