/// A source's own coordinate for one change. Positions of different kinds are not comparable, and a projection takes one.
public struct Position: Sendable, Hashable {
    public enum Kind: String, Sendable, CaseIterable, CustomStringConvertible {
        /// (binlog file number, offset, row)
        case binlog
        /// (LSN); of a snapshot row (the LSN of the last commit before it, the LSN at which the snapshot was taken)
        case lsn
        /// (rank of the server in the declared order, transaction number, index in the transaction, row)
        case gtid
        /// Up to four numbers of Tidemark's own format.
        case numbers
        /// (offset in the partition of a broker, row)
        case offset

        public var description: String { self.rawValue }

        /// How many numbers say where in the log a change is: a row event, a WAL record, a transaction. Those behind
        /// them tell the changes there apart. A snapshot is taken at a coordinate, and knows nothing of the changes in it.
        var coordinateCount: Int {
            switch self {
            case .binlog, .gtid: 2
            case .lsn: 1
            // Rows of one message are numbered, always.
            case .offset: 2
            case .numbers: 4
            }
        }
    }

    public var kind: Kind
    /// Declared with the source, never inferred: rises when the coordinates start anew on another server.
    public var epoch: UInt32
    public var numbers: (UInt64, UInt64, UInt64, UInt64)
    /// How many of `numbers` count: all that are compared.
    public var count: UInt8
    /// The delete half of a key change, and every delete of a format that writes a key change as two messages. It sorts
    /// below what else is at the same coordinate: without a row number, the row that takes over its key in the same
    /// statement has that coordinate too, and must be left standing.
    public var isFirstHalf: Bool
    /// A snapshot row sorts below every streamed change at the same coordinate.
    public var isSnapshot: Bool

    public init(
        kind: Kind,
        epoch: UInt32 = 0,
        _ first: UInt64,
        _ second: UInt64 = 0,
        _ third: UInt64 = 0,
        _ fourth: UInt64 = 0,
        count: UInt8,
        isFirstHalf: Bool = false,
        isSnapshot: Bool = false
    ) {
        self.kind = kind
        self.epoch = epoch
        self.numbers = (first, second, third, fourth)
        self.count = count
        self.isFirstHalf = isFirstHalf
        self.isSnapshot = isSnapshot
    }

    public subscript(index: Int) -> UInt64 {
        switch index {
        case 0: self.numbers.0
        case 1: self.numbers.1
        case 2: self.numbers.2
        default: self.numbers.3
        }
    }

    public static func == (left: Position, right: Position) -> Bool {
        left.kind == right.kind && left.epoch == right.epoch && left.count == right.count
            && left.numbers == right.numbers && left.isFirstHalf == right.isFirstHalf
            && left.isSnapshot == right.isSnapshot
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.kind)
        hasher.combine(self.epoch)
        for index in 0..<Int(self.count) { hasher.combine(self[index]) }
        hasher.combine(self.isFirstHalf)
        hasher.combine(self.isSnapshot)
    }
}

extension Position: CustomStringConvertible {
    /// The coordinate as `_sequence` shows it. Equal positions have equal texts, different ones different texts.
    public var description: String {
        self.epoch == 0 ? self.coordinateText : "epoch \(self.epoch) \(self.coordinateText)"
    }

    private var coordinateText: String {
        switch self.kind {
        case .lsn where self.isSnapshot && self.count > 1:
            return "\(Self.text(ofLSN: self.numbers.0)) snapshot of \(Self.text(ofLSN: self.numbers.1))"
        case .lsn: return self.text(of: [Self.text(ofLSN: self.numbers.0), self.isFirstHalf ? "0" : "1"])
        case .binlog, .gtid: return self.text(of: self.numberTexts + [self.isFirstHalf ? "0" : "1"])
        case .numbers: return self.text(of: self.numberTexts) + (self.isFirstHalf ? " old key" : "")
        case .offset:
            let row = self.numbers.1 == 0 ? [] : [String(self.numbers.1)]
            return self.text(of: [String(self.numbers.0)] + row) + (self.isFirstHalf ? " old key" : "")
        }
    }

    /// The row that carries Maxwell's commit is the last of its transaction, whatever its number.
    private var numberTexts: [String] {
        (0..<Int(self.count)).map { index in
            self[index] == .max ? "last" : String(self[index])
        }
    }

    private func text(of parts: [String]) -> String {
        parts.joined(separator: ":") + (self.isSnapshot ? " snapshot" : "")
    }

    private static func text(ofLSN lsn: UInt64) -> String {
        String(lsn >> 32, radix: 16, uppercase: true) + "/"
            + String(lsn & 0xFFFF_FFFF, radix: 16, uppercase: true)
    }
}

/// What a message lacks to tell its row from others of the same statement or transaction, which have its position too.
public enum RowNumberGap: UInt8, Sendable, Hashable, CaseIterable {
    case maxwell, debeziumFlattened, debeziumTransaction

    /// What is wrong, as the end of a sentence whose subject is the message.
    public var why: String {
        switch self {
        case .maxwell: "carries no \"xoffset\""
        case .debeziumFlattened: "is flattened, and carries no \"__row\""
        case .debeziumTransaction: "carries neither \"pos\" nor \"transaction\""
        }
    }

    /// The option of the producer that adds the number.
    public var wayOut: String {
        switch self {
        case .maxwell: "Maxwell's output_xoffset"
        case .debeziumFlattened: "add.fields with source.file,source.pos,source.row"
        case .debeziumTransaction: "Debezium's provide.transaction.metadata"
        }
    }
}

/// Why a message has no position: what it lacks, and what would give it one.
public enum PositionGap: UInt8, Sendable, Hashable, CaseIterable {
    case tidemark
    case maxwell, maxwellTransaction
    case canal, canalTransaction
    case debezium, debeziumTransaction, debeziumFlattened
    case undeclaredServer
    case tombstone
    case unreadable

    /// What is wrong, as the end of a sentence whose subject is the message.
    public var why: String {
        switch self {
        case .tidemark, .maxwell: "carries no \"position\""
        case .maxwellTransaction, .debeziumTransaction: "carries no \"gtid\", which gtid_order makes the position"
        case .canal: "is of Canal's flat format, which has no binlog coordinate"
        case .canalTransaction: "has an empty \"gtid\", or one that names no server of gtid_order"
        case .debezium: "carries neither \"lsn\" nor \"file\" and \"pos\" in its \"source\""
        case .debeziumFlattened: "is flattened, and carries neither \"__lsn\" nor \"__file\" and \"__pos\""
        case .undeclaredServer: "comes from a server that gtid_order does not name"
        case .tombstone: "has no value, and so no position"
        case .unreadable: "carries a position that cannot be read"
        }
    }

    public var wayOut: String {
        switch self {
        case .tidemark: "\"position\": [42, 1288] in each line, or a version column"
        case .maxwell:
            "Maxwell's output_binlog_position (or output_gtid_position, and gtid_order for the source)"
                + ", or a version column"
        case .maxwellTransaction: "Maxwell's output_gtid_position, or a version column"
        case .canal: "GTIDs at the server and gtid_order for the source, or a version column"
        case .canalTransaction: "GTIDs at the server, with its UUID in gtid_order, or a version column"
        case .debezium: "a connector that writes one (PostgreSQL, MySQL, MariaDB), or a version column"
        case .debeziumTransaction: "GTIDs at the server (or a source without gtid_order), or a version column"
        case .debeziumFlattened:
            "add.fields with source.lsn (PostgreSQL) or source.file,source.pos,source.row (MySQL)"
                + ", or a version column"
        case .undeclaredServer: "the server's name in gtid_order, or a version column"
        case .tombstone: "partitioned_by_key: true for the source, or tombstones: control"
        case .unreadable: "a version column"
        }
    }
}
