import Testing
import TidemarkCore

@Suite struct LifecycleTests {
    private let shop = Lifecycle(
        initial: "created",
        transitions: [
            "created": ["paid", "cancelled"], "paid": ["shipped", "refunded"], "shipped": ["delivered", "returned"],
            "delivered": ["completed", "returned"],
        ]
    )

    @Test(arguments: ["shipped", "delivered", "returned", "completed"])
    func aStateBehindShippedImpliesShipped(_ state: String) {
        #expect(self.shop.implies(state, "shipped"))
    }

    @Test(arguments: ["created", "paid", "cancelled", "refunded", "lost", ""])
    func aStateThatCanBeReachedOtherwiseDoesNot(_ state: String) {
        #expect(!self.shop.implies(state, "shipped"))
    }

    @Test func returnedDoesNotImplyDelivered() {
        #expect(!self.shop.implies("returned", "delivered"))
        #expect(self.shop.implies("completed", "delivered"))
    }

    @Test func anUnknownStateImpliesOnlyItself() {
        #expect(self.shop.implies("lost", "lost"))
        #expect(!self.shop.implies("lost", "created"))
    }

    @Test func ranksAreLongestPaths() {
        #expect(self.shop.rank(of: "created") == 1)
        #expect(self.shop.rank(of: "paid") == 2)
        #expect(self.shop.rank(of: "shipped") == 3)
        #expect(self.shop.rank(of: "delivered") == 4)
        #expect(self.shop.rank(of: "returned") == 5)
        #expect(self.shop.rank(of: "completed") == 5)
        #expect(self.shop.rank(of: "lost") == 0)
    }

    @Test func aCycleHasOneRank() {
        let cyclic = Lifecycle(
            initial: "a",
            transitions: ["a": ["b"], "b": ["c"], "c": ["b", "d"], "d": [], "island": ["a"]]
        )
        #expect(cyclic.rank(of: "b") == cyclic.rank(of: "c"))
        #expect(cyclic.rank(of: "d") == cyclic.rank(of: "c") + 1)
        #expect(cyclic.implies("d", "b"))
        #expect(cyclic.implies("d", "c"))
        #expect(!cyclic.implies("b", "c"))
        #expect(cyclic.unreachableStates == ["island"])
        #expect(cyclic.rank(of: "island") == 0)
    }

    @Test func dominatorsComeFirstWhateverTheConfiguredOrder() {
        var definition = ProjectionDefinition(name: "o", from: ["a.b"], key: ["id"], sequence: [.position])
        definition.lifecycle = self.shop
        definition.milestones = ["completed", "delivered", "shipped", "paid"].map { Milestone(name: $0, state: $0) }
        #expect(ProjectionPlan(definition).milestones.map(\.name) == ["paid", "shipped", "delivered", "completed"])
    }
}
