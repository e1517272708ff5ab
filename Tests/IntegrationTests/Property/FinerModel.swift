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
    /// Stands in for absent columns.
    var defaults: [String: String] = [:]
    /// A column that was configured after these events had been seen.
    var late: (column: String, seen: Set<FinerEvent>)?

    /// JSON as messages have it and as PostgreSQL writes it.
    static let documents = [
        "null": "null", "{\"a\":null}": "{\"a\": null}", "[1,2]": "[1, 2]", "{\"$json\":null}": "{\"$json\": null}",
        "{\"$json\":{\"$json\":1}}": "{\"$json\": {\"$json\": 1}}",
    ]

    struct Fact {
        var rank: [UInt64]
        var isDelete: Bool
        /// Without declared columns: what it does not name is gone.
        var carriesOthers: Bool
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

    private static func epoch(_ event: FinerEvent) -> UInt64 { ["a": 1, "b": 2, "c": 3][event.source] ?? 0 }

    private func rank(_ event: FinerEvent, isDelete: Bool) -> [UInt64] {
        let mark: UInt64 = isDelete ? 1 : 0
        if self.order == .version { return [UInt64(event.version), mark] }
        let epoch = Self.epoch(event)
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
                case .value(let text):
                    let isJSON = name == "doc" && self.columns != nil
                    cells[name] = .some(isJSON ? text.flatMap { Self.documents[$0] } : text)
                case .unavailable: named.insert(name)
                case nil where self.columns == nil: break
                case nil: if let value = self.absent(name, event) { cells[name] = value } else { named.insert(name) }
                }
            }
        }
        let nullsOthers = event.source == "c"
        // Without declared columns one is known all the same, and an image that lacks others may lack it.
        if self.columns == nil, !named.isEmpty, !nullsOthers, event.cells["status"] == nil { named.insert("status") }
        if let late, late.seen.contains(event) {
            cells[late.column] = nil
            named.insert(late.column)
        }
        let isDropped = !isDelete && self.drops(event)
        return Fact(
            rank: self.rank(event, isDelete: isDelete),
            isDelete: isDelete,
            carriesOthers: self.columns == nil && (named.isEmpty || nullsOthers),
            cells: isDelete ? [:] : cells,
            named: isDelete ? [] : named,
            time: event.time,
            version: event.version,
            isDropped: isDropped
        )
    }

    /// What an absent column holds, where the configuration says so.
    private func absent(_ name: String, _ event: FinerEvent) -> String?? {
        if let value = self.defaults[name] { return .some(value) }
        return event.source == "c" ? .some(nil) : nil
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
                let rank: [UInt64] = [1, Self.epoch(event), event.lsn, 1, 2]
                facts[id]?.append(
                    Fact(
                        rank: rank,
                        isDelete: true,
                        carriesOthers: true,
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
        let named = self.columns.map(Set.init) ?? life.reduce(into: Set()) { $0.formUnion($1.named) }
        var cells: [String: String?] = [:]
        var incomplete: [String] = []
        for name in life.reduce(into: named, { $0.formUnion($1.cells.keys) }).sorted() {
            let carrier = life.last { $0.cells[name] != nil || ($0.carriesOthers && !$0.named.contains(name)) }
            if let value = carrier?.cells[name] { cells[name] = value }
            if carrier == nil, named.contains(name) { incomplete.append(name) }
        }
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
