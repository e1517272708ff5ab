/// The states an entity can pass through, as a directed graph with one start.
public struct Lifecycle: Sendable, Hashable {
    public let initial: String
    /// Successors of each state, as configured.
    public let transitions: [String: [String]]

    private let ranks: [String: UInt16]
    private let reachable: Set<String>

    public init(initial: String, transitions: [String: [String]]) {
        self.initial = initial
        self.transitions = transitions
        self.reachable = Self.reach(from: initial, in: transitions, avoiding: nil)
        self.ranks = Self.longestPaths(from: initial, in: transitions, among: self.reachable)
    }

    /// Every state that is named anywhere.
    public var states: Set<String> {
        Set([self.initial]).union(self.transitions.keys).union(self.transitions.values.joined())
    }

    /// States that no path from the initial one leads to.
    public var unreachableStates: Set<String> { self.states.subtracting(self.reachable) }

    /// How far along the lifecycle a state is: the length of the longest path from the initial state, which is at 1,
    /// a cycle counted as one step. Unknown and unreachable states are at 0.
    public func rank(of state: String) -> UInt16 { self.ranks[state] ?? 0 }

    /// Whether an entity in `state` has passed through `milestone`: it is that state, or every path from the initial
    /// state to it goes through there (in a flow graph, `milestone` dominates `state`).
    public func implies(_ state: String, _ milestone: String) -> Bool {
        if state == milestone { return true }
        guard self.reachable.contains(state), self.reachable.contains(milestone) else { return false }
        if milestone == self.initial { return true }
        return !Self.reach(from: self.initial, in: self.transitions, avoiding: milestone).contains(state)
    }

    private static func reach(
        from start: String,
        in transitions: [String: [String]],
        avoiding avoided: String?
    ) -> Set<String> {
        var seen: Set<String> = [start]
        var open = [start]
        while let state = open.popLast() {
            for next in transitions[state] ?? [] where next != avoided && seen.insert(next).inserted {
                open.append(next)
            }
        }
        return seen
    }

    /// Longest paths in the graph of strongly connected components. States are few: two states are in one component
    /// when each reaches the other.
    private static func longestPaths(
        from start: String,
        in transitions: [String: [String]],
        among states: Set<String>
    ) -> [String: UInt16] {
        let reach = Dictionary(
            uniqueKeysWithValues: states.map { ($0, Self.reach(from: $0, in: transitions, avoiding: nil)) }
        )
        func isOneComponent(_ left: String, _ right: String) -> Bool {
            left == right || (reach[left]!.contains(right) && reach[right]!.contains(left))
        }
        // Who reaches more comes first: along an edge that leaves a component the set only shrinks.
        let ordered = states.sorted { (reach[$1]!.count, $0) < (reach[$0]!.count, $1) }
        var ranks: [String: UInt16] = [start: 1]
        for state in ordered {
            let component = states.filter { isOneComponent($0, state) }
            let rank = component.compactMap { ranks[$0] }.max() ?? 1
            for member in component {
                ranks[member] = max(ranks[member] ?? 0, rank)
                for next in transitions[member] ?? [] where !isOneComponent(next, state) {
                    ranks[next] = max(ranks[next] ?? 0, rank + 1)
                }
            }
        }
        return ranks
    }
}

/// A state that an entity reaches once, for ever, and that notifiers are told about.
public struct Milestone: Sendable, Hashable {
    public var name: String
    public var state: String
    /// Names of notifiers.
    public var notify: [String]
    /// Current states during which delivery is held.
    public var unless: [String]
    /// Milestones whose least event time is before this instant are reached without delivery; microseconds, UTC.
    public var muteBefore: Int64?

    public init(name: String, state: String, notify: [String] = [], unless: [String] = [], muteBefore: Int64? = nil) {
        self.name = name
        self.state = state
        self.notify = notify
        self.unless = unless
        self.muteBefore = muteBefore
    }
}
