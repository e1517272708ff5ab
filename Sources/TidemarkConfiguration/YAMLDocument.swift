import Yams

/// Parses YAML and rewords its errors, because the parser's own quote the file, secrets included.
enum YAMLDocument {
    /// Yams stops at the first duplicate key. Duplicate keys are renamed and the text is parsed again, so that the
    /// reader reports them with all other errors.
    private static let repeatedKeysMax = 100

    /// - Returns: `nil` for a document without content.
    static func root(of yaml: String, in context: ReadingContext) throws(ConfigurationError) -> Node? {
        // A byte order mark is not part of the text.
        var text = yaml.unicodeScalars.first == "\u{FEFF}" ? String(yaml.unicodeScalars.dropFirst()) : yaml
        for attempt in 0... {
            do {
                return try Yams.compose(yaml: text, .basic)
            } catch let YamlError.duplicatedKeysInMapping(duplicates, location) where attempt < Self.repeatedKeysMax {
                guard let key = duplicates.first(where: { context.repeatedKeys[$0] == nil }),
                    let renamed = Self.rename(key, at: location.mark, number: attempt, in: &text)
                else { throw Self.refusal(of: duplicates, location.mark, context) }
                context.repeatedKeys[renamed] = key
            } catch let error as YamlError {
                throw Self.refusal(error, context)
            } catch {
                throw Self.refusal("not valid YAML", in: context)
            }
        }
        return nil
    }

    /// Replaces the first character of the key at `mark` by one for private use, so that no column moves.
    private static func rename(_ key: String, at mark: Mark, number: Int, in text: inout String) -> String? {
        var scalars = Array(text.unicodeScalars)
        var index = 0
        var line = 1
        while line < mark.line, index < scalars.count {
            if scalars[index] == "\n" { line += 1 }
            index += 1
        }
        index += mark.column - 1
        if index < scalars.count, scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        let letters = Array(key.unicodeScalars)
        guard !letters.isEmpty, index + letters.count <= scalars.count,
            Array(scalars[index..<(index + letters.count)]) == letters,
            let substitute = Unicode.Scalar(0xE000 + UInt32(number))
        else { return nil }
        scalars[index] = substitute
        var output = String.UnicodeScalarView()
        output.append(contentsOf: scalars)
        text = String(output)
        var renamed = String.UnicodeScalarView()
        renamed.append(substitute)
        renamed.append(contentsOf: letters.dropFirst())
        return String(renamed)
    }

    // MARK: Errors

    private static func refusal(of duplicates: [String], _ mark: Mark, _ context: ReadingContext) -> ConfigurationError
    {
        let names = duplicates.sorted().map(ConfigurationNode.quoted).joined(separator: ", ")
        return Self.refusal(
            "the key \(names) is given more than once in the mapping",
            line: mark.line,
            column: mark.column,
            in: context
        )
    }

    private static func refusal(_ error: YamlError, _ context: ReadingContext) -> ConfigurationError {
        switch error {
        case .composer(_?, _, let mark, _):
            // Only this error of the composer has a context.
            return Self.refusal("another YAML document begins, where one is expected", line: mark.line, in: context)
        case .scanner(let about, let problem, let mark, _), .parser(let about, let problem, let mark, _),
            .composer(let about, let problem, let mark, _):
            let started = about.map { " (\($0.text) on line \($0.mark.line))" } ?? ""
            // The parser's words name a function of C that would raise its limit.
            let isTooDeep = problem.hasPrefix("Maximum nesting level reached")
            let what = isTooDeep ? "lists and mappings are nested too deep" : "not valid YAML: \(problem)"
            return Self.refusal(
                "\(what), column \(mark.column)\(started)",
                line: mark.line,
                column: mark.column,
                in: context
            )
        case .reader(let problem, let offset, _, let yaml):
            let line = offset.map { yaml.prefix($0).count { $0.isNewline } + 1 }
            return Self.refusal("not valid YAML: \(problem)", line: line, in: context)
        default:
            return Self.refusal("not valid YAML", in: context)
        }
    }

    private static func refusal(
        _ message: String,
        line: Int? = nil,
        column: Int? = nil,
        in context: ReadingContext
    ) -> ConfigurationError {
        let location = ConfigurationLocation(file: context.file, line: line, column: column)
        return ConfigurationError(.invalid, message, at: location)
    }
}
