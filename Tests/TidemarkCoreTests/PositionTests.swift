import Testing
import TidemarkCore

/// The bytes of one position, as an order key holds them.
private func bytes(_ position: Position?) -> [UInt8] {
    var order = OrderKeyBuilder()
    order.append(position: position)
    return order.bytes.array
}

private func text(_ position: Position?) -> String {
    var order = OrderKeyBuilder()
    order.append(position: position)
    return String(decoding: order.text.array, as: UTF8.self)
}

private func binlog(
    _ file: UInt64,
    _ offset: UInt64,
    _ row: UInt64,
    epoch: UInt32 = 0,
    isFirstHalf: Bool = false,
    isSnapshot: Bool = false
) -> Position {
    Position(
        kind: .binlog,
        epoch: epoch,
        file,
        offset,
        row,
        count: 3,
        isFirstHalf: isFirstHalf,
        isSnapshot: isSnapshot
    )
}

private func lsn(_ lsn: UInt64, isFirstHalf: Bool = false, isSnapshot: Bool = false) -> Position {
    Position(kind: .lsn, lsn, count: 1, isFirstHalf: isFirstHalf, isSnapshot: isSnapshot)
}

private func gtid(
    _ server: UInt64,
    _ number: UInt64,
    _ index: UInt64,
    _ row: UInt64 = 0,
    isFirstHalf: Bool = false,
    isSnapshot: Bool = false
) -> Position {
    Position(
        kind: .gtid,
        server,
        number,
        index,
        row,
        count: 4,
        isFirstHalf: isFirstHalf,
        isSnapshot: isSnapshot
    )
}

/// A snapshot row of PostgreSQL: behind which commit it stands, and where the snapshot was taken.
private func snapshot(behind commit: UInt64, at lsn: UInt64, epoch: UInt32 = 0) -> Position {
    Position(kind: .lsn, epoch: epoch, commit, lsn, count: 2, isSnapshot: true)
}

private func numbers(_ numbers: UInt64..., isFirstHalf: Bool = false, isSnapshot: Bool = false) -> Position {
    let all = numbers + [0, 0, 0]
    return Position(
        kind: .numbers,
        all[0],
        all[1],
        all[2],
        all[3],
        count: UInt8(numbers.count),
        isFirstHalf: isFirstHalf,
        isSnapshot: isSnapshot
    )
}

@Suite struct PositionTests {
    static let lines: [[Position?]] = [
        [
            nil, binlog(9, 23, 0), binlog(10, 4, 0), binlog(999_999, 23, 0), binlog(1_000_000, 4, 0),
            binlog(1_000_000, 23, 0), binlog(1_000_000, 123, 0), binlog(1_000_000, 123, 1),
            binlog(1_000_000, 123, .max), binlog(1, 4, 0, epoch: 1), binlog(1, 4, 0, epoch: 2),
        ],
        [nil, lsn(1), lsn(2, isFirstHalf: true), lsn(2), lsn(3), lsn(.max)],
        [
            nil, snapshot(behind: 0, at: 5), snapshot(behind: 0, at: .max), lsn(1, isFirstHalf: true), lsn(1), lsn(7),
            snapshot(behind: 8, at: 8), snapshot(behind: 8, at: 9), lsn(8, isFirstHalf: true), lsn(8),
            snapshot(behind: 0, at: 5, epoch: 1),
        ],
        [nil, gtid(1, 77, 0), gtid(1, 77, 1), gtid(1, 77, .max), gtid(1, 78, 0), gtid(2, 1, 0), gtid(2, 1, 0, 1)],
        [
            nil, numbers(1, isFirstHalf: true), numbers(1), numbers(1, 0, isFirstHalf: true), numbers(1, 0),
            numbers(1, 0, 0), numbers(1, 0, 0, 0), numbers(1, 1), numbers(2),
            numbers(.max), numbers(.max, .max, .max, .max),
        ],
    ]

    @Test(arguments: lines)
    func aPositionComparesByEpochAndThenNumberByNumber(_ line: [Position?]) {
        for (left, right) in zip(line, line.dropFirst()) {
            #expect(bytes(left).lexicographicallyPrecedes(bytes(right)), "\(text(left)) before \(text(right))")
        }
        #expect(Set(line.map(text)).count == line.count, "each has a text of its own")
    }

    /// A snapshot is taken at a coordinate: whatever its row claims to be, changes there happened to it afterwards.
    @Test
    func aSnapshotRowIsBelowEveryChangeAtItsCoordinateAndAboveThoseBefore() {
        let cases: [(before: [Position?], snapshots: [Position], changes: [Position])] = [
            (
                [nil, binlog(5, 99, .max)],
                [binlog(5, 100, 0, isSnapshot: true), binlog(5, 100, 7, isSnapshot: true)],
                [binlog(5, 100, 0, isFirstHalf: true), binlog(5, 100, 0), binlog(5, 100, 3), binlog(5, 101, 0)]
            ),
            ([nil, lsn(99)], [lsn(100, isSnapshot: true)], [lsn(100, isFirstHalf: true), lsn(100), lsn(101)]),
            (
                [nil, gtid(1, 76, .max)],
                [gtid(1, 77, 0, isSnapshot: true), gtid(1, 77, 5000, 2, isSnapshot: true)],
                [gtid(1, 77, 0, isFirstHalf: true), gtid(1, 77, 1), gtid(1, 78, 0)]
            ),
            ([nil, numbers(6, 9), numbers(7)], [numbers(7, 1, isSnapshot: true)], [numbers(7, 1), numbers(7, 1, 0)]),
        ]
        for (before, snapshots, changes) in cases {
            for snapshot in snapshots {
                for earlier in before { #expect(bytes(earlier).lexicographicallyPrecedes(bytes(snapshot))) }
                for change in changes { #expect(bytes(snapshot).lexicographicallyPrecedes(bytes(change))) }
            }
        }
    }

    /// What follows a position must not decide between two positions.
    @Test(arguments: lines)
    func aPositionDelimitsItself(_ line: [Position?]) {
        for (left, right) in zip(line, line.dropFirst()) {
            let greatest = bytes(left) + [0xFF]
            #expect(greatest.lexicographicallyPrecedes(bytes(right) + [0]))
        }
    }

    @Test
    func everyGapSaysWhatIsMissingAndWhatWouldHelp() {
        for gap in PositionGap.allCases {
            // A message without a value has no column either.
            #expect(!gap.why.isEmpty && (gap == .tombstone || gap.wayOut.contains("version column")))
        }
        #expect(PositionGap.maxwell.wayOut.contains("output_binlog_position"))
        #expect(PositionGap.canal.wayOut.contains("gtid_order"))
        #expect(PositionGap.debeziumFlattened.wayOut.contains("add.fields"))
        for gap in RowNumberGap.allCases { #expect(!gap.why.isEmpty && !gap.wayOut.isEmpty) }
    }
}
