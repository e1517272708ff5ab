import TidemarkCore

/// Reads table patterns in the configuration: `from`, and the keys of `replica_identity`.
enum TableRules {
    static let example = "a table such as shop.orders or shop.order_*"
    static let parts = "database.table or schema.table"

    /// Any name is accepted in quotes; without them probable mistakes are refused.
    static func problem(with pattern: TablePattern, _ text: String) -> String? {
        if pattern.partCount < 2 { return Self.parts }
        if text.contains("\u{0}") { return "no name holds U+0000" }
        guard pattern.hasBareEdgeSpace || (text.hasControlCharacter && !text.contains("\"")) else { return nil }
        return "a name that begins or ends with a space, or holds a control character, stands in double quotes:"
            + " shop.\" orders\""
    }
}

extension ConfigurationNode {
    /// Reads a table's pattern, and reports an error here if it is invalid.
    /// - Parameter shown: the text as messages show it.
    func tablePattern(_ text: String, shown: String) -> TablePattern? {
        do throws(TableTextError) {
            let pattern = try TablePattern(text)
            guard let problem = TableRules.problem(with: pattern, text) else { return pattern }
            self.fail("\(shown) is not \(TableRules.example): \(problem)")
        } catch {
            let why = error == .emptyPart ? TableRules.parts : error.why
            self.fail("\(shown) is not \(TableRules.example): \(why)")
        }
        return nil
    }
}
