import TidemarkCore

/// A generated configuration: a projection and the settings of its source. It is written into the first line of an input,
/// so that a find stays one when what generates configurations changes.
struct FuzzConfiguration: Sendable {
    var definition: ProjectionDefinition
    var settings: SourceSettings

    static let marker = "tidemark-fuzz-configuration"
    private static let servers = ["3e11fa47-71ca-11e1-9e33-c80aa9429562", "0"]

    // MARK: Made up

    init(_ values: inout LimitValues) {
        let count = 2 + values.random.below(7)
        var columns: [ProjectionDefinition.Column] = (0..<count).map { index in
            // Key and sequence have types that can be ones, in most cases.
            let type = index < 2 && values.random.chance(80) ? Self.ordered(&values) : values.type()
            var column = ProjectionDefinition.Column(
                name: "c\(index)",
                type: type,
                encoding: values.encoding(for: type)
            )
            if values.random.chance(10) { column.from = "source_\(index)" }
            switch type {
            case .bigint, .integer, .smallint, .numeric: column.isUnsigned = values.random.chance(10)
            default: break
            }
            return column
        }
        for index in columns.indices where values.random.chance(15) {
            columns[index].absentValue =
                values.random.chance(40) ? .some(nil) : Self.defaultValue(columns[index], &values)
        }
        var sequence: [ProjectionDefinition.SequencePart] = []
        for _ in 0...values.random.below(3) {
            let part: ProjectionDefinition.SequencePart =
                switch values.random.below(8) {
                case 0: .position
                case 1: .eventTime
                case 2: .received
                case 3: .column("version", type: values.random.chance(50) ? nil : Self.ordered(&values))
                default: .column(columns[values.random.below(2)].name, type: nil)
                }
            if !sequence.contains(where: { $0.name == part.name }) { sequence.append(part) }
        }
        let key = values.random.chance(60) ? ["c0"] : values.random.chance(70) ? ["c0", "c1"] : ["id"]
        self.definition = ProjectionDefinition(name: "generated", from: ["*.*"], key: key, sequence: sequence)
        self.definition.columns = values.random.chance(85) ? columns : nil
        self.definition.timeline = values.random.chance(80)
        if sequence.count == 1, case .column = sequence[0], values.random.chance(30) {
            self.definition.contiguous = .fromOne
        }
        if values.random.chance(50) {
            self.definition.state = .init(
                column: values.pick(["status", columns[count - 1].name]),
                map: ["3": "shipped"]
            )
        }
        if values.random.chance(20) {
            self.definition.tags = .init(
                column: values.pick([nil, "status", columns[count - 1].name]),
                accepted: ["paid", "1"]
            )
        }
        if values.random.chance(20) { self.definition.onTruncate = .delete }
        self.settings = Self.settings(&values)
    }

    /// A type whose values have one order.
    private static func ordered(_ values: inout LimitValues) -> ColumnType {
        while true {
            let type = values.type()
            if type.sequenceKind != nil { return type }
        }
    }

    /// A text that the column takes, since the configuration is refused otherwise, and that this form can hold.
    private static func defaultValue(_ column: ProjectionDefinition.Column, _ values: inout LimitValues) -> String?? {
        var encoder = ValueEncoder()
        for _ in 0..<8 {
            let text = values.value(for: column).text
            guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "|") && $0 != UInt8(ascii: ";") })
            else { continue }
            let bytes = Array(text.utf8)
            let field = Field(name: .empty, value: ByteRange(start: 0, end: bytes.count), kind: .string)
            let context = ValueEncoder.Context(writesJSONAsText: true)
            if (try? encoder.encode(field, of: bytes.span, as: ColumnPlan(column), in: context)) != nil {
                return .some(text)
            }
        }
        return nil
    }

    private static func settings(_ values: inout LimitValues) -> SourceSettings {
        var settings = SourceSettings(name: "generated")
        settings.absent = values.random.chance(30) ? .null : .unchanged
        settings.replicaIdentities = Self.identities(
            isFull: values.random.chance(50),
            isIndex: values.random.chance(10)
        )
        settings.sendsMinimalImages = values.random.chance(20)
        settings.epoch = values.pick([0, 1, .max])
        if values.random.chance(20) { settings.gtidOrder = Self.servers }
        if values.random.chance(50) {
            settings.zone = .fixed(seconds: Int64(values.pick([-57_540, -25_200, 28_800, 57_540])))
        }
        return settings
    }

    private static func identities(isFull: Bool, isIndex: Bool) -> ReplicaIdentities {
        ReplicaIdentities(rest: isIndex ? .columns(["id"]) : isFull ? .full : .default)
    }

    // MARK: As a line

    var line: String {
        let columns = (self.definition.columns ?? []).map { column in
            let rule = column.absentValue.map { $0.map { "=\($0)" } ?? "null" } ?? ""
            let unsigned = column.isUnsigned ? "unsigned" : ""
            return [column.name, column.from, column.type.sql, column.encoding.rawValue, unsigned, rule].joined(
                separator: ":"
            )
        }
        let sequence = self.definition.sequence.map { part in
            if case .column(let name, let type?) = part { return "\(name):\(type.sql)" }
            return part.name
        }
        var flags: [String] = []
        if self.definition.timeline { flags.append("timeline") }
        if self.definition.contiguous == .fromOne { flags.append("contiguous") }
        if self.definition.onTruncate == .delete { flags.append("truncate") }
        if self.settings.absent == .null { flags.append("absent") }
        switch self.settings.replicaIdentities.rest {
        case .default: break
        case .full: flags.append("full")
        case .columns: flags.append("index")
        }
        if self.settings.sendsMinimalImages { flags.append("minimal") }
        if !self.settings.gtidOrder.isEmpty { flags.append("gtid") }
        var zone: Int64 = 0
        if case .fixed(let seconds) = self.settings.zone { zone = seconds }
        let parts = [
            Self.marker, columns.joined(separator: "|"), self.definition.key.joined(separator: "|"),
            sequence.joined(separator: "|"), self.definition.state?.column ?? "",
            self.definition.tags.map { "+" + ($0.column ?? "") } ?? "", flags.joined(separator: "|"),
            "\(self.settings.epoch)", "\(zone)",
        ]
        return parts.joined(separator: ";")
    }

    /// - Returns: `nil` for what no configuration is written as.
    init?(line: String) {
        let parts = line.split(separator: ";", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 9, parts[0] == Self.marker, let epoch = UInt32(parts[7]), let zone = Int64(parts[8]) else {
            return nil
        }
        func list(_ text: String) -> [String] { text.split(separator: "|").map(String.init) }
        let sequence = list(parts[3]).map { text -> ProjectionDefinition.SequencePart in
            switch text {
            case "$position": return .position
            case "$event_time": return .eventTime
            case "$received": return .received
            default:
                let pair = text.split(separator: ":", maxSplits: 1).map(String.init)
                return .column(pair[0], type: pair.count == 2 ? ColumnType(pair[1]) : nil)
            }
        }
        let key = list(parts[2])
        guard !key.isEmpty, !sequence.isEmpty else { return nil }
        var definition = ProjectionDefinition(name: "generated", from: ["*.*"], key: key, sequence: sequence)
        let columns = list(parts[1]).compactMap { Self.column($0) }
        definition.columns = columns.isEmpty ? nil : columns
        let flags = Set(list(parts[6]))
        definition.timeline = flags.contains("timeline")
        definition.contiguous = flags.contains("contiguous") ? .fromOne : .no
        definition.onTruncate = flags.contains("truncate") ? .delete : .record
        if !parts[4].isEmpty { definition.state = .init(column: parts[4], map: ["3": "shipped"]) }
        if parts[5].hasPrefix("+") {
            let column = String(parts[5].dropFirst())
            definition.tags = .init(column: column.isEmpty ? nil : column, accepted: ["paid", "1"])
        }
        definition.lifecycle = Lifecycle(initial: "created", transitions: ["created": ["paid"], "paid": ["shipped"]])
        definition.milestones = [Milestone(name: "shipped", state: "shipped")]
        self.definition = definition
        self.settings = SourceSettings(name: "generated")
        self.settings.absent = flags.contains("absent") ? .null : .unchanged
        self.settings.replicaIdentities = Self.identities(
            isFull: flags.contains("full"),
            isIndex: flags.contains("index")
        )
        self.settings.sendsMinimalImages = flags.contains("minimal")
        self.settings.gtidOrder = flags.contains("gtid") ? Self.servers : []
        self.settings.epoch = epoch
        if zone != 0 { self.settings.zone = .fixed(seconds: zone) }
    }

    private static func column(_ text: String) -> ProjectionDefinition.Column? {
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 6, let type = ColumnType(parts[2]), let encoding = ValueEncoding(rawValue: parts[3]) else {
            return nil
        }
        var column = ProjectionDefinition.Column(name: parts[0], from: parts[1], type: type, encoding: encoding)
        column.isUnsigned = parts[4] == "unsigned"
        if parts[5] == "null" { column.absentValue = .some(nil) }
        if parts[5].hasPrefix("=") { column.absentValue = .some(String(parts[5].dropFirst())) }
        return column
    }
}
