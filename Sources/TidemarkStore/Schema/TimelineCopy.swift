import LibPQ
import TidemarkCore

/// A copy of a projection's timeline, made in pages beside it, that takes its place.
package struct TimelineCopy {
    private let projection: String
    private let key: [StoredDefinition.Part]
    private let purpose: Purpose
    /// Of the relations, for those that take their places.
    private var attributes: RelationAttributes?

    /// Quoted.
    let keys: [String]

    /// How many events one transaction copies.
    package static let pageEvents = 20_000

    /// What a copy is for. Its table's name ends so.
    enum Purpose: String, CaseIterable {
        case conversion = "typed"
        case compaction = "compact"
    }

    init(_ projection: String, _ stored: StoredDefinition, for purpose: Purpose) {
        self.projection = projection
        self.key = stored.key
        self.keys = stored.key.map { SQLText.identifier($0.name) }
        self.purpose = purpose
    }

    var old: String { RelationNames.storage(self.projection + "_events").sql }
    var new: RelationNames.Relation { Self.name(of: self.projection, self.purpose) }
    private var former: String { RelationNames.storage(self.projection + "_events.former").sql }

    private static func name(of projection: String, _ purpose: Purpose) -> RelationNames.Relation {
        RelationNames.storage("\(projection)_events.\(purpose.rawValue)")
    }

    /// SQL that tells whether rows of two relations are one event.
    func match(_ left: String, _ right: String) -> String {
        (self.keys + ["order_key"]).map { "\(left).\($0) = \(right).\($0)" }.joined(separator: " and ")
    }

    func isThere(on connection: Connection) async throws -> Bool {
        try await Self.isThere(self.new.sql, on: connection)
    }

    private static func isThere(_ table: String, on connection: Connection) async throws -> Bool {
        try await connection.query("select to_regclass($1::text) is not null", [.text(table)]).bool(0, 0) ?? false
    }

    /// Creates the copy, and records whose it is.
    /// - Parameter table: the statements that create it.
    func create(_ table: String, on connection: Connection) async throws {
        try await self.refuseRowSecurity(on: connection)
        try await connection.execute(table)
        _ = try await connection.query(
            """
            insert into tidemark_internal.relations (schema_name, relation_name, kind, projection)
            values ($1::text, $2::text, 'table', $3::text)
            """,
            [.text(self.new.schema), .text(self.new.name), .text(self.projection)]
        )
    }

    /// The copy has the grants of the table, and would show its readers what policies keep from them.
    private func refuseRowSecurity(on connection: Connection) async throws {
        let found = try await connection.query(
            """
            select table_.relrowsecurity or exists (select from pg_catalog.pg_policy where polrelid = table_.oid)
            from pg_catalog.pg_class as table_ where table_.oid = $1::text::regclass
            """,
            [.text(self.old)]
        )
        guard try found.bool(0, 0) == true else { return }
        throw StoreError(
            .configuration,
            "\(self.old) has row-level security, which a copy in its place would lack; drop the policies, turn it off (alter "
                + "table \(self.old) disable row level security), repeat this, and create them again"
        )
    }

    /// Creates the copy with the columns, constraints, indexes, storage parameters and the tablespace of the table.
    func createAlike(on connection: Connection) async throws {
        let found = try await connection.query(
            """
            select array_to_string(table_.reloptions, ', '), quote_ident(space.spcname)
            from pg_catalog.pg_class as table_
            left join pg_catalog.pg_tablespace as space on space.oid = table_.reltablespace
            where table_.oid = $1::text::regclass
            """,
            [.text(self.old)]
        )
        let options = try found.text(0, 0).map { " with (\($0))" } ?? ""
        let space = try found.text(0, 1).map { " tablespace \($0)" } ?? ""
        try await self.create(
            "create table \(self.new.sql) (like \(self.old) including all)\(options)\(space)",
            on: connection
        )
    }

    /// Removes a key's events from unfinished copies, which would keep its content. A conversion that is resumed copies the
    /// erased events in their place.
    static func forget(_ projection: String, _ match: String, _ key: [String], on connection: Connection) async throws {
        for purpose in Purpose.allCases {
            let copy = Self.name(of: projection, purpose).sql
            guard try await Self.isThere(copy, on: connection) else { continue }
            _ = try await connection.query("delete from \(copy) as kept where \(match)", key.map { .text($0) })
        }
    }

    private func forgetRecord(on connection: Connection) async throws {
        _ = try await connection.query(
            "delete from tidemark_internal.relations where schema_name = $1::text and relation_name = $2::text",
            [.text(self.new.schema), .text(self.new.name)]
        )
    }

    /// Drops the copy where there is one.
    func drop(on connection: Connection) async throws {
        try await self.forgetRecord(on: connection)
        try await connection.execute("drop table if exists \(self.new.sql)")
    }

    /// The events behind the last one that is in the copy, in the order of the primary key.
    /// - Returns: a subquery, and its parameters.
    func nextPage(on connection: Connection) async throws -> (events: String, parameters: [Parameter]) {
        // Qualified, because a bare name would mean the selected text: the last of ten numbers would be 9.
        let descending = (self.keys + ["order_key"]).map { "kept.\($0) desc" }.joined(separator: ", ")
        let last = (self.keys.map { "kept.\($0)::text" } + ["kept.order_key"]).joined(separator: ", ")
        let order = (self.keys + ["order_key"]).map { "event.\($0)" }.joined(separator: ", ")
        let found = try await connection.query(
            "select \(last) from \(self.new.sql) as kept order by \(descending) limit 1"
        )
        var condition = "true"
        var parameters: [Parameter] = []
        if found.rowCount == 1 {
            let bounds = self.key.enumerated().map { "$\($0.offset + 1)::text::\($0.element.type)" }
            let all = (bounds + ["$\(bounds.count + 1)::bytea"]).joined(separator: ", ")
            condition = "(\(order)) > (\(all))"
            parameters = try bounds.indices.map { Parameter.text(try found.text(0, $0) ?? "") }
            parameters.append(.bytes(try found.bytes(0, bounds.count) ?? []))
        }
        let page = """
            (
                select * from \(self.old) as event
                where \(condition)
                order by \(order)
                limit \(Self.pageEvents)
            )
            """
        return (page, parameters)
    }

    /// Gives the table's name to the new one. The views stand on the former one until they are replaced, in the same
    /// transaction; ``finish(owning:on:)`` drops it.
    mutating func swap(on connection: Connection) async throws {
        try await self.refuseRowSecurity(on: connection)
        try await self.forgetRecord(on: connection)
        let relations = try await ProjectionRegistry.relations(of: self.projection, on: connection)
        self.attributes = try await RelationAttributes.read(relations, on: connection)
        let inTheWay = StoreError(
            .failed,
            "sessions have read projection \(self.projection) without a pause for \(ProjectionLocks.lockLimit), so its timeline "
                + "was not replaced; end the longest query of it (pg_stat_activity), or try again"
        )
        func name(_ relation: String) -> String { SQLText.identifier(self.projection + relation) }
        var locks = BriefLocks(until: .now + ProjectionLocks.lockLimit)
        try await locks.perform(on: connection, otherwise: inTheWay) {
            try await connection.execute(
                """
                alter table \(self.old) rename to \(name("_events.former"));
                alter table \(self.new.sql) rename to \(name("_events"))
                """
            )
        }
        try await connection.execute("set local lock_timeout = 0")
    }

    /// Behind the views: drops the former table.
    /// - Parameter owning: a statement that gives functions to the owner of the table.
    func finish(owning: String, on connection: Connection) async throws {
        try await ProjectionRegistry.drop([self.former], "table", of: self.projection, on: connection)
        try await self.renameIndexes(on: connection)
        if let attributes { try await connection.execute(attributes.restoring(["table"])) }
        try await connection.execute(owning)
    }

    private func renameIndexes(on connection: Connection) async throws {
        let found = try await connection.query(
            """
            select c.relname::text
            from pg_catalog.pg_index as i
            join pg_catalog.pg_class as c on c.oid = i.indexrelid
            where i.indrelid = $1::text::regclass and strpos(c.relname, $2::text) > 0
            """,
            [.text(self.old), .text(".\(self.purpose.rawValue)")]
        )
        for index in try found.texts() {
            let relation = RelationNames.storage(index).sql
            try await connection.execute(
                "alter index \(relation) rename to \(SQLText.identifier(index.replacing(".\(self.purpose.rawValue)", with: "")))"
            )
        }
    }
}
