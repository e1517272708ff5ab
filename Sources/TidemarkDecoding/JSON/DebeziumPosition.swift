internal import TidemarkCore

/// What a Debezium message says of its position in the database's log.
struct DebeziumCoordinate {
    var lsn: UInt64?
    /// Of a snapshot row of PostgreSQL: the LSN of the last commit that the connector had streamed before it.
    var lastCommit: UInt64?
    var file: ByteRange?
    var offset: UInt64?
    var row: UInt64?
    var gtid: ByteRange?
    /// The event's index in its transaction, when the connector counts it.
    var totalOrder: UInt64?
    var isSnapshot = false
    var isIncremental = false
    var isFlattened = false

    mutating func read(
        _ source: Members,
        _ envelope: Members,
        in document: borrowing JSONDocument,
        names: WireNameTable,
        of bytes: [UInt8]
    ) {
        self.lsn = document.unsigned(source[.lsn], of: bytes)
        if self.lsn == nil || self.isSnapshot {
            self.read(sequence: document.string(document.unwrapped(source[.sequence])), of: bytes)
        }
        self.file = document.string(document.unwrapped(source[.file]))
        self.offset = document.unsigned(source[.pos], of: bytes)
        self.row = document.unsigned(source[.row], of: bytes)
        self.gtid = document.string(document.unwrapped(source[.gtid]))
        if self.gtid != nil, let transaction = document.record(envelope[.transaction]) {
            let members = Members(of: transaction, in: document, names: names)
            self.totalOrder = document.unsigned(members[.totalOrder], of: bytes)
        }
    }

    mutating func read(flattened members: Members, in document: borrowing JSONDocument, of bytes: [UInt8]) {
        self.isFlattened = true
        self.lsn = document.unsigned(members[.metaLsn], of: bytes)
        if self.lsn == nil || self.isSnapshot {
            self.read(sequence: document.string(document.unwrapped(members[.metaSequence])), of: bytes)
        }
        self.file = document.string(document.unwrapped(members[.metaFile]))
        self.offset = document.unsigned(members[.metaPos], of: bytes)
        self.row = document.unsigned(members[.metaRow], of: bytes)
        self.gtid = document.string(document.unwrapped(members[.metaGtid]))
        if self.gtid != nil { self.totalOrder = document.unsigned(members[.metaTotalOrder], of: bytes) }
    }

    /// PostgreSQL's `sequence`, a JSON array in a string, `["24023119","24023128"]`: the LSN of the last commit before
    /// the event, null before the first, and the event's own.
    ///
    /// The first takes part in the order of snapshot rows only: a connector that was restarted writes another one for
    /// the same event. The LSNs of one row rise without it, since a row is locked until the transaction that changed it
    /// has ended.
    private mutating func read(sequence: ByteRange?, of bytes: [UInt8]) {
        guard let sequence, let comma = bytes.last(UInt8(ascii: ","), in: sequence.range) else { return }
        if self.lsn == nil { self.lsn = Self.number(in: bytes[(comma + 1)..<sequence.range.upperBound], of: bytes) }
        if self.isSnapshot { self.lastCommit = Self.number(in: bytes[sequence.range.lowerBound..<comma], of: bytes) }
    }

    private static func number(in element: ArraySlice<UInt8>, of bytes: [UInt8]) -> UInt64? {
        let isPunctuation = { (byte: UInt8) in
            byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "[") || byte == UInt8(ascii: "]") || byte == 0x20
        }
        guard let first = element.firstIndex(where: { !isPunctuation($0) }),
            let last = element.lastIndex(where: { !isPunctuation($0) })
        else { return nil }
        return bytes.unsigned(in: first..<(last + 1))
    }
}

extension MessageDecoder {
    /// Gives the event its position and the position's text, or says why it has none.
    mutating func locate(
        _ event: inout ChangeEvent,
        at coordinate: DebeziumCoordinate,
        in message: inout DecodedMessage
    ) {
        if let lsn = coordinate.lsn {
            // An incremental snapshot reads rows at no position in the log: those of PostgreSQL have none.
            guard !coordinate.isIncremental else { return }
            event.position = self.position(atLSN: lsn, coordinate)
            let start = message.bytes.count
            message.bytes.append(number: lsn >> 32, radix: 16)
            message.bytes.append(UInt8(ascii: "/"))
            message.bytes.append(number: lsn & 0xFFFF_FFFF, radix: 16)
            event.positionText = ByteRange(start: start, end: message.bytes.count)
        } else if !self.gtidOrder.isEmpty {
            self.locateTransaction(&event, at: coordinate, in: message)
        } else if let file = coordinate.file, let offset = coordinate.offset {
            guard let number = self.binlogFileNumber(file, of: message.bytes) else {
                if event.operation != .snapshot { event.positionGap = .unreadable }
                return
            }
            let row = coordinate.row ?? 0
            if coordinate.row == nil, coordinate.isFlattened { event.rowNumberGap = .debeziumFlattened }
            event.position = Position(kind: .binlog, epoch: self.settings.epoch, number, offset, row, count: 3)
            let start = message.bytes.count
            message.bytes.appendCopy(of: file)
            message.bytes.append(UInt8(ascii: ":"))
            message.bytes.append(number: offset)
            message.bytes.append(UInt8(ascii: ":"))
            message.bytes.append(number: row)
            event.positionText = ByteRange(start: start, end: message.bytes.count)
        }
        if event.position == nil, event.positionGap == nil, event.operation != .snapshot {
            event.positionGap =
                if coordinate.isFlattened { .debeziumFlattened } else { .debezium }
        }
        // The two halves of a key change come with one coordinate, and nothing tells them from other deletes and
        // inserts: a delete is first.
        event.position?.isFirstHalf = event.operation == .delete
        event.position?.isSnapshot = coordinate.isSnapshot
    }

    /// A transaction that was open while a snapshot was taken is streamed later with LSNs below the snapshot's. So a
    /// snapshot row is behind the last commit before it, and where that is not known below every streamed event of its
    /// epoch, above the rows of older snapshots.
    private mutating func position(atLSN lsn: UInt64, _ coordinate: DebeziumCoordinate) -> Position {
        guard coordinate.isSnapshot else {
            return Position(kind: .lsn, epoch: self.settings.epoch, lsn, count: 1)
        }
        let commit = self.settings.snapshots == .replace ? lsn : coordinate.lastCommit ?? 0
        return Position(kind: .lsn, epoch: self.settings.epoch, commit, lsn, count: 2)
    }

    /// Without `provide.transaction.metadata` the index in the transaction is the offset in the binlog, where a transaction is
    /// in one piece: it differs from server to server, but only within one transaction.
    private mutating func locateTransaction(
        _ event: inout ChangeEvent,
        at coordinate: DebeziumCoordinate,
        in message: DecodedMessage
    ) {
        guard let gtid = coordinate.gtid else {
            if event.operation != .snapshot { event.positionGap = .debeziumTransaction }
            return
        }
        event.positionText = gtid
        guard let transaction = self.gtidOrder.transaction(in: gtid, of: message.bytes) else {
            if event.operation != .snapshot { event.positionGap = .undeclaredServer }
            return
        }
        if coordinate.totalOrder == nil {
            if coordinate.offset == nil {
                event.rowNumberGap = coordinate.isFlattened ? .debeziumFlattened : .debeziumTransaction
            } else if coordinate.row == nil, coordinate.isFlattened {
                event.rowNumberGap = .debeziumFlattened
            }
        }
        event.position = Position(
            kind: .gtid,
            epoch: self.settings.epoch,
            transaction.server,
            transaction.number,
            coordinate.totalOrder ?? coordinate.offset ?? 0,
            coordinate.totalOrder == nil ? coordinate.row ?? 0 : 0,
            count: 4
        )
    }

    /// The number behind the last dot of `mysql-bin.000042`: file names grow from …999999 to …1000000.
    mutating func binlogFileNumber(_ file: ByteRange, of bytes: [UInt8]) -> UInt64? {
        guard let dot = bytes.last(UInt8(ascii: "."), in: file.range) else { return nil }
        return bytes.unsigned(in: (dot + 1)..<file.range.upperBound)
    }
}
