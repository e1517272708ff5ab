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

    mutating func read(
        _ source: Members,
        _ envelope: Members,
        in document: borrowing JSONDocument,
        names: WireNameTable,
        of bytes: [UInt8]
    ) {
        self.lsn = document.unsigned(source[.lsn], of: bytes)
        self.file = document.string(document.unwrapped(source[.file]))
        self.offset = document.unsigned(source[.pos], of: bytes)
        self.row = document.unsigned(source[.row], of: bytes)
        self.gtid = document.string(document.unwrapped(source[.gtid]))
        if self.gtid != nil, let transaction = document.object(envelope[.transaction]) {
            let members = Members(of: transaction, in: document, names: names)
            self.totalOrder = document.unsigned(members[.totalOrder], of: bytes)
        }
    }

    mutating func read(flattened members: Members, in document: borrowing JSONDocument, of bytes: [UInt8]) {
        self.lsn = document.unsigned(members[.metaLsn], of: bytes)
        self.file = document.string(members[.metaFile])
        self.offset = document.unsigned(members[.metaPos], of: bytes)
        self.row = document.unsigned(members[.metaRow], of: bytes)
        self.gtid = document.string(members[.metaGtid])
    }
}

extension MessageDecoder {
    /// Gives the event its position, and the position's text, where the message has one.
    ///
    /// The last number tells the two halves of a key change apart, which come with one coordinate: the delete is first.
    func locate(_ event: inout ChangeEvent, at coordinate: DebeziumCoordinate, in message: inout DecodedMessage) {
        let half: UInt64 = event.operation == .delete ? 0 : 1
        let epoch = self.settings.epoch
        if let lsn = coordinate.lsn {
            // An incremental snapshot reads rows at no place in the log.
            guard !coordinate.isIncremental else { return }
            event.position = Position(
                kind: .lsn,
                epoch: epoch,
                lsn,
                half,
                count: 2,
                isSnapshot: coordinate.isSnapshot
            )
            let high = String(lsn >> 32, radix: 16, uppercase: true)
            let low = String(lsn & 0xFFFF_FFFF, radix: 16, uppercase: true)
            event.positionText = message.appendText("\(high)/\(low)")
        } else if !self.gtidOrder.isEmpty {
            guard let gtid = coordinate.gtid,
                let transaction = self.gtidOrder.transaction(in: gtid, of: message.bytes)
            else { return }
            event.position = Position(
                kind: .gtid,
                epoch: epoch,
                transaction.server,
                transaction.number,
                coordinate.totalOrder ?? coordinate.row ?? 0,
                half,
                count: 4,
                isSnapshot: coordinate.isSnapshot
            )
            event.positionText = gtid
        } else if let file = coordinate.file, let offset = coordinate.offset,
            let number = self.binlogFileNumber(file, of: message.bytes)
        {
            let row = coordinate.row ?? 0
            event.position = Position(
                kind: .binlog,
                epoch: epoch,
                number,
                offset,
                row,
                half,
                count: 4,
                isSnapshot: coordinate.isSnapshot
            )
            let start = message.bytes.count
            message.bytes.appendCopy(of: file)
            message.bytes.appendText(":\(offset):\(row)")
            event.positionText = ByteRange(start: start, end: message.bytes.count)
        }
    }

    /// The number behind the last dot of `mysql-bin.000042`: file names grow from …999999 to …1000000.
    func binlogFileNumber(_ file: ByteRange, of bytes: [UInt8]) -> UInt64? {
        guard let dot = bytes.last(UInt8(ascii: "."), in: file.range) else { return nil }
        return bytes.unsigned(in: (dot + 1)..<file.range.upperBound)
    }
}

extension DecodedMessage {
    mutating func appendText(_ text: String) -> ByteRange {
        let start = self.bytes.count
        self.bytes.appendText(text)
        return ByteRange(start: start, end: self.bytes.count)
    }
}
