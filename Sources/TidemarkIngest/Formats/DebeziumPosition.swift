internal import TidemarkCore

/// What a Debezium message says of its place in the database's log.
struct DebeziumCoordinate {
    var lsn: UInt64?
    var file: ByteRange?
    var offset: UInt64?
    var row: UInt64?
    var gtid: ByteRange?
    /// The event's place in its transaction, when the connector counts it.
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
        self.lsn =
            document.unsigned(source[.lsn], of: bytes)
            ?? Self.lastLSN(document.string(document.unwrapped(source[.sequence])), of: bytes)
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
        self.lsn =
            document.unsigned(members[.metaLsn], of: bytes)
            ?? Self.lastLSN(document.string(document.unwrapped(members[.metaSequence])), of: bytes)
        self.file = document.string(document.unwrapped(members[.metaFile]))
        self.offset = document.unsigned(members[.metaPos], of: bytes)
        self.row = document.unsigned(members[.metaRow], of: bytes)
        self.gtid = document.string(document.unwrapped(members[.metaGtid]))
        if self.gtid != nil { self.totalOrder = document.unsigned(members[.metaTotalOrder], of: bytes) }
    }

    /// The event's own LSN out of PostgreSQL's `sequence`, a JSON array in a string: `["24023119","24023128"]`.
    ///
    /// The first, of the last commit, takes no part in the order: it may be another one when the event is sent again.
    /// The LSNs of one row rise without it, since a row is locked until whoever changed it has committed.
    private static func lastLSN(_ sequence: ByteRange?, of bytes: [UInt8]) -> UInt64? {
        guard let sequence, let comma = bytes.last(UInt8(ascii: ","), in: sequence.range) else { return nil }
        let isMark = { (byte: UInt8) in byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "]") || byte == 0x20 }
        let text = bytes[(comma + 1)..<sequence.range.upperBound]
        guard let first = text.firstIndex(where: { !isMark($0) }), let last = text.lastIndex(where: { !isMark($0) })
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
            // An incremental snapshot reads rows at no place in the log: those of PostgreSQL have none.
            guard !coordinate.isIncremental else { return }
            event.position = Position(kind: .lsn, epoch: self.settings.epoch, lsn, count: 1)
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
        // The two halves of a key change come with one coordinate: the delete is first.
        event.position?.isFirstHalf = event.operation == .delete
        event.position?.isSnapshot = coordinate.isSnapshot
    }

    /// Without `provide.transaction.metadata` the place in the transaction is that in the binlog, where a transaction is
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
