import TidemarkCore

extension ProjectionReader {
    private static let partNames = "a column name, $header.NAME, $position, $event_time or $received"

    /// - Parameters:
    ///   - positionKind: the declared type of `$position`.
    ///   - encodings: the encodings of columns that are declared here.
    func sequence(
        _ columns: [ProjectionDefinition.Column]?,
        positionKind: inout Position.Kind?,
        encodings: inout [String: ValueEncoding]
    ) -> [ProjectionDefinition.SequencePart] {
        guard let node = self.map.required("sequence", "name what orders the events: \(Self.partNames)") else {
            return []
        }
        // A single mapping is one part.
        var parts: [ProjectionDefinition.SequencePart] = []
        for item in node.isMapping ? [node] : node.oneOrMore("sequence part") {
            guard let part = self.part(item, columns, positionKind: &positionKind, encodings: &encodings) else {
                continue
            }
            if parts.contains(where: { $0.name == part.name }) {
                item.fail("\(item.isMapping ? "the column" : item.shownText) is named twice")
            } else {
                parts.append(part)
            }
        }
        if parts == [.eventTime] {
            node.warn(
                "$event_time alone leaves events of one tick to the tie-breakers and records them as conflicts; "
                    + "[$event_time, $position] is better"
            )
        }
        if parts == [.received] {
            node.warn(
                "$received alone trusts the order of arrival, and rows may differ with the order in which sources are read"
            )
        } else if parts.contains(.received) {
            node.warn("$received trusts the order of arrival where the other parts are equal")
        }
        return parts
    }

    private func part(
        _ node: ConfigurationNode,
        _ columns: [ProjectionDefinition.Column]?,
        positionKind: inout Position.Kind?,
        encodings: inout [String: ValueEncoding]
    ) -> ProjectionDefinition.SequencePart? {
        guard node.isMapping else {
            guard let name = node.partText(Self.partNames) else { return nil }
            switch name {
            case "$position": return .position
            case "$event_time": return .eventTime
            case "$received": return .received
            case _ where name.begins(with: "$") && !Self.isHeader(name):
                return node.refused("\(node.shownText) is not a sequence part; use \(Self.partNames)")
            default: return self.column(name, node, declared: nil, columns)
            }
        }
        guard let map = node.mapping(ConfigurationKeys.sequencePart) else { return nil }
        guard let column = map.required("column", "name a column, or write the part without braces"),
            let name = column.partText("a column")
        else { return nil }
        if name.begins(with: "$") && !Self.isHeader(name) || columns?.contains(where: { $0.name == name }) == true {
            map["encoding"]?.fail("goes with a column that is declared here; of one under columns, say it there")
        }
        if name == "$position", let type = map["type"] {
            positionKind = type.choice(Position.Kind.allCases)
            return .position
        }
        if name.begins(with: "$"), !Self.isHeader(name) {
            return column.refused("\(column.shownText) is not a column; write it without braces")
        }
        let declared = map["type"].flatMap { $0.columnType() }
        if let encoding = map["encoding"].flatMap({ self.encoding($0, of: declared) }) { encodings[name] = encoding }
        guard let declared else { return self.column(name, column, declared: nil, columns) }
        return self.column(name, map["type"] ?? column, declared: declared, columns)
    }

    /// Whether a column's name stands for a header, as in `$header.NAME`.
    static func isHeader(_ name: String) -> Bool {
        name.utf8.starts(with: ProjectionPlan.headerPrefix) && name.utf8.count > ProjectionPlan.headerPrefix.count
    }

    /// An encoding that goes with the type; without one, with a whole number.
    func encoding(_ node: ConfigurationNode, of type: ColumnType?) -> ValueEncoding? {
        guard let encoding = node.choice(ValueEncoding.allCases) else { return nil }
        let type = type ?? .numeric(precision: nil, scale: 0)
        let encodings = ColumnRules.encodings(for: type)
        guard encodings.contains(encoding) else {
            let names = encodings.map(\.rawValue).joined(separator: ", ")
            return node.refused("\(encoding.rawValue) does not go with \(type.sql), which takes \(names)")
        }
        return encoding
    }

    private func column(
        _ name: String,
        _ node: ConfigurationNode,
        declared: ColumnType?,
        _ columns: [ProjectionDefinition.Column]?
    ) -> ProjectionDefinition.SequencePart {
        let column = columns?.first { $0.name == name }
        if let type = declared ?? column?.type, type.sequenceKind == nil {
            node.fail("\(type.sql) has no order to compare; use a number, a timestamp or a text")
        }
        if let declared, let column, declared != column.type {
            node.fail("\"\(name)\" is \(column.type.sql) under columns; leave the type out here, or make them one")
        }
        if declared == nil, column == nil, let renamed = columns?.first(where: { $0.from == name }) {
            node.fail(
                "\(node.shownText) is called \"\(renamed.name)\" under columns; use that name, or declare its type here"
            )
        }
        return .column(name, type: declared)
    }

    // MARK: Contiguous

    func contiguous(
        _ sequence: [ProjectionDefinition.SequencePart],
        _ columns: [ProjectionDefinition.Column]?
    ) -> ProjectionDefinition.Contiguous {
        guard let node = self.map["contiguous"], let value = node.contiguous() else { return .no }
        guard value != .no, !sequence.isEmpty else { return value }
        let need = "needs exactly one column as sequence, a whole number"
        guard sequence.count == 1, case .column(let name, let declared) = sequence[0] else {
            let found = sequence.count == 1 ? "is \(sequence[0].name)" : "has \(sequence.count) parts"
            node.fail("\(need), where sequence \(found)")
            return value
        }
        switch declared ?? columns?.first(where: { $0.name == name })?.type {
        case nil, .bigint, .integer, .smallint, .numeric(_, scale: 0): break
        case let type?: node.fail("\(need), where it is \(type.sql); make it bigint, or leave contiguous out")
        }
        return value
    }
}

extension ConfigurationNode {
    fileprivate func contiguous() -> ProjectionDefinition.Contiguous? {
        let what = "true, from_first or false"
        guard let scalar = self.scalar(what) else { return nil }
        if scalar.text == "from_first" { return .fromFirst }
        if scalar.type == .boolean || scalar.isReplaced {
            switch scalar.text.lowercased() {
            case "true": return .fromOne
            case "false": return .no
            default: break
            }
        }
        return self.refuse(scalar, what)
    }

    /// One of the types that columns can have.
    func columnType() -> ColumnType? {
        guard let text = self.text("a type") else { return nil }
        if let type = ColumnType(text) { return type }
        return self.refused("\(self.shownText) is not a type; use \(ColumnType.supportedNames)")
    }
}
