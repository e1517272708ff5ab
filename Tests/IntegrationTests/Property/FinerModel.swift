/// What one projection has to make of finer histories, in a few lines that share nothing with the projector: every
/// question is answered by looking through all of an entity's facts.
struct FinerModel {
    enum Order { case position, version }

    var name: String
    var order: Order
    /// Declared columns beside the key; `nil` for the form without.
    var columns: [String]?
    var truncatesDelete = false
    var accepts: Set<String>?
    var hasLifecycle = true

    struct Fact {
        var rank: [UInt64]
        var isDelete: Bool
        var isComplete: Bool
        var cells: [String: String?]
        var named: Set<String>
        var time: Int64?
        var version: Int
        var isDropped = false
    }

    struct Row: Equatable {
        var cells: [String: String?]
        var incomplete: [String]
    }

    static let milestones = [
        "paid": ["paid", "shipped", "delivered", "returned"], "shipped": ["shipped", "delivered", "returned"],
    ]

    private func rank(_ event: FinerEvent, isDelete: Bool) -> [UInt64] {
        let mark: UInt64 = isDelete ? 1 : 0
        if self.order == .version { return [UInt64(event.version), mark] }
        let epoch: UInt64 = event.source == "a" ? 1 : 2
        switch event.change {
        case .incremental: return [0]
        case .snapshot: return [1, epoch, event.lastCommit ?? 0, 0, event.lsn]
        // A delete, be it half of a key change or not, is below what else is at its place.
        default: return [1, epoch, event.lsn, 1, isDelete ? 0 : 1]
        }
    }

    private func fact(_ event: FinerEvent, isDelete: Bool) -> Fact {
        var cells: [String: String?] = [:]
        var named: Set<String> = []
        let kept = self.columns ?? FinerEvent.columns + ["version", "id"]
        for name in kept {
            switch name {
            case "version": cells[name] = .some("\(event.version)")
            case "id": cells[name] = .some("\(event.id)")
            default:
                switch event.cells[name] {
                case .value(let text): cells[name] = .some(text)
                case .unavailable: named.insert(name)
                case nil: if self.columns != nil { named.insert(name) }
                }
            }
        }
        // Without declared columns one is known all the same, and an image that lacks others may lack it.
        if self.columns == nil, !named.isEmpty, event.cells["status"] == nil { named.insert("status") }
        let isDropped = !isDelete && self.drops(event)
        return Fact(
            rank: self.rank(event, isDelete: isDelete),
            isDelete: isDelete,
            isComplete: named.isEmpty,
            cells: isDelete ? [:] : cells,
            named: isDelete ? [] : named,
            time: event.time,
            version: event.version,
            isDropped: isDropped
        )
    }

    private func drops(_ event: FinerEvent) -> Bool {
        guard let accepts else { return false }
        guard case .value(let kind?)? = event.cells["kind"] else { return true }
        return !accepts.contains(kind)
    }

    /// Everything about each row, in the order that counts; a truncate that is a delete stands in every row of its table.
    func facts(_ events: [FinerEvent]) -> [Int: [Fact]] {
        var facts: [Int: [Fact]] = [:]
        var tables: [Int: Set<String>] = [:]
        for event in Set(events) where event.change != .truncate {
            facts[event.id, default: []].append(self.fact(event, isDelete: event.change == .delete))
            tables[event.id, default: []].insert(event.table)
            guard let old = event.oldID else { continue }
            facts[old, default: []].append(self.fact(event, isDelete: true))
            tables[old, default: []].insert(event.table)
        }
        // Only seen: there is nothing to show of such an entity.
        facts = facts.filter { $0.value.contains { !$0.isDropped } }
        guard self.truncatesDelete else {
            return facts.mapValues { $0.sorted { $0.rank.lexicographicallyPrecedes($1.rank) } }
        }
        // One that was told twice happened at the earlier of the two times.
        let truncates = Dictionary(grouping: events.filter { $0.change == .truncate }) { event in
            [event.table, event.source, "\(event.lsn)"]
        }
        for event in truncates.values.compactMap({ $0.min { $0.time < $1.time } }) {
            for (id, seen) in tables where seen.contains(event.table) && facts[id] != nil {
                let rank: [UInt64] = [1, event.source == "a" ? 1 : 2, event.lsn, 1, 2]
                facts[id]?.append(
                    Fact(
                        rank: rank,
                        isDelete: true,
                        isComplete: true,
                        cells: [:],
                        named: [],
                        time: event.time,
                        version: 0
                    )
                )
            }
        }
        return facts.mapValues { $0.sorted { $0.rank.lexicographicallyPrecedes($1.rank) } }
    }

    /// The row behind the last of `facts`, which is no delete.
    func row(_ facts: ArraySlice<Fact>) -> Row {
        let life = facts[((facts.lastIndex { $0.isDelete }).map { $0 + 1 } ?? facts.startIndex)...]
        let base = life.lastIndex { $0.isComplete }
        var cells: [String: String?] = [:]
        for fact in life[(base ?? life.startIndex)...] { cells.merge(fact.cells) { $1 } }
        let named = self.columns.map(Set.init) ?? life.reduce(into: Set()) { $0.formUnion($1.named) }
        let incomplete = base == nil ? named.filter { cells[$0] == nil }.sorted() : []
        for name in self.columns ?? [] where cells[name] == nil { cells[name] = .some(nil) }
        return Row(cells: cells, incomplete: incomplete)
    }

    /// Of each milestone the state that is shown with it.
    func milestones(_ facts: [Fact]) -> [String: String] {
        guard self.hasLifecycle else { return [:] }
        return Self.milestones.compactMapValues { states in
            facts.first { !$0.isDropped && states.contains(($0.cells["status"] ?? nil) ?? "") }
                .flatMap { $0.cells["status"] ?? nil }
        }
    }

    func gaps(_ facts: [Fact]) -> [[Int]] {
        let seen = Set(facts.map(\.version))
        var gaps: [[Int]] = []
        for version in 1...max(1, seen.max() ?? 1) where !seen.contains(version) {
            if gaps.last?[1] == version - 1 {
                gaps[gaps.count - 1][1] = version
            } else {
                gaps.append([version, version])
            }
        }
        return gaps
    }
}
