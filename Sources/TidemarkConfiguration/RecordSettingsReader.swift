import TidemarkCore

/// What a source says of a broker's messages: which table their rows are of, what a message without a value is, and what
/// `$position` compares. Files have them too, since a file may be the dump of a topic.
extension ConfigurationMapping {
    func readRecords(of source: inout SourceConfiguration) {
        if source.type == .http {
            for key in ["tombstones", "partitioned_by_key", "position"] {
                self[key]?.fail("belongs to sources of type kafka and rocketmq, and to files that are dumps of topics")
            }
        }
        if let table = self["table"], let text = table.text("a table such as shop.orders, or from_topic") {
            if text == "from_topic" {
                source.settings.table = .fromTopic
                if source.type == .http { table.fail("names no table: what comes over HTTP comes from no topic") }
            } else if let name = TableName(text) {
                source.settings.table = .named(name.text)
            } else {
                table.fail("\(table.shownText) is no table; write one such as shop.orders, or from_topic")
            }
            if ![.auto, .debezium].contains(source.settings.format) {
                table.fail("is for flattened rows, which format: \(source.settings.format.rawValue) does not read")
            }
        }
        if let value = self["tombstones"], let rule = value.choice(SourceSettings.TombstoneRule.allCases) {
            source.settings.tombstones = rule
            if rule == .delete, source.settings.table == nil {
                value.fail(
                    "is delete, and a message without a value names no table; write table: from_topic, or a name"
                )
            }
        }
        let isPartitioned = self["partitioned_by_key"]?.boolean() ?? false
        if isPartitioned { source.settings.positions = .offset }
        guard let position = self["position"], let rule = position.choice(SourceSettings.PositionRule.allCases) else {
            source.saysPosition = isPartitioned
            return
        }
        source.saysPosition = rule == .message || isPartitioned
        source.settings.positions = rule
        if rule == .offset, !isPartitioned {
            position.fail("is offset, which orders an entity's events only where partitioned_by_key: true")
        }
        if rule == .message, isPartitioned {
            position.fail("is message, and partitioned_by_key: true has $position be the offset; leave one of them out")
        }
    }
}

extension ConfigurationReader {
    /// Where every source is a broker's that says so, the kind of position is known before a message is read.
    func takeOffsets(_ projection: inout ProjectionDefinition) {
        let sources = self.configuration.sources
        guard projection.sequence.contains(.position), projection.positionKind == nil, !sources.isEmpty,
            sources.allSatisfy({ $0.type.isBroker && $0.settings.positions == .offset })
        else { return }
        projection.positionKind = .offset
    }

    /// Refuses `$position` with a source of a broker that does not say what it is.
    func refuseOffsets(_ projection: ProjectionDefinition, _ map: ConfigurationMapping) {
        guard projection.sequence.contains(.position) else { return }
        for source in self.configuration.sources where source.type.isBroker && !source.saysPosition {
            map["sequence"]?.fail(
                "asks for $position, which of source \"\(source.name)\" is the offset in a partition: it orders an entity's "
                    + "events only where all of them are in one. If they are, give the source partitioned_by_key: true; if "
                    + "messages carry the position of their database's log, position: message; else order by a column"
            )
        }
    }
}
