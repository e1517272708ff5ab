/// The member names that the formats know, over all of their objects.
enum WireName: UInt8, CaseIterable {
    case before, after, source, op, payload, schema, tsMs, tsUs, tsNs, transaction
    case database, table, type, ts, position, tag, data, old, xoffset, commit, gtid, encrypted, primaryKeyColumns
    case isDdl, es, pkNames, mysqlType, sqlType
    case id, status, eventCount, dataCollections, databaseName, ddl, tableChanges, serverName
    case connector, db, snapshot, lsn, sequence, file, pos, row, totalOrder
    case name, fields, field, parameters, scale
    // What Debezium adds to flattened rows, `__name` or `__source_name`.
    case metaTable, metaDb, metaSchema, metaOp, metaDeleted, metaLsn, metaSequence, metaTsMs, metaTsUs, metaSourceTsMs,
        metaSourceTsUs
    case metaFile, metaPos, metaRow, metaGtid, metaSnapshot, metaConnector

    static let texts: [(name: WireName, text: StaticString)] = [
        (.before, "before"), (.after, "after"), (.source, "source"), (.op, "op"), (.payload, "payload"),
        (.schema, "schema"), (.tsMs, "ts_ms"), (.tsUs, "ts_us"), (.tsNs, "ts_ns"), (.transaction, "transaction"),
        (.database, "database"), (.table, "table"), (.type, "type"), (.ts, "ts"), (.position, "position"),
        (.tag, "tag"), (.data, "data"), (.old, "old"), (.xoffset, "xoffset"), (.commit, "commit"), (.gtid, "gtid"),
        (.encrypted, "encrypted"), (.primaryKeyColumns, "primary_key_columns"), (.isDdl, "isDdl"), (.es, "es"),
        (.pkNames, "pkNames"), (.mysqlType, "mysqlType"), (.sqlType, "sqlType"), (.id, "id"), (.status, "status"),
        (.eventCount, "event_count"), (.dataCollections, "data_collections"), (.databaseName, "databaseName"),
        (.ddl, "ddl"), (.tableChanges, "tableChanges"), (.serverName, "serverName"), (.connector, "connector"),
        (.db, "db"), (.snapshot, "snapshot"), (.lsn, "lsn"), (.sequence, "sequence"), (.file, "file"), (.pos, "pos"),
        (.row, "row"),
        (.totalOrder, "total_order"), (.name, "name"), (.fields, "fields"), (.field, "field"),
        (.parameters, "parameters"), (.scale, "scale"),
        (.metaTable, "__table"), (.metaTable, "__source_table"), (.metaDb, "__db"), (.metaDb, "__source_db"),
        (.metaSchema, "__schema"), (.metaSchema, "__source_schema"), (.metaOp, "__op"), (.metaDeleted, "__deleted"),
        (.metaLsn, "__lsn"), (.metaLsn, "__source_lsn"), (.metaSequence, "__sequence"),
        (.metaSequence, "__source_sequence"), (.metaTsMs, "__ts_ms"), (.metaTsUs, "__ts_us"),
        (.metaSourceTsMs, "__source_ts_ms"), (.metaSourceTsUs, "__source_ts_us"), (.metaFile, "__file"),
        (.metaFile, "__source_file"), (.metaPos, "__pos"), (.metaPos, "__source_pos"), (.metaRow, "__row"),
        (.metaRow, "__source_row"), (.metaGtid, "__gtid"), (.metaGtid, "__source_gtid"),
        (.metaSnapshot, "__snapshot"), (.metaSnapshot, "__source_snapshot"), (.metaConnector, "__connector"),
        (.metaConnector, "__source_connector"),
    ]
}

/// Finds a name by its length and its bytes, eight at a time.
struct WireNameTable: Sendable {
    private struct Entry {
        var first: UInt64
        var second: UInt64
        var third: UInt64
        var name: WireName
    }

    static let lengthMax = 24
    private var entries: [Entry] = []
    /// Where the names of a length begin; those of length *n* end where those of *n* + 1 begin.
    private var starts: [Int] = []

    init() {
        for length in 0...Self.lengthMax {
            self.starts.append(self.entries.count)
            for (name, text) in WireName.texts where text.utf8CodeUnitCount == length {
                var words: [UInt64] = [0, 0, 0]
                for offset in 0..<length {
                    words[offset / 8] |= UInt64(text.utf8Start[offset]) << UInt64(offset % 8 * 8)
                }
                self.entries.append(Entry(first: words[0], second: words[1], third: words[2], name: name))
            }
        }
        self.starts.append(self.entries.count)
    }

    func find(_ words: (count: Int, UInt64, UInt64, UInt64)) -> WireName? {
        guard words.count <= Self.lengthMax else { return nil }
        for index in self.starts[words.count]..<self.starts[words.count + 1] {
            let entry = self.entries[index]
            if entry.first == words.1, entry.second == words.2, entry.third == words.3 { return entry.name }
        }
        return nil
    }
}

/// An object's members by name. Those that no format knows are only counted.
struct Members {
    /// Node 0 is the root and nobody's member, so it stands for a name that is not there.
    private var values = InlineArray<72, UInt32>(repeating: 0)
    private(set) var count = 0

    init(of object: Int, in document: borrowing JSONDocument, names: WireNameTable) {
        self.count = document.childCount(object)
        var name = object + 1
        for _ in 0..<self.count {
            if let known = names.find(document.words(name)) {
                self.values[Int(known.rawValue)] = UInt32(truncatingIfNeeded: name + 1)
            }
            name = document.next(name + 1)
        }
    }

    subscript(name: WireName) -> Int? {
        let value = self.values[Int(name.rawValue)]
        return value == 0 ? nil : Int(value)
    }

    func has(_ name: WireName) -> Bool { self.values[Int(name.rawValue)] != 0 }
}
