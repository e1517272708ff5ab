import LibPQ
import TidemarkCore

/// Where a lane's events come from, as their timelines hold it: the number of a source and of what positions begin with
/// (`tidemark_internal.origins`), and the rest of the position at half a byte a character.
///
/// A binlog's name and a server's UUID are the same in millions of positions, and took half of each. A position that
/// cannot be packed is kept whole. Numbers are taken outside of the batch's transaction, so that no batch waits for
/// another's, and one that was rolled back leaves none behind.
final class TimelineOrigins {
    private struct Name: Hashable {
        var source: Int32
        var prefix: [UInt8]
    }

    private var numbers: [Name: Int32] = [:]
    /// Sources that have as many prefixes as are kept; other positions of theirs are kept whole.
    private var full: Set<Int32> = []
    /// What the last look-up was for: most events come from where the one before came from.
    private var last: (name: Name, number: Int32)?
    private var packed: [UInt8] = []

    /// Forgets all numbers: another database may be behind the next connection.
    func removeAll() {
        self.numbers.removeAll()
        self.full.removeAll()
        self.last = nil
    }

    // MARK: Numbers

    /// Takes numbers for the origins of a batch that have none.
    /// - Parameter isKept: whether a projection, by its index, keeps a timeline.
    /// - Complexity: O(events); a round trip where an origin is new.
    func number(
        _ batch: LaneBatch,
        of sources: [String],
        where isKept: (Int) -> Bool,
        on connection: Connection
    ) async throws {
        var missing: Set<Name> = []
        var checked: Int32?
        for item in batch.changes where isKept(Int(batch[item].projection)) {
            let event = batch[item]
            batch.withBytes(of: item) { bytes in
                let text = UnsafeRawBufferPointer(rebasing: bytes[event.position.range])
                let prefix = PackedPosition.prefix(of: text)
                if let prefix, self.number(event.source, prefix) == nil, !self.full.contains(event.source) {
                    missing.insert(Name(source: event.source, prefix: Array(prefix)))
                }
                guard event.source != checked else { return }
                checked = event.source
                let whole = Name(source: event.source, prefix: [])
                if self.numbers[whole] == nil { missing.insert(whole) }
            }
        }
        guard !missing.isEmpty else { return }
        // In one order, by which lanes and processes wait for each other; the one without a prefix, which a position that is
        // kept whole has, is the first.
        let names = missing.sorted { left, right in
            let (one, other) = (sources[Int(left.source)], sources[Int(right.source)])
            return one == other ? left.prefix.lexicographicallyPrecedes(right.prefix) : one < other
        }
        var rows = ArrayParameters([OID.text, OID.text], rows: names.count)
        for name in names {
            rows.append(sources[Int(name.source)], to: 0)
            rows.append(name.prefix[...], to: 1)
        }
        let found = try await connection.query(
            """
            select tidemark_internal.origin(named.source, named.prefix)
            from unnest($1::text[], $2::text[]) with ordinality as named (source, prefix, place)
            order by named.place
            """,
            rows.parameters
        )
        for (row, name) in names.enumerated() {
            if let number = try found.int32(row, 0) {
                self.numbers[name] = number
            } else {
                self.full.insert(name.source)
            }
        }
    }

    private func number(_ source: Int32, _ prefix: UnsafeRawBufferPointer) -> Int32? {
        if let last, last.name.source == source, last.name.prefix.elementsEqual(prefix) { return last.number }
        let name = Name(source: source, prefix: Array(prefix))
        guard let number = self.numbers[name] else { return nil }
        self.last = (name, number)
        return number
    }

    // MARK: Rows

    /// Appends the origin's number, the packed position and the whole one.
    func append(_ event: EncodedChange, of bytes: UnsafeRawBufferPointer, to rows: inout some TimelineRows) {
        let text = UnsafeRawBufferPointer(rebasing: bytes[event.position.range])
        guard let prefix = PackedPosition.prefix(of: text), let number = self.number(event.source, prefix) else {
            rows.append(orNull: self.numbers[Name(source: event.source, prefix: [])])
            rows.appendNulls(1)
            rows.append(event.position, of: bytes)
            return
        }
        rows.append(orNull: number)
        if text.isEmpty {
            rows.appendNulls(2)
        } else {
            PackedPosition.pack(text[prefix.count...], into: &self.packed)
            rows.append(self.packed[...])
            rows.appendNulls(1)
        }
    }
}

/// The packed form of positions: `tidemark_internal.position_prefix` and `pack_position` are the same in SQL.
enum PackedPosition {
    private static let first = UInt8(ascii: ",")
    private static let count: UInt8 = 15
    private static let prefixBytesMax = 64

    /// What is not packed: up to the last character that is none of those from comma to colon. `nil` where the position
    /// is kept whole, because a number stands in front of that character, and there would be a prefix for each.
    static func prefix(of text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var end = text.count
        while end > 0, text[end - 1] &- Self.first < Self.count { end -= 1 }
        guard end <= Self.prefixBytesMax else { return nil }
        let prefix = UnsafeRawBufferPointer(rebasing: text[..<end])
        for byte in prefix where byte == UInt8(ascii: ",") || byte == UInt8(ascii: "/") || byte == UInt8(ascii: ":") {
            return nil
        }
        return prefix
    }

    /// Packs two characters into a byte; an odd last one leaves its lower half full.
    static func pack(_ rest: Slice<UnsafeRawBufferPointer>, into packed: inout [UInt8]) {
        packed.removeAll(keepingCapacity: true)
        var high: UInt8?
        for byte in rest {
            let half = byte &- Self.first
            if let first = high {
                packed.append(first << 4 | half)
                high = nil
            } else {
                high = half
            }
        }
        if let high { packed.append(high << 4 | 15) }
    }
}
