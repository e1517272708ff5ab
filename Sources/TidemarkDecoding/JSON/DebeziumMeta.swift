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
        "wallTime", "keyspace", "shard", "vgtid", "commit_ts", "cluster_id", "id", "total_order",
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
    private func isKnownMeta(_ node: Int, _ range: ByteRange, _ bytes: [UInt8]) -> Bool {
        if self.names.find(range, hash: self.document.hash(node), in: self.document) != nil { return true }
        let name = ByteRange(start: Int(range.start) + 2, end: range.range.upperBound)
        let rest =
            Self.suffix(of: name, after: "source_", in: bytes)
            ?? Self.suffix(of: name, after: "transaction_", in: bytes) ?? name
        return DebeziumMeta.rest.contains { bytes.matches(rest, $0) }
    }

    /// What follows `prefix`; `nil` where the name does not begin with it.
    private static func suffix(of name: ByteRange, after prefix: StaticString, in bytes: [UInt8]) -> ByteRange? {
        let count = UInt32(prefix.utf8CodeUnitCount)
        guard name.count >= count, bytes.matches(ByteRange(start: name.start, count: count), prefix) else { return nil }
        return ByteRange(start: name.start + count, count: name.count - count)
    }
}
