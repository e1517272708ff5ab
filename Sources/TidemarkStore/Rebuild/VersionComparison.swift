package import LibPQ
package import TidemarkCore

/// Compares a next version with the live one: rows, value by value, and milestones.
package struct VersionComparison: Sendable {
    package struct Difference: Sendable, Decodable {
        package enum Kind: String, Sendable, Decodable {
            case onlyOld = "only_old"
            case onlyNew = "only_new"
            case changed
        }

        package var kind: Kind
        /// The key as a JSON array.
        package var key: String
        /// `nil` for a row that only one version has.
        package var column: String?
        package var old: String?
        package var new: String?
    }

    package struct Milestone: Sendable {
        package var name: String
        package var count: Int64
        /// Some keys of entities that will reach it, as JSON arrays.
        package var keys: [String]
    }

    package var oldRows: Int64 = 0
    package var newRows: Int64 = 0
    package var onlyOld: Int64 = 0
    package var onlyNew: Int64 = 0
    package var changed: Int64 = 0
    /// The number of rows in which each column differs, without columns that do not differ.
    package var columns: [(name: String, rows: Int64)] = []
    package var addedColumns: [String] = []
    package var removedColumns: [String] = []
    package var samples: [Difference] = []
    /// In the order in which an entity reaches them.
    package var milestones: [Milestone] = []
    /// Whether the keys are the same. With another key no rows correspond.
    package var isKeyComparable = true

    /// The most differences of each kind, and keys of each milestone, to list.
    package static let samplesMax = 20

    package init(_ definition: ProjectionDefinition, on connection: Connection) async throws {
        let versions = try await VersionPair(definition, on: connection)
        let new = versions.shownColumns(of: StoredDefinition(versions.next))
        let old = versions.shownColumns(of: versions.old)
        self.addedColumns = new.map(\.name).filter { name in !old.contains { $0.name == name } }
        self.removedColumns = old.map(\.name).filter { name in !new.contains { $0.name == name } }
        self.isKeyComparable = versions.hasSameKey
        if self.isKeyComparable {
            let compared = versions.comparedColumns
            try await self.count(versions, compared, on: connection)
            if self.changed > 0 { try await self.sampleChanges(versions, compared, on: connection) }
            if self.onlyOld > 0 { try await self.sample(.onlyOld, "old", "new", versions, on: connection) }
            if self.onlyNew > 0 { try await self.sample(.onlyNew, "new", "old", versions, on: connection) }
        } else {
            let counts = try await connection.query(
                "select (select count(*) from \(versions.oldView)), (select count(*) from \(versions.newView))"
            )
            self.oldRows = try counts.int64(0, 0) ?? 0
            self.newRows = try counts.int64(0, 1) ?? 0
        }
        for milestone in versions.plan.milestones {
            try await self.compare(milestone.name, versions, on: connection)
        }
    }

    private mutating func count(
        _ versions: VersionPair,
        _ compared: [VersionPair.Column],
        on connection: Connection
    ) async throws {
        let both = "old.\(versions.firstKey) is not null and new.\(versions.firstKey) is not null"
        let any = compared.map(\.differs).joined(separator: " or ")
        let each = compared.map { "count(*) filter (where \(both) and \($0.differs))" }
        let counts = try await connection.query(
            """
            select count(old.\(versions.firstKey)), count(new.\(versions.firstKey)),
                count(*) filter (where new.\(versions.firstKey) is null),
                count(*) filter (where old.\(versions.firstKey) is null),
                count(*) filter (where \(both) and (\(any)))\(each.map { ",\n    " + $0 }.joined())
            from \(versions.oldView) as old
            full join \(versions.newView) as new on \(versions.match("old", "new"))
            """
        )
        self.oldRows = try counts.int64(0, 0) ?? 0
        self.newRows = try counts.int64(0, 1) ?? 0
        self.onlyOld = try counts.int64(0, 2) ?? 0
        self.onlyNew = try counts.int64(0, 3) ?? 0
        self.changed = try counts.int64(0, 4) ?? 0
        for (index, column) in compared.enumerated() {
            let rows = try counts.int64(0, 5 + index) ?? 0
            if rows > 0 { self.columns.append((column.name, rows)) }
        }
    }

    private mutating func sampleChanges(
        _ versions: VersionPair,
        _ compared: [VersionPair.Column],
        on connection: Connection
    ) async throws {
        let values = compared.enumerated().map { index, column in
            "(\(index), \(SQLText.literal(column.name)), old.\(column.sql)::text, new.\(column.sql)::text, \(column.differs))"
        }
        self.samples += try await connection.decode(
            """
            select 'changed' as kind, jsonb_build_array(\(versions.keys(of: "new")))::text as key,
                cell.name as "column", cell.before as old, cell.after as new
            from \(versions.oldView) as old
            join \(versions.newView) as new on \(versions.match("old", "new"))
            cross join lateral (
                values \(values.joined(separator: ",\n        "))
            ) as cell(column_index, name, before, after, differs)
            where cell.differs
            order by \(versions.keys(of: "new")), cell.column_index
            limit \(Self.samplesMax)
            """
        )
    }

    private mutating func sample(
        _ kind: Difference.Kind,
        _ present: String,
        _ absent: String,
        _ versions: VersionPair,
        on connection: Connection
    ) async throws {
        let views = ["old": versions.oldView, "new": versions.newView]
        let found = try await connection.query(
            """
            select jsonb_build_array(\(versions.keys(of: present)))::text
            from \(views[present] ?? "") as \(present)
            where not exists (
                select from \(views[absent] ?? "") as \(absent) where \(versions.match("old", "new"))
            )
            order by \(versions.keys(of: present))
            limit \(Self.samplesMax)
            """
        )
        self.samples += try found.texts().map { Difference(kind: kind, key: $0) }
    }

    private mutating func compare(_ name: String, _ versions: VersionPair, on connection: Connection) async throws {
        let fresh = versions.freshMilestones(where: "next.milestone = \(SQLText.literal(name))")
        let count = try await connection.number("select count(*) from (\(fresh)) as fresh")
        var milestone = Milestone(name: name, count: count, keys: [])
        if milestone.count > 0 {
            let keys = versions.plan.keyList.joined(separator: ", ")
            let found = try await connection.query(
                "select jsonb_build_array(\(keys))::text from (\(fresh)) as fresh order by \(keys) limit \(Self.samplesMax)"
            )
            milestone.keys = try found.texts()
        }
        self.milestones.append(milestone)
    }
}
