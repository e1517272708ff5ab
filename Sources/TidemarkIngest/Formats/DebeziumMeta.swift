internal import TidemarkCore

/// The members that Debezium adds to a flattened row: `__` and a name of the envelope, of `source` or of `transaction`.
/// Any other member is a column, also where its name begins with `__`.
enum DebeziumMeta {
    /// Beside those of ``WireName``. `source_` and `transaction_` may stand before them.
    static let rest: [StaticString] = [
        "version", "connector", "name", "ts_ms", "ts_us", "ts_ns", "snapshot", "db", "sequence", "schema", "table",
        "txId", "lsn", "xmin", "origin", "origin_lsn", "server_id", "gtid", "file", "pos", "row", "thread", "query",
        "change_lsn", "commit_lsn", "event_serial_no", "scn", "commit_scn", "start_scn", "lcr_position", "rs_id", "ssn",
        "redo_thread", "user_name", "row_id", "start_ts_ms", "commit_ts_ms", "collection", "ord", "lsid", "txnNumber",
        "wallTime", "keyspace", "shard", "vgtid", "change_lsn", "commit_ts", "cluster_id", "id", "total_order",
        "data_collection_order", "op", "deleted",
    ]
}

extension MessageDecoder {
    /// Whether a member of a flattened row is one that Debezium has added.
    @inline(__always)
    func isMeta(_ name: Int, of bytes: [UInt8]) -> Bool {
        let range = self.document.range(name)
        let start = Int(range.start)
        guard range.count > 2, bytes[start] == UInt8(ascii: "_"), bytes[start + 1] == UInt8(ascii: "_") else {
            return false
        }
        return self.isKnownMeta(name, range, bytes)
    }

    @inline(never)
    private func isKnownMeta(_ name: Int, _ range: ByteRange, _ bytes: [UInt8]) -> Bool {
        if self.names.find(range, hash: self.document.hash(name), in: self.document) != nil { return true }
        var text = bytes[range.range].dropFirst(2)
        for prefix in ["source_", "transaction_"] where text.starts(with: prefix.utf8) {
            text = text.dropFirst(prefix.utf8.count)
            break
        }
        let rest = ByteRange(start: text.startIndex, end: text.endIndex)
        return DebeziumMeta.rest.contains { bytes.matches(rest, $0) }
    }
}
