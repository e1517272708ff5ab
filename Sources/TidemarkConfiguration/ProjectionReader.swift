import Foundation
import TidemarkCore

/// Reads one projection. Errors go to the context; invalid values are left out, and the result is discarded.
struct ProjectionReader {
    let map: ConfigurationMapping
    /// Names that `notify` may use.
    let notifiers: Set<String>

    func read() -> ProjectionDefinition {
        let name = self.name()
        var columns = self.map["columns"].map(self.columns)
        var sources: [String: String] = [:]
        let key = self.key(&columns, headers: &sources)
        var positionKind: Position.Kind?
        var encodings: [String: ValueEncoding] = [:]
        var projection = ProjectionDefinition(
            name: name,
            from: self.from(),
            key: key,
            sequence: self.sequence(columns, positionKind: &positionKind, encodings: &encodings)
        )
        projection.positionKind = positionKind
        projection.sequenceEncodings = encodings
        projection.keyHeaders = sources
        projection.columns = columns
        (projection.schema, projection.table) = self.table(default: name)
        projection.state = self.state()
        projection.tags = self.map["tags"]?.mapping(ConfigurationKeys.tags).flatMap(self.tags)
        if let value = self.map["timeline"]?.boolean() { projection.timeline = value }
        if let value = self.map["on_truncate"]?.choice([ProjectionDefinition.TruncateRule.record, .delete]) {
            projection.onTruncate = value
            if value == .delete, !projection.sequence.isEmpty, projection.sequence[0] != .position {
                self.map["on_truncate"]?.fail("delete needs $position as the first part of sequence")
            }
        }
        projection.contiguous = self.contiguous(projection.sequence, columns)
        projection.lifecycle = self.map["lifecycle"]?.mapping(ConfigurationKeys.lifecycle).flatMap(self.lifecycle)
        if let milestones = self.map["milestones"] {
            projection.milestones = self.milestones(milestones, projection.lifecycle)
        }
        self.checkCount(projection)
        self.checkStates(projection)
        self.checkSpellings(projection)
        return projection
    }

    private func name() -> String {
        let rule = "a name of lower-case letters, digits and _ that begins with no digit, up to 40 bytes"
        guard let node = self.map.required("name", "give the projection \(rule)"), let text = node.text(rule) else {
            return ""
        }
        guard text.utf8.count <= 40, text.wholeMatch(of: #/[a-z_][a-z0-9_]*/#) != nil else {
            node.fail("\(node.shownText) is not \(rule)")
            return ""
        }
        return text
    }

    private func from() -> [String] {
        var texts: [String] = []
        var patterns: Set<TablePattern> = []
        for node in self.map.required("from", "name the tables, as in shop.orders")?.oneOrMore("table") ?? [] {
            guard let text = node.text(TableRules.example),
                let pattern = node.tablePattern(text, shown: node.shownText)
            else { continue }
            if patterns.insert(pattern).inserted {
                texts.append(text)
            } else {
                node.fail("\(node.shownText) is named twice")
            }
        }
        return texts
    }

    // MARK: Key

    /// - Parameter headers: by the name of a key column, the header that it is.
    private func key(
        _ columns: inout [ProjectionDefinition.Column]?,
        headers: inout [String: String]
    ) -> [String] {
        var key: [String] = []
        for node in self.map.required("key", "name the column or columns of the key")?.oneOrMore("column") ?? [] {
            guard var column = node.partText("a column, $header.NAME, $tag or $database") else { continue }
            if Self.isHeader(column) {
                guard let name = self.headerColumn(column, node, &columns) else { continue }
                headers[name] = column
                column = name
            }
            let isDatabase = column == "$database"
            let name = isDatabase ? ProjectionDefinition.databaseColumn : column
            if key.contains(name) {
                node.fail("\(node.shownText) is named twice")
                continue
            }
            key.append(name)
            if isDatabase { continue }
            if ColumnRules.reservedInKey.contains(column) {
                node.fail(
                    "\(node.shownText) cannot be a key column: the relations that show keys have a column of that name; "
                        + "rename it with columns: { order_\(column): { type: …, from: \(column) } }"
                )
                continue
            }
            if column.begins(with: ".") || column.begins(with: "+"),
                columns?.contains(where: { $0.name == column.dropFirst() }) == true
            {
                node.fail(
                    "\(node.shownText) cannot be a key column beside \"\(column.dropFirst())\": the timeline's storage has a "
                        + "column of that name; give one of them another name, and from: for its name at the source"
                )
                continue
            }
            guard let columns else {
                if let problem = ColumnRules.problem(withName: column, shown: node.shownText) { node.fail(problem) }
                continue
            }
            if let declared = columns.first(where: { $0.name == column }) {
                if !ColumnRules.canBeKey(declared.type) {
                    node.fail(
                        "\(node.shownText) is \(declared.type.sql), which cannot be a key; "
                            + "use \(ColumnRules.keyTypeNames)"
                    )
                }
            } else if let renamed = columns.first(where: { $0.from == column }) {
                node.fail("\(node.shownText) is called \"\(renamed.name)\" under columns; use that name")
            } else if let problem = ColumnRules.problem(withName: column, shown: node.shownText) {
                node.fail(problem)
            }
        }
        if key.count > ColumnRules.keyColumnsMax {
            self.map["key"]?.fail(
                "names \(key.count) columns; an index of PostgreSQL has 32 at most, and that of the timeline has one more than "
                    + "the key: name up to \(ColumnRules.keyColumnsMax)"
            )
        }
        if key == [ProjectionDefinition.databaseColumn] {
            self.map["key"]?.fail(
                "holds $database alone, so that a database is one row; name a column of the row beside it"
            )
        }
        return key
    }

    /// The column that a header is in a key: the one under `columns` that is read from it, else one of its name.
    private func headerColumn(
        _ header: String,
        _ node: ConfigurationNode,
        _ columns: inout [ProjectionDefinition.Column]?
    ) -> String? {
        if let declared = columns?.first(where: { $0.from == header }) { return declared.name }
        let name = String(decoding: header.utf8.dropFirst(ProjectionPlan.headerPrefix.count), as: UTF8.self)
        let wayOut = "name its column, as in columns: { tenant: { type: text, from: \(header) } }"
        if columns?.contains(where: { $0.name == name }) == true {
            return node.refused("\(node.shownText) would be called \"\(name)\", which is another column; \(wayOut)")
        }
        if ColumnRules.problem(withName: name, shown: "") != nil {
            return node.refused("\(node.shownText) has a name that no column can have; \(wayOut)")
        }
        columns?.append(ProjectionDefinition.Column(name: name, from: header, type: .text))
        return name
    }

    // MARK: Table

    private func table(default name: String) -> (schema: String, table: String) {
        guard let node = self.map["table"] else { return ("public", name) }
        guard let text = node.text("a table such as public.orders") else { return ("", "") }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard (1...2).contains(parts.count), parts.allSatisfy(Self.isIdentifier) else {
            node.fail(
                "\(node.shownText) is not a table such as public.orders: letters, digits, _ and $, beginning with no digit"
            )
            return ("", "")
        }
        let schema = parts.count == 2 ? parts[0] : "public"
        if schema.utf8.count > 63 { node.fail("the schema's name is longer than PostgreSQL's 63 bytes") }
        if ["tidemark", "tidemark_internal", "information_schema"].contains(schema) || schema.hasPrefix("pg_") {
            node.fail("is in a schema that is not for tables of yours; use another")
        }
        let longest = ProjectionDefinition.relationSuffixes.max { $0.utf8.count < $1.utf8.count } ?? ""
        if parts[parts.count - 1].utf8.count + longest.utf8.count > 63 {
            node.fail(
                "is too long: with \(longest) behind it a name has up to 63 bytes, which leaves "
                    + "\(63 - longest.utf8.count)"
            )
        }
        return (schema, parts[parts.count - 1])
    }

    private static func isIdentifier(_ text: String) -> Bool {
        guard let first = text.unicodeScalars.first, first == "_" || first.properties.isAlphabetic else { return false }
        return text.unicodeScalars.allSatisfy {
            $0 == "_" || $0 == "$" || ("0"..."9").contains($0) || $0.properties.isAlphabetic
        }
    }

    // MARK: State and tags

    private func state() -> ProjectionDefinition.StateRule? {
        guard let node = self.map["state"] else { return nil }
        guard node.isMapping else {
            return node.sourceColumn("the column that holds the state").map {
                ProjectionDefinition.StateRule(column: $0)
            }
        }
        guard let map = node.mapping(ConfigurationKeys.state) else { return nil }
        var names: [String: String] = [:]
        for (value, name) in map["map"]?.entries(of: "values and the states they stand for") ?? [] {
            names[value] = name.shortText("a state", bytesMax: 255)
        }
        guard let from = map.required("from", "name the column that holds the state"),
            let column = from.sourceColumn("a column")
        else { return nil }
        return ProjectionDefinition.StateRule(column: column, map: names)
    }

    private func tags(_ map: ConfigurationMapping) -> ProjectionDefinition.TagRule? {
        let column = map["from"]?.sourceColumn("a column")
        guard let node = map.required("accept", "write \"paid || shipped\", or \"*\" for all"),
            let text = node.text("tags such as \"paid || shipped\", or \"*\" for all")
        else { return nil }
        if text.trimmed == "*" { return ProjectionDefinition.TagRule(column: column, accepted: nil) }
        let tags = text.split(separator: "||", omittingEmptySubsequences: false).map { String($0).trimmed }
        if tags.contains("") || tags.contains(where: { $0.contains("|") }) {
            node.fail("\(node.shownText) is not a list of tags; write \"paid || shipped\", or \"*\" for all")
        } else if tags.contains("*") {
            node.fail("\(node.shownText) takes all tags and some; write \"*\" alone, or leave it out")
        }
        return ProjectionDefinition.TagRule(column: column, accepted: Set(tags))
    }
}

extension String {
    var trimmed: String { self.trimmingCharacters(in: [" ", "\t", "\n"]) }
}
