/// Merges a batch's events of one entity into what is known of its columns: each column from the greatest event that
/// carries it. The events may come in any order.
package struct ColumnMerge: Sendable {
    /// Where a value of the row comes from.
    package enum Origin: Sendable, Hashable {
        /// The row has it already.
        case stored
        /// No event that counts has carried it.
        case unknown
        case item(ItemReference)
    }

    /// What is known once the batch is committed.
    package private(set) var state: ColumnState
    /// Where the columns come from that no partial image gives.
    package private(set) var base = Origin.stored
    /// Columns that partial images of the batch give.
    package private(set) var taken: [[UInt8]: ItemReference] = [:]
    private var takenState: ItemReference?
    package private(set) var hasChanged = false

    package init(_ state: ColumnState) {
        self.state = state
        if state.base == nil { self.base = .unknown }
    }

    package func origin(of column: [UInt8]) -> Origin {
        if let item = self.taken[column] { return .item(item) }
        guard self.state.columns[column] == nil else { return .stored }
        return self.state.open.contains(column) ? .unknown : self.base
    }

    package var originOfState: Origin {
        if let item = self.takenState { return .item(item) }
        guard self.state.state == nil else { return .stored }
        return self.state.isStateOpen ? .unknown : self.base
    }

    /// Columns whose stored values stand above the base.
    package var stored: [[UInt8]] { self.state.columns.keys.filter { self.taken[$0] == nil } }

    /// Whether nothing is known of the column.
    package func lacks(_ column: [UInt8]) -> Bool {
        (self.state.base == nil || self.state.open.contains(column)) && self.state.columns[column] == nil
    }

    /// Columns that events named without their value, and that none carried.
    package var namedOnly: [[UInt8]] {
        self.state.named.keys.filter(self.lacks).sorted { $0.lexicographicallyPrecedes($1) }
    }

    package mutating func add(table: [UInt8]) {
        self.hasChanged = self.state.tables.insert(table).inserted || self.hasChanged
    }

    /// Below the greatest delete nothing counts.
    package mutating func delete(at key: [UInt8]) {
        guard Self.isAbove(key, self.state.deleted) else { return }
        self.hasChanged = true
        self.state.deleted = key
        if !Self.isAbove(self.state.base, key) {
            self.state.base = nil
            self.base = .unknown
            self.state.open = []
            self.state.isStateOpen = false
        }
        self.dropColumns(below: key)
        self.state.named = self.state.named.filter { Self.isAbove($0.value, key) }
        self.dropSeen()
    }

    /// - Parameters:
    ///   - open: columns that stay all the same.
    ///   - keepsState: so does the state.
    private mutating func dropColumns(below key: [UInt8], except open: Set<[UInt8]> = [], keepsState: Bool = false) {
        self.state.columns = self.state.columns.filter { Self.isAbove($0.value, key) || open.contains($0.key) }
        let left = self.state.columns
        self.taken = self.taken.filter { left[$0.key] != nil }
        guard !keepsState, let own = self.state.state, !Self.isAbove(own, key) else { return }
        self.state.state = nil
        self.takenState = nil
    }

    /// Up to a base that carries every column, and up to a delete, nothing is taken.
    private mutating func dropSeen() {
        guard let seen = self.state.seen else { return }
        let isBelowBase = self.state.open.isEmpty && Self.isAbove(self.state.base, seen)
        if isBelowBase || !Self.isAbove(seen, self.state.deleted) { self.state.seen = nil }
    }

    /// An image that is complete, but for the columns that it lacks: every other one is as it says.
    package mutating func take(
        complete item: ItemReference,
        at key: [UInt8],
        lacking: [[UInt8]] = [],
        carriesState: Bool = true
    ) {
        guard Self.isAbove(key, self.state.deleted) else { return }
        self.name(lacking, at: key)
        guard Self.isAbove(key, self.state.base) else {
            return self.fill(from: item, at: key, lacking: lacking, carriesState: carriesState)
        }
        self.hasChanged = true
        let open = Set(lacking)
        self.dropColumns(below: key, except: open, keepsState: !carriesState)
        // Columns the new base lacks keep their former origin.
        let formerItem: ItemReference? = if case .item(let former) = self.base { former } else { nil }
        if let former = self.state.base {
            for name in open where self.state.columns[name] == nil && !self.state.open.contains(name) {
                self.state.columns[name] = former
                if let formerItem { self.taken[name] = formerItem }
            }
            if !carriesState, self.state.state == nil, !self.state.isStateOpen {
                self.state.state = former
                self.takenState = formerItem
            }
        }
        self.state.base = key
        self.base = .item(item)
        self.state.open = open
        self.state.isStateOpen = !carriesState
        self.dropSeen()
    }

    /// From an image below the base: what that lacks.
    private mutating func fill(from item: ItemReference, at key: [UInt8], lacking: [[UInt8]], carriesState: Bool) {
        guard key != self.state.base else { return }
        for name in self.state.open where !lacking.contains(name) && Self.isAbove(key, self.state.columns[name]) {
            self.hasChanged = true
            self.state.columns[name] = key
            self.taken[name] = item
        }
        guard self.state.isStateOpen, carriesState, Self.isAbove(key, self.state.state) else { return }
        self.hasChanged = true
        self.state.state = key
        self.takenState = item
    }

    private mutating func name(_ columns: [[UInt8]], at key: [UInt8]) {
        for name in columns where Self.isAbove(key, self.state.named[name]) {
            self.hasChanged = true
            self.state.named[name] = key
        }
    }

    /// A partial image: just these columns are as it says.
    package mutating func take(
        partial item: ItemReference,
        at key: [UInt8],
        columns: [[UInt8]],
        missing: [[UInt8]],
        carriesState: Bool
    ) {
        guard Self.isAbove(key, self.state.deleted) else { return }
        self.name(missing, at: key)
        guard key != self.state.base else { return }
        let isAboveBase = Self.isAbove(key, self.state.base)
        guard isAboveBase || !self.state.open.isEmpty || self.state.isStateOpen else { return }
        for name in columns where isAboveBase || self.state.open.contains(name) {
            guard Self.isAbove(key, self.state.columns[name]) else { continue }
            self.hasChanged = true
            self.state.columns[name] = key
            self.taken[name] = item
        }
        if carriesState, isAboveBase || self.state.isStateOpen, Self.isAbove(key, self.state.state) {
            self.hasChanged = true
            self.state.state = key
            self.takenState = item
        }
    }

    /// Whether an order key is above another; anything is above none.
    static func isAbove(_ key: [UInt8]?, _ other: [UInt8]?) -> Bool {
        guard let key else { return false }
        return other.map { $0.lexicographicallyPrecedes(key) } ?? true
    }
}

/// The truncates that a lane has met in a projection where they are deletes: of every entity of the table, known or
/// not yet known.
package struct TruncateLog: Sendable {
    package struct Entry: Sendable, Hashable {
        package var table: [UInt8]
        /// Every event at the truncate's position or before it is below these bytes.
        package var orderKey: [UInt8]
        /// The position as people read it.
        package var sequence: [UInt8]

        package init(table: [UInt8], orderKey: [UInt8], sequence: [UInt8]) {
            self.table = table
            self.orderKey = orderKey
            self.sequence = sequence
        }
    }

    /// The greatest of each table that earlier batches brought.
    private var known: [[UInt8]: Entry] = [:]
    /// Those of the batch in hand, in the order of arrival.
    private var recent: [(at: ItemReference, entry: Entry)] = []

    package init() {}

    package mutating func add(_ entry: Entry) {
        guard ColumnMerge.isAbove(entry.orderKey, self.known[entry.table]?.orderKey) else { return }
        self.known[entry.table] = entry
    }

    package mutating func add(_ entry: Entry, at item: ItemReference) {
        self.recent.append((item, entry))
    }

    /// The batch was committed.
    package mutating func commitRecent() {
        for (_, entry) in self.recent { self.add(entry) }
        self.recent = []
    }

    /// The batch was not committed.
    package mutating func dropRecent() { self.recent = [] }

    /// The greatest truncate of the tables that had arrived before `item`.
    func greatest(of tables: Set<[UInt8]>, before item: ItemReference) -> Entry? {
        var greatest: Entry?
        func consider(_ entry: Entry) {
            if ColumnMerge.isAbove(entry.orderKey, greatest?.orderKey) { greatest = entry }
        }
        for table in tables { if let entry = self.known[table] { consider(entry) } }
        for (index, entry) in self.recent where index < item && tables.contains(entry.table) { consider(entry) }
        return greatest
    }
}
