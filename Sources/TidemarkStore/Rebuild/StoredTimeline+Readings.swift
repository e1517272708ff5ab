import LibPQ
import TidemarkCore

/// Refuses a rebuild from a timeline whose values were read with other settings, since a timeline holds no messages.
extension StoredTimeline {
    /// Refuses events of a source whose settings have changed.
    func refuseOtherSources(
        _ configured: (String) -> SourceSettings?,
        on connection: Connection
    ) async throws {
        let stored = try await ProjectionRegistry.sources(of: self.projection, on: connection)
        for name in self.sources {
            guard let settings = configured(name) else { continue }
            let keepsWhole = self.mapping.reading.isWhole
            let changes = stored[name]?.differences(from: SourceReading(settings), keepsWhole: keepsWhole) ?? []
            guard changes.isEmpty else {
                throw TimelineMapping.lacking(
                    self.projection,
                    "source \"\(name)\" was read otherwise, \(changes.joined(separator: ", ")), and it does not hold what "
                        + "the messages said"
                )
            }
            try self.refuseLostZones(settings, isOld: (self.mapping.old.rules ?? 1) < ReadingRules.zonesByType)
        }
    }

    /// Refuses numbers of sources with a `timezone`. Only a message's schema tells whether a number is wall-clock time:
    /// whole rows have the bare number, and before the third version of the rules all numbers were read as UTC.
    private func refuseLostZones(_ settings: SourceSettings, isOld: Bool) throws {
        guard settings.zoneName != "UTC", self.mapping.reading.isWhole || isOld else { return }
        let columns = ProjectionPlan(self.mapping.reading.definition).allColumns.filter { column in
            // A number without an encoding is refused elsewhere.
            column.type == .timestamptz && (isOld || column.encoding != .none)
        }
        guard let column = columns.first else { return }
        throw TimelineMapping.lacking(
            self.projection,
            "it does not say which numbers of \"\(column.name)\" are times of source \"\(settings.name)\" without a zone "
                + "(\(settings.zoneName))"
        )
    }

    /// Refuses columns with values outside of 1990 to 2100, where numbers were read before the third version of the
    /// rules: the unit was guessed from the size, which is right only in these years. Such a column needs the files.
    func refuseGuessedTimes(_ definition: ProjectionDefinition, on connection: Connection) async throws {
        let old = self.mapping.old
        guard (old.rules ?? 1) < ReadingRules.unitsByColumn else { return }
        let unsaid = { (name: String) in
            old.digest?.first { $0.name == name }.map { $0.encoding == ValueEncoding.none.rawValue } ?? true
        }
        var values: [(name: String, type: ColumnType, sql: String)] = []
        for column in old.columns ?? [] {
            guard let type = ColumnType(column.type), unsaid(column.name) else { continue }
            let isKey = old.key.contains { $0.name == column.name }
            let image = "(\(self.shape.image("event"))) ->> \(SQLText.literal(column.name))"
            values.append((column.name, type, isKey ? "\(SQLText.identifier(column.name))::text" : image))
        }
        for (index, part) in old.sequence.enumerated() where part.type == "timestamp" && unsaid(part.name) {
            // A text part before it may hold the separator.
            let isSure = old.sequence.prefix(index).allSatisfy { $0.type != "text" }
            values.append((part.name, .timestamp, isSure ? "split_part(sequence, ', ', \(index + 1))" : "''"))
        }
        for (name, type, sql) in values where type == .timestamptz || type == .timestamp || type == .time {
            let isRight = type == .time ? "false" : #"value ~ '^(199\d|20\d\d)-|^-?infinity$'"#
            let found = try await connection.query(
                """
                select exists (
                    select from (select \(sql) as value from \(self.eventStorage) as event) as kept
                    where value is not null and not (\(isRight))
                )
                """
            )
            guard try found.bool(0, 0) != true else {
                throw TimelineMapping.lacking(
                    definition.name,
                    "column \"\(name)\" holds times that an earlier version may have read in a unit that it guessed"
                )
            }
        }
    }
}
