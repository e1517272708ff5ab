internal import TidemarkCore

/// The member names that the formats know, over all of their objects.
enum WireName: UInt8, CaseIterable {
    case before, after, source, op, payload, schema, tsMs, tsUs, tsNs, transaction
    case database, table, type, ts, position, tag, data, old, xoffset, commit, gtid, encrypted, primaryKeyColumns
    case isDdl, es, pkNames, mysqlType, sqlType, tidb, onlyHandleKey, claimCheckLocation
    case connector, db, keyspace, tsSec, snapshot, lsn, sequence, file, pos, row, totalOrder
    case name, fields, field, parameters, scale
    // What kcat writes.
    case topic
    // What Debezium adds to flattened rows, `__name` or `__source_name`.
    case metaTable, metaDb, metaSchema, metaOp, metaDeleted, metaLsn, metaSequence, metaTsMs, metaTsUs, metaSourceTsMs,
        metaSourceTsUs
    case metaTsNs, metaSourceTsNs, metaKeyspace, metaTotalOrder
    case metaFile, metaPos, metaRow, metaGtid, metaSnapshot, metaConnector

    static let texts: [(name: WireName, text: StaticString)] = [
        (.before, "before"), (.after, "after"), (.source, "source"), (.op, "op"), (.payload, "payload"),
        (.schema, "schema"), (.tsMs, "ts_ms"), (.tsUs, "ts_us"), (.tsNs, "ts_ns"), (.transaction, "transaction"),
        (.database, "database"), (.table, "table"), (.type, "type"), (.ts, "ts"), (.position, "position"),
        (.tag, "tag"), (.data, "data"), (.old, "old"), (.xoffset, "xoffset"), (.commit, "commit"), (.gtid, "gtid"),
        (.encrypted, "encrypted"), (.primaryKeyColumns, "primary_key_columns"), (.isDdl, "isDdl"), (.es, "es"),
        (.pkNames, "pkNames"), (.mysqlType, "mysqlType"), (.sqlType, "sqlType"), (.connector, "connector"),
        (.tidb, "_tidb"), (.onlyHandleKey, "onlyHandleKey"), (.claimCheckLocation, "claimCheckLocation"),
        (.keyspace, "keyspace"), (.tsSec, "ts_sec"), (.db, "db"), (.snapshot, "snapshot"), (.lsn, "lsn"),
        (.sequence, "sequence"), (.file, "file"), (.pos, "pos"), (.row, "row"), (.totalOrder, "total_order"),
        (.topic, "topic"), (.name, "name"), (.fields, "fields"), (.field, "field"), (.parameters, "parameters"),
        (.scale, "scale"),
        (.metaTable, "__table"), (.metaTable, "__source_table"), (.metaDb, "__db"), (.metaDb, "__source_db"),
        (.metaSchema, "__schema"), (.metaSchema, "__source_schema"), (.metaOp, "__op"), (.metaDeleted, "__deleted"),
        (.metaLsn, "__lsn"), (.metaLsn, "__source_lsn"), (.metaSequence, "__sequence"),
        (.metaSequence, "__source_sequence"), (.metaTsMs, "__ts_ms"), (.metaTsUs, "__ts_us"),
        (.metaSourceTsMs, "__source_ts_ms"), (.metaSourceTsUs, "__source_ts_us"), (.metaFile, "__file"),
        (.metaFile, "__source_file"), (.metaPos, "__pos"), (.metaPos, "__source_pos"), (.metaRow, "__row"),
        (.metaRow, "__source_row"), (.metaGtid, "__gtid"), (.metaGtid, "__source_gtid"),
        (.metaTsNs, "__ts_ns"), (.metaSourceTsNs, "__source_ts_ns"), (.metaKeyspace, "__keyspace"),
        (.metaKeyspace, "__source_keyspace"), (.metaTotalOrder, "__transaction_total_order"),
        (.metaSnapshot, "__snapshot"), (.metaSnapshot, "__source_snapshot"), (.metaConnector, "__connector"),
        (.metaConnector, "__source_connector"),
    ]
}

/// Finds a name by the hash that the parser has made of it already, and then by its bytes.
///
/// Sendable because its slots are written once, in the initializer of the only table there is, and never freed.
struct WireNameTable: @unchecked Sendable {
    private struct Slot {
        var hash: UInt32 = 0
        var count: UInt32 = 0
        var text: UnsafePointer<UInt8>?
        /// `nil` ends a search.
        var name: WireName?
    }

    /// Several times as many as there are names: most searches end where they begin.
    private static let slotCount = 512
    static let shared = WireNameTable()

    private let slots: UnsafePointer<Slot>

    private init() {
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: Self.slotCount)
        slots.initialize(repeating: Slot(), count: Self.slotCount)
        for (name, text) in WireName.texts {
            let hash = JSONDocument.nameHash(text)
            var index = Self.slot(of: hash)
            while slots[index].name != nil { index = (index + 1) % Self.slotCount }
            slots[index] = Slot(
                hash: hash,
                count: UInt32(text.utf8CodeUnitCount),
                text: text.utf8Start,
                name: name
            )
        }
        self.slots = UnsafePointer(slots)
    }

    @inline(__always)
    private static func slot(of hash: UInt32) -> Int { Int(hash >> 23) }

    @inline(__always)
    func find(_ name: ByteRange, hash: UInt32, in document: borrowing JSONDocument) -> WireName? {
        var index = Self.slot(of: hash)
        while true {
            let slot = self.slots + index
            guard let known = slot.pointee.name else { return nil }
            if slot.pointee.hash == hash, slot.pointee.count == name.count,
                let text = slot.pointee.text, document.isName(name, text)
            {
                return known
            }
            index = (index + 1) & (Self.slotCount - 1)
        }
    }
}

/// An object's members by name. Those that no format knows are only counted.
final class Members: Sendable {
    /// Node 0 is the root and no member, so it stands for a name that is not there.
    private let values: InlineArray<80, UInt32>
    let count: Int

    init(of object: Int, in document: borrowing JSONDocument, names: WireNameTable) {
        self.count = document.childCount(object)
        var values = InlineArray<80, UInt32>(repeating: 0)
        var name = object + 1
        for _ in 0..<self.count {
            let next = document.next(name + 1)
            if let known = names.find(document.range(name), hash: document.hash(name), in: document) {
                values[Int(known.rawValue)] = UInt32(truncatingIfNeeded: name + 1)
            }
            name = next
        }
        self.values = values
    }

    @inline(__always)
    subscript(name: WireName) -> Int? {
        let value = self.values[Int(name.rawValue)]
        return value == 0 ? nil : Int(value)
    }

    @inline(__always)
    func has(_ name: WireName) -> Bool { self.values[Int(name.rawValue)] != 0 }
}

/// The members of objects that were looked at lately. All texts of one skeleton have the same names in the same nodes,
/// so what was found in one of them holds for each.
struct MembersCache: Sendable {
    private struct Entry {
        var skeleton: UInt32
        var object: Int
        var members: Members
    }

    /// The root's members of one message, owned by its decoder.
    struct Root: ~Copyable, Sendable {
        /// 0 while it is not known.
        fileprivate let skeleton: UInt32
        let members: Members
    }

    /// A power of two.
    private static let entryCount = 128
    private var entries = [Entry?](repeating: nil, count: Self.entryCount)

    /// The root's members of a document, in `last` where its text has the skeleton of the one before.
    ///
    /// Moved from message to message: taking them out of the table for each costs a retain and a release, 1% of all that
    /// the client does on hot data.
    @inline(__always)
    mutating func root(
        of document: borrowing JSONDocument,
        names: WireNameTable,
        after last: consuming Root?
    ) -> Root {
        if let last = consume last, last.skeleton != 0, last.skeleton == document.skeleton ?? 0 { return last }
        return Root(
            skeleton: document.skeleton ?? 0,
            members: self.members(of: JSONDocument.root, in: document, names: names)
        )
    }

    @inline(__always)
    mutating func members(of object: Int, in document: borrowing JSONDocument, names: WireNameTable) -> Members {
        guard let skeleton = document.skeleton else { return Members(of: object, in: document, names: names) }
        let index = (Int(skeleton) &* 5 &+ object) & (Self.entryCount - 1)
        if let entry = self.entries[index], entry.skeleton == skeleton, entry.object == object { return entry.members }
        let members = Members(of: object, in: document, names: names)
        self.entries[index] = Entry(skeleton: skeleton, object: object, members: members)
        return members
    }
}
