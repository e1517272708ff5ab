internal import TidemarkCore

/// The servers whose transaction numbers are positions, in the order in which they were primary.
///
/// A server is `uuid` (MySQL), `uuid:tag` (tagged GTIDs count on their own), `domain-server` or `domain` (MariaDB, whose
/// servers count on where the last primary of their domain stopped).
struct GTIDOrder: Sendable {
    struct Transaction: Hashable {
        /// The server's rank in the declared order, from 1.
        var server: UInt64
        var number: UInt64
    }

    private let servers: [[UInt8]]

    init(_ servers: [String]) {
        self.servers = servers.map { $0.utf8.map(Self.folded) }
    }

    var isEmpty: Bool { self.servers.isEmpty }

    private static func folded(_ byte: UInt8) -> UInt8 {
        (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
    }

    private func rank(of server: some Sequence<UInt8>) -> UInt64? {
        for (index, known) in self.servers.enumerated()
        where server.lazy.map(Self.folded).elementsEqual(known) {
            return UInt64(index) + 1
        }
        return nil
    }

    /// The transaction that one GTID names: `uuid:77`, `uuid:tag:77` or `0-1-270`.
    func transaction(in range: ByteRange, of bytes: [UInt8]) -> Transaction? {
        let separator = bytes.last(UInt8(ascii: ":"), in: range.range) ?? bytes.last(UInt8(ascii: "-"), in: range.range)
        guard let separator, let number = bytes.unsigned(in: (separator + 1)..<range.range.upperBound) else {
            return nil
        }
        let server = bytes[range.range.lowerBound..<separator]
        if let rank = self.rank(of: server) { return Transaction(server: rank, number: number) }
        guard bytes[separator] == UInt8(ascii: "-"), let dash = server.firstIndex(of: UInt8(ascii: "-")),
            let rank = self.rank(of: server[..<dash])
        else { return nil }
        return Transaction(server: rank, number: number)
    }

    /// The last transaction of the latest server in a GTID set: `uuid:1-77,uuid:1-5:7:tag:1-3`.
    func lastTransaction(ofSet range: ByteRange, of bytes: [UInt8]) -> Transaction? {
        var last: Transaction?
        for entry in bytes[range.range].split(separator: UInt8(ascii: ",")) {
            let text = entry.trimmingSpace()
            guard text.contains(UInt8(ascii: ":")) else {
                let part = ByteRange(start: text.startIndex, end: text.endIndex)
                self.note(self.transaction(in: part, of: bytes), as: &last)
                continue
            }
            let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            var server = Array(parts[0])
            for part in parts.dropFirst() {
                let interval = part.trimmingSpace()
                guard let first = interval.first, (0x30...0x39).contains(first) else {
                    server = Array(parts[0]) + [UInt8(ascii: ":")] + interval
                    continue
                }
                let start = interval.lastIndex(of: UInt8(ascii: "-")).map { $0 + 1 } ?? interval.startIndex
                guard let number = bytes.unsigned(in: start..<interval.endIndex) else { return nil }
                self.note(self.rank(of: server).map { Transaction(server: $0, number: number) }, as: &last)
            }
        }
        return last
    }

    private func note(_ transaction: Transaction?, as last: inout Transaction?) {
        guard let transaction else { return }
        guard let known = last else {
            last = transaction
            return
        }
        if (transaction.server, transaction.number) > (known.server, known.number) { last = transaction }
    }
}

extension ArraySlice<UInt8> {
    fileprivate func trimmingSpace() -> ArraySlice<UInt8> {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        let head = self.drop(while: isSpace)
        guard let end = head.lastIndex(where: { !isSpace($0) }) else { return head }
        return head[...end]
    }
}
