/// A source's own coordinate for one change. Positions of different kinds are not comparable, and a projection takes one.
public struct Position: Sendable, Hashable {
    public enum Kind: UInt8, Sendable, CustomStringConvertible {
        /// (binlog file number, offset, row)
        case binlog = 1
        /// (LSN, index)
        case lsn = 2
        /// (place of the server in the declared order, transaction number, row)
        case gtid = 3
        /// Up to four numbers of Tidemark's own format.
        case numbers = 4

        public var description: String {
            switch self {
            case .binlog: "binlog"
            case .lsn: "lsn"
            case .gtid: "gtid"
            case .numbers: "numbers"
            }
        }
    }

    public var kind: Kind
    /// Declared with the source, never inferred: rises when the coordinates start anew on another server.
    public var epoch: UInt32
    public var numbers: (UInt64, UInt64, UInt64, UInt64)
    /// How many of `numbers` count: all that are compared.
    public var count: UInt8
    /// A snapshot row sorts below a streamed change at the same coordinate.
    public var isSnapshot: Bool

    public init(
        kind: Kind,
        epoch: UInt32 = 0,
        _ first: UInt64,
        _ second: UInt64 = 0,
        _ third: UInt64 = 0,
        _ fourth: UInt64 = 0,
        count: UInt8,
        isSnapshot: Bool = false
    ) {
        self.kind = kind
        self.epoch = epoch
        self.numbers = (first, second, third, fourth)
        self.count = count
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
            && left.numbers == right.numbers && left.isSnapshot == right.isSnapshot
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.kind)
        hasher.combine(self.epoch)
        for index in 0..<Int(self.count) { hasher.combine(self[index]) }
        hasher.combine(self.isSnapshot)
    }
}

extension Position: CustomStringConvertible {
    /// The coordinate as `_sequence` shows it. Equal positions have equal texts.
    public var description: String {
        var parts: [String] = []
        switch self.kind {
        case .lsn:
            let lsn = self.numbers.0
            let text =
                String(lsn >> 32, radix: 16, uppercase: true) + "/"
                + String(lsn & 0xFFFF_FFFF, radix: 16, uppercase: true)
            parts.append(text)
            parts.append(String(self.numbers.1))
        case .binlog, .gtid, .numbers:
            for index in 0..<Int(self.count) {
                // The row that carries Maxwell's commit is the last of its transaction, whatever its number.
                parts.append(self[index] == .max ? "last" : String(self[index]))
            }
        }
        let coordinate = parts.joined(separator: ":") + (self.isSnapshot ? " snapshot" : "")
        return self.epoch == 0 ? coordinate : "epoch \(self.epoch) \(coordinate)"
    }
}
