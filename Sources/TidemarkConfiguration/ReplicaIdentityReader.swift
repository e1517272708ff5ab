import TidemarkCore

extension ConfigurationNode {
    private static let identityForms = "default, full, or a list of columns such as [id]"
    private static let rulesMax = 1_000

    /// `replica_identity`: one for all tables of a source, or one for each (`{ default: full, shop.orders: [id] }`).
    func replicaIdentities() -> ReplicaIdentities? {
        guard self.isMapping else { return self.replicaIdentity().map { ReplicaIdentities(rest: $0) } }
        var rules: [ReplicaIdentities.Rule] = []
        var rest = ReplicaIdentity.default
        for (name, value) in self.entries(of: "tables and their replica identity") {
            guard name != "default" else {
                if let identity = value.replicaIdentity() { rest = identity }
                continue
            }
            guard let pattern = value.tablePattern(name, shown: Self.quoted(name)),
                let identity = value.replicaIdentity()
            else { continue }
            if rules.contains(where: { $0.pattern == pattern }) { value.fail("\(Self.quoted(name)) is named twice") }
            rules.append(ReplicaIdentities.Rule(pattern: pattern, identity: identity))
        }
        if rules.count > Self.rulesMax { self.fail("names more than \(Self.rulesMax) tables; use globs: shop.order_*") }
        return ReplicaIdentities(rules: rules, rest: rest)
    }

    private func replicaIdentity() -> ReplicaIdentity? {
        guard self.isList else {
            guard let scalar = self.scalar(Self.identityForms) else { return nil }
            switch scalar.text {
            case "default": return .default
            case "full": return .full
            default:
                return self.refused("\(scalar.shown) is not \(Self.identityForms)")
            }
        }
        var columns: [String] = []
        for node in self.oneOrMore("column") {
            guard let column = node.text("a column's name at the source") else { continue }
            if columns.contains(column) { node.fail("\(node.shownText) is named twice") }
            columns.append(column)
        }
        return columns.isEmpty ? nil : .columns(columns)
    }
}
