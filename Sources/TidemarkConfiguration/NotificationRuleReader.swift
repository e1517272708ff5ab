import TidemarkCore

/// Reads a notifier's `when` and `body` for each projection whose milestones name it, because columns are defined
/// there.
struct NotificationRuleReader {
    let notifier: String
    let node: ConfigurationNode
    let isThin: Bool

    func read(into projections: inout [ProjectionDefinition]) {
        guard self.node.isMapping, let map = self.node.mapping(ConfigurationKeys.notifier) else { return }
        let conditions = map["when"]?.entries(of: "columns and the values that they are to have") ?? []
        if map["when"] != nil, !projections.contains(where: self.isTold) {
            map["when"]?.warn("is for nothing: no milestone of any projection names this notifier")
        }
        for index in projections.indices where self.isTold(of: projections[index]) {
            var rule = ProjectionDefinition.NotificationRule(isThin: self.isThin)
            for (column, values) in conditions {
                guard let type = self.type(of: column, values, in: projections[index]) else { continue }
                rule.when[column] = values.oneOrMore("value").compactMap { $0.json(as: type) }
            }
            if rule != .init() { projections[index].notifications[self.notifier] = rule }
        }
    }

    private func isTold(of projection: ProjectionDefinition) -> Bool {
        projection.milestones.contains { $0.notify.contains(self.notifier) }
    }

    private func type(
        of column: String,
        _ node: ConfigurationNode,
        in projection: ProjectionDefinition
    ) -> ConfigurationNode.JSONKind? {
        // Without `columns` the row has the columns of the messages.
        guard let columns = projection.columns else { return .any }
        guard let type = columns.first(where: { $0.name == column })?.type else {
            let hint = Suggestion.hint(for: column, among: columns.map(\.name))
            return node.refused(
                "is not a column of projection \(projection.name), whose milestones are told here\(hint)"
            )
        }
        switch type {
        case .bigint, .integer, .smallint, .numeric: return .number
        case .boolean: return .boolean
        case .text, .varchar, .date: return .text
        case .uuid: return .uuid
        case .timestamptz, .timestamp, .time, .doublePrecision, .real, .jsonb, .bytea:
            return node.refused(
                "is \(type.sql) in projection \(projection.name); a filter compares whole numbers, decimals, texts, "
                    + "booleans, dates and UUIDs"
            )
        }
    }
}

extension ConfigurationNode {
    /// The form of a value in the row's JSON.
    enum JSONKind {
        case number, boolean, text, uuid
        /// As YAML takes it.
        case any
    }

    /// A scalar as JSON.
    fileprivate func json(as kind: JSONKind) -> String? {
        guard let scalar = self.scalar("a value to compare with") else { return nil }
        if scalar.type == .null, !scalar.isReplaced { return "null" }
        switch kind {
        case .text: return JSONOutput.string(scalar.text)
        case .uuid: return JSONOutput.string(scalar.text.lowercased())
        case .boolean:
            let text = scalar.text.lowercased()
            return ["true", "false"].contains(text) ? text : self.refuse(scalar, "true or false")
        case .number:
            return Self.isNumber(scalar.text) ? scalar.text : self.refuse(scalar, "a number such as 7 or 12.50")
        case .any:
            switch scalar.type {
            case .integer where Self.isNumber(scalar.text), .float where Self.isNumber(scalar.text): return scalar.text
            case .boolean: return scalar.text.lowercased()
            default: return JSONOutput.string(scalar.text)
            }
        }
    }

    /// As JSON writes numbers.
    private static func isNumber(_ text: String) -> Bool {
        text.wholeMatch(of: #/-?(0|[1-9][0-9]*)(\.[0-9]+)?/#) != nil
    }
}
