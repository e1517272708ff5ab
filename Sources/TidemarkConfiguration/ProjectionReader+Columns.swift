import TidemarkCore

/// The rules for names and types of columns.
enum ColumnRules {
    /// PostgreSQL has 32 columns in an index at most; the indices of milestones and of the timeline have one more than the
    /// key.
    static let keyColumnsMax = 31
    /// Names of other columns in the relations that have the key.
    static let reservedInKey: Set<String> = [
        "sequence", "order_key", "op", "state", "event_time", "received_at", "late", "source", "position", "image",
        "missing", "first", "last", "milestone", "reached_at", "muted", "valid_from", "valid_to", "row",
    ]
    /// Names of other columns in the history.
    private static let reserved: Set<String> = ["valid_from", "valid_to"]
    /// PostgreSQL's limit.
    static let tableCountMax = 1600
    /// The columns that every projection has in the storage of its entities, and of its timeline, see `ProjectionDDL`.
    static let ownCount = 8
    static let timelineCount = 12
    /// PostgreSQL's system columns.
    private static let system: Set<String> = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"]

    static func problem(withName name: String, shown: String) -> String? {
        if name.isEmpty { return "a column needs a name" }
        if name.utf8.count > 63 { return "\(shown) is longer than PostgreSQL's 63 bytes" }
        if name.hasControlCharacter { return "\(shown) has a control character in it" }
        let way = "; give it another name, and from: for its name at the source"
        if name.begins(with: "_") { return "\(shown): names that begin with _ are Tidemark's own\(way)" }
        if name.begins(with: "$") {
            return "\(shown) is not a column: names that begin with $ stand for parts of messages"
        }
        if Self.reserved.contains(name) { return "\(shown) is a column of the history\(way)" }
        if Self.system.contains(name) { return "\(shown) is a column that PostgreSQL has in every table\(way)" }
        return nil
    }

    static let keyTypeNames =
        "bigint, integer, smallint, numeric, text, varchar, uuid, date, timestamptz, timestamp or boolean"

    static func canBeKey(_ type: ColumnType) -> Bool {
        switch type {
        case .bigint, .integer, .smallint, .numeric, .text, .varchar, .uuid, .date, .timestamptz, .timestamp, .boolean:
            true
        case .jsonb, .bytea, .real, .doublePrecision, .time: false
        }
    }

    /// The valid encodings of a type.
    static func encodings(for type: ColumnType) -> [ValueEncoding] {
        switch type {
        case .timestamptz, .timestamp, .date, .time: return [.none] + type.timeUnits
        case .bytea: return [.none, .base64, .base64URL, .hex, .latin1, .utf8]
        case .bigint, .integer, .smallint, .numeric: return [.none, .base64, .decimalBase64, .bitsBase64, .utf8]
        case .text, .varchar, .boolean, .doublePrecision, .real, .uuid, .jsonb: return [.none]
        }
    }
}

extension ProjectionReader {
    func columns(_ node: ConfigurationNode) -> [ProjectionDefinition.Column] {
        let entries = node.entries(of: "columns and their types")
        if entries.isEmpty, node.isMapping {
            node.fail("names no column; leave the key out to keep each row as jsonb")
        }
        return entries.compactMap { name, value in
            if let problem = ColumnRules.problem(withName: name, shown: ConfigurationNode.quoted(name)) {
                return value.refused(problem)
            }
            guard value.isMapping else {
                return value.columnType().map { ProjectionDefinition.Column(name: name, type: $0) }
            }
            return value.mapping(ConfigurationKeys.column).flatMap { self.column(name, $0) }
        }
    }

    /// The storage has the columns of the key and all others in one table, with Tidemark's own.
    func checkCount(_ projection: ProjectionDefinition) {
        guard let columns = projection.columns else { return }
        let count = Set(columns.map(\.name)).union(projection.key).count
        let entities =
            ColumnRules.ownCount + (projection.contiguous == .no ? 0 : 1) + (projection.onTruncate == .delete ? 1 : 0)
        let own = max(entities, projection.timeline ? ColumnRules.timelineCount : 0)
        let most = ColumnRules.tableCountMax - own
        guard count > most else { return }
        self.map["columns"]?.fail(
            "are \(count) columns with those of the key, where at most \(most) can be kept: a table of PostgreSQL has up "
                + "to \(ColumnRules.tableCountMax) columns, and \(own) are Tidemark's own; leave columns out, or leave "
                + "`columns` out to keep each row as jsonb"
        )
    }

    private func column(_ name: String, _ map: ConfigurationMapping) -> ProjectionDefinition.Column? {
        let from = map["from"]?.sourceColumn("the column's name at the source")
        let isUnsigned = map["unsigned"]?.boolean() ?? false
        guard let type = map.required("type", "use \(ColumnType.supportedNames)")?.columnType() else { return nil }
        let encoding = map["encoding"].flatMap { self.encoding($0, of: type) } ?? .none
        var column = ProjectionDefinition.Column(
            name: name,
            from: from,
            type: type,
            encoding: encoding,
            isUnsigned: isUnsigned
        )
        if isUnsigned {
            switch type {
            case .numeric: break
            case .bigint, .integer, .smallint:
                map["unsigned"]?.warn(
                    "the upper half of unsigned numbers does not fit \(type.sql); numeric(20,0) holds it"
                )
            default: map["unsigned"]?.fail("does not go with \(type.sql); it is for whole numbers")
            }
        }
        if let node = map["default"] { column.absentValue = self.absentValue(node, column) }
        return column
    }

    /// Checks a default as if it were a message's value.
    private func absentValue(_ node: ConfigurationNode, _ column: ProjectionDefinition.Column) -> String?? {
        guard let scalar = node.scalar("a value of type \(column.type.sql), or null") else { return nil }
        if scalar.type == .null, !scalar.isReplaced { return .some(nil) }
        let kind: Field.Kind =
            switch scalar.type {
            case .boolean where !scalar.isReplaced: scalar.text.lowercased() == "true" ? .true : .false
            case .integer where !scalar.isReplaced, .float where !scalar.isReplaced: .number
            default: .string
            }
        let bytes = Array(scalar.text.utf8)
        let range = ByteRange(start: 0, end: bytes.count)
        let field = Field(name: .empty, value: range, kind: kind)
        var encoder = ValueEncoder()
        do throws(ValueEncoder.Misfit) {
            let context = ValueEncoder.Context(writesJSONAsText: true)
            try encoder.encode(field, of: bytes.span, as: ColumnPlan(column), in: context)
        } catch {
            return node.refused("\(scalar.shown) is not a value of type \(column.type.sql): expected \(error.expected)")
        }
        return .some(scalar.text)
    }
}

extension ConfigurationNode {
    /// A text, in which `$tag` is the header that RocketMQ keeps a message's tag in.
    func partText(_ what: String) -> String? { self.text(what).map { $0 == "$tag" ? "$header.TAGS" : $0 } }

    /// The name of a column at the source, or `$header.NAME`, the header of a broker's message. Another name that begins
    /// with `$` is refused: it stands for a part of the message, so each value would be null.
    func sourceColumn(_ what: String) -> String? {
        guard let name = self.partText(what) else { return nil }
        guard name.begins(with: "$") else { return name }
        if ProjectionReader.isHeader(name) { return name }
        let wayOut =
            switch name {
            case "$database": "; it belongs in key"
            case "$position", "$event_time", "$received": "; it belongs in sequence"
            default: ": names that begin with $ stand for parts of messages, of which $header.NAME can be a column"
            }
        return self.refused("\(self.shownText) is not a column of the row\(wayOut)")
    }
}
