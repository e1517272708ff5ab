package import TidemarkCore

extension ProjectionDefinition {
    /// `shop.orders` with a lifecycle and a milestone with a notifier.
    package static var orders: ProjectionDefinition {
        var definition = ProjectionDefinition(
            name: "orders",
            from: ["shop.orders"],
            key: ["id"],
            sequence: [.column("version", type: nil)]
        )
        definition.columns = [
            .init(name: "id", type: .bigint), .init(name: "version", type: .bigint),
            .init(name: "status", type: .text),
        ]
        definition.state = .init(column: "status")
        definition.lifecycle = Lifecycle(
            initial: "created",
            transitions: ["created": ["paid"], "paid": ["shipped"], "shipped": ["delivered"]]
        )
        definition.milestones = [Milestone(name: "shipped", state: "shipped", notify: ["warehouse"])]
        return definition
    }
}
