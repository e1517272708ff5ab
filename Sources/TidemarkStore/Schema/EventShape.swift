import LibPQ
package import TidemarkCore

/// How a timeline's table holds what an event carries, as SQL over a row of it.
///
/// With declared columns each has a column of its type, named `.NAME`, and the image is made of them where it is asked
/// for: as JSON text it took half of a row, mostly names. Without declared columns a row holds the image. An event that
/// lacks columns names them in `missing`. A column that was configured after events had been seen has a second one,
/// `+NAME`: true for the events that were read with it.
package struct EventShape {
    package struct Column {
        package var name: String
        package var type: ColumnType
        /// Quoted.
        package var storage: String
        /// Quoted; `nil` where every event was read with the column.
        package var told: String?
    }

    /// `nil` for whole rows.
    package let columns: [Column]?
    /// The table has the form of schema versions before the twentieth: names, texts and JSON.
    package let isFormer: Bool
    /// The declared columns that are part of the key.
    private let keys: [(name: String, type: ColumnType)]
    /// The declared column whose value is the state; `nil` where a row holds the state beside it.
    let stateColumn: Column?
    /// The declared column whose number is the sequence. A row holds the sequence where the event does not carry it.
    package let sequenceColumn: Column?

    package init(_ plan: ProjectionPlan) {
        let late = Set(plan.lateColumns.map { String(decoding: $0, as: UTF8.self) })
        self.init(
            columns: plan.definition.columns.map { $0.map { ($0.name, $0.type) } },
            key: plan.definition.key,
            late: late,
            state: plan.definition.state?.column,
            hasStateNames: !(plan.definition.state?.map ?? [:]).isEmpty,
            sequence: StoredDefinition(plan).sequence.map(\.name)
        )
    }

    /// - Parameter isFormer: the table has the form of schema versions before the twentieth.
    init(_ stored: StoredDefinition, isFormer: Bool = false) {
        self.init(
            columns: isFormer ? nil : stored.columns.map { $0.map { ($0.name, ColumnType($0.type) ?? .text) } },
            key: stored.key.map(\.name),
            late: Set(stored.late ?? []),
            state: stored.state,
            hasStateNames: !stored.stateNames.isEmpty,
            sequence: stored.sequence.map(\.name),
            isFormer: isFormer
        )
    }

    private init(
        columns: [(name: String, type: ColumnType)]?,
        key: [String],
        late: Set<String>,
        state: String?,
        hasStateNames: Bool,
        sequence: [String],
        isFormer: Bool = false
    ) {
        self.isFormer = isFormer
        let ordered = columns?.sorted { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
        self.keys = (ordered ?? []).filter { key.contains($0.name) }
        let values = ordered?.filter { !key.contains($0.name) }.map { name, type in
            Column(
                name: name,
                type: type,
                storage: Self.storage(of: name),
                told: late.contains(name) ? Self.told(name) : nil
            )
        }
        self.columns = values
        let named = values?.first { $0.name == state }
        let isText = if case .text? = named?.type { true } else { false }
        self.stateColumn = isText && !hasStateNames ? named : nil
        let first = values?.first { sequence.count == 1 && $0.name == sequence[0] }
        self.sequenceColumn = first?.type.isInteger == true ? first : nil
    }

    /// The form that a projection's timeline has now, which may wait for `tidemark migrate`.
    static func read(
        _ stored: StoredDefinition,
        of projection: String,
        on connection: Connection
    ) async throws -> EventShape {
        EventShape(stored, isFormer: try await Self.isFormer(projection, on: connection))
    }

    /// Whether a projection's timeline has the form of schema versions before the twentieth.
    static func isFormer(_ projection: String, on connection: Connection) async throws -> Bool {
        let found = try await connection.query(
            """
            select exists (
                select from pg_catalog.pg_attribute
                where attrelid = to_regclass($1::text) and attname = 'source' and not attisdropped
            )
            """,
            [.text(RelationNames.storage(projection + "_events").sql)]
        )
        return try found.bool(0, 0) ?? false
    }

    static func storage(of name: String) -> String { SQLText.identifier(Self.shortened("." + name)) }
    static func told(_ name: String) -> String { SQLText.identifier(Self.shortened("+" + name)) }

    /// PostgreSQL cuts names behind 63 bytes, where two could become one.
    private static func shortened(_ name: String) -> String {
        guard name.utf8.count > 63 else { return name }
        let digest = DigestContext.sha256(Array(name.utf8)).prefix(8).map { byte in
            String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        return String(decoding: Array(name.utf8).prefix(40), as: UTF8.self).filter { $0 != "\u{FFFD}" }
            + digest.joined()
    }

    package var holdsImage: Bool { self.columns == nil }
    /// Whether rows are given the state. Where a column tells it, only those have it that were written before that column
    /// was configured.
    package var holdsState: Bool { self.stateColumn == nil }

    // MARK: Expressions

    /// The name of the event's source.
    package func source(_ row: String) -> String {
        self.isFormer
            ? "\(row).source"
            : "(select origin.source from tidemark_internal.origins as origin where origin.id = \(row)._origin)"
    }

    /// The position, as the message had it: whole, or the origin's prefix and the half bytes. What reads the origins is in
    /// the views and not in a function, which would need the rights of who asks.
    package func position(_ row: String) -> String {
        guard !self.isFormer else { return "\(row).position" }
        return """
            coalesce(
                \(row)._position,
                (
                    select origin.prefix from tidemark_internal.origins as origin
                    where origin.id = \(row)._origin and \(row).position is not null
                ) || tidemark_internal.unpack_position(\(row).position)
            )
            """
    }

    /// The sequence as people read it.
    package func sequence(_ row: String) -> String {
        self.sequenceColumn.map { "coalesce(\(row).sequence, \(row).\($0.storage)::text)" } ?? "\(row).sequence"
    }

    /// `forget` took the content of the event.
    package func isErased(_ row: String) -> String {
        self.isFormer
            ? "(\(row).op <> 'd' and \(row).image is null)"
            : "(coalesce(\(row)._remarks, 0) & \(Remarks.erased.rawValue) <> 0)"
    }

    /// The state that the event tells.
    package func state(_ row: String) -> String {
        self.stateColumn.map { "coalesce(\(row).\($0.storage), \(row).state)" } ?? "\(row).state"
    }

    /// Whether the event, which is no delete, carries a declared column.
    package func carries(_ column: Column, _ row: String) -> String {
        let isNamed = "(\(row).missing is null or \(SQLText.literal(column.name)) <> all (\(row).missing))"
        return column.told.map { "(\(row).\($0) is true and \(isNamed))" } ?? isNamed
    }

    /// Whether it was read with every column that is configured now.
    package func wasReadWithAll(_ row: String) -> String? {
        let late = (self.columns ?? []).compactMap(\.told)
        guard !late.isEmpty else { return nil }
        return late.map { "\(row).\($0) is true" }.joined(separator: " and ")
    }

    /// The image as `jsonb`; null for a delete and for an event that was erased.
    package func image(_ row: String) -> String {
        guard let columns else { return "\(row).image::jsonb" }
        var pairs = self.keys.map {
            (name: $0.name, value: Self.json(row + "." + SQLText.identifier($0.name), $0.type))
        }
        pairs += columns.filter { $0.told == nil }.map { ($0.name, Self.json("\(row).\($0.storage)", $0.type)) }
        // A function has at most 100 arguments.
        var objects = stride(from: 0, to: pairs.count, by: 50).map { start in
            let chunk = pairs[start..<min(start + 50, pairs.count)].map { "\(SQLText.literal($0.name)), \($0.value)" }
            return "jsonb_build_object(\(chunk.joined(separator: ", ")))"
        }
        for column in columns {
            guard let told = column.told else { continue }
            let value = Self.json("\(row).\(column.storage)", column.type)
            objects.append(
                "case when \(row).\(told) then jsonb_build_object(\(SQLText.literal(column.name)), \(value)) else '{}' end"
            )
        }
        let whole = objects.isEmpty ? "'{}'::jsonb" : objects.joined(separator: " || ")
        return """
            case
                -- An outer join finds no event.
                when \(row).op is null or \(row).op = 'd' or \(self.isErased(row)) then null
                when \(row).missing is null then \(whole)
                else (\(whole)) - \(row).missing
            end
            """
    }

    /// A value as images have it: in canonical text, whatever the session's time zone, date style or form of bytes.
    static func json(_ value: String, _ type: ColumnType) -> String {
        switch type {
        case .bigint, .integer, .smallint, .numeric, .boolean, .text, .varchar, .uuid, .date, .time, .timestamp:
            "to_jsonb(\(value))"
        case .doublePrecision, .real, .timestamptz, .bytea, .jsonb: "tidemark_internal.image_value(\(value))"
        }
    }

    /// Whether two events of one sequence with different order keys, neither of them a delete, differ in a column that both
    /// carry.
    func contradict(_ left: String, _ right: String) -> String {
        guard let columns else { return "tidemark_internal.differ(\(left).image, \(right).image)" }
        let parts = columns.map { column in
            func value(_ row: String) -> String {
                // By their bits: two zeros are told apart.
                switch column.type {
                case .doublePrecision: "float8send(\(row).\(column.storage))"
                case .real: "float4send(\(row).\(column.storage))"
                default: "\(row).\(column.storage)"
                }
            }
            return """
                \(value(left)) is distinct from \(value(right)) and \(self.carries(column, left)) and \(self.carries(column, right))
                """
        }
        // Of complete ones the order keys say it: their digests are made of all columns, those too that are configured no
        // more.
        let differ = ["\(left).missing is null and \(right).missing is null"] + parts
        return "(not \(self.isErased(left)) and not \(self.isErased(right)) and (\(differ.joined(separator: " or "))))"
    }
}

extension ColumnType {
    var isInteger: Bool {
        switch self {
        case .bigint, .integer, .smallint: true
        default: false
        }
    }

    /// On how many bytes PostgreSQL aligns a value of fixed width; `nil` for others.
    var alignment: Int? {
        switch self {
        case .bigint, .timestamptz, .timestamp, .time, .doublePrecision: 8
        case .integer, .date, .real: 4
        case .smallint: 2
        case .boolean, .uuid: 1
        case .numeric, .text, .varchar, .jsonb, .bytea: nil
        }
    }
}
