import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// PostgreSQL's `infinity`, as Debezium writes it, comes out as what it was.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct InfinityTests {
    private static let yaml = """
        projections:
          - name: prices
            from: [shop.prices]
            key: id
            sequence: [{ column: ends_at, type: timestamptz }, $position]
            columns: { id: bigint, starts_at: { type: timestamp, encoding: epoch_us }, ends_at: timestamptz, day: date }

        """

    private static func message(_ id: Int, _ validFrom: String, _ validTo: String, _ day: String, at lsn: Int) -> String
    {
        #"{"op":"c","before":null,"after":{"id":\#(id),"starts_at":\#(validFrom),"ends_at":"\#(validTo)","day":"\#(day)"},"#
            + #""source":{"connector":"postgresql","snapshot":"false","schema":"shop","table":"prices","lsn":\#(lsn)}}"#
    }

    @Test
    func itIsKeptComparedVerifiedAndRebuilt() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let log = try place.write(
                "prices.ndjson",
                lines: [
                    Self.message(1, "-9223372036832400000", "infinity", "infinity", at: 1),
                    // Below infinity, though it comes later.
                    Self.message(1, "0", "2026-03-01T00:00:00Z", "2026-03-01", at: 2),
                    Self.message(2, "9223372036825200000", "-infinity", "-infinity", at: 3),
                ]
            )
            let counts = try await place.replay(log)
            #expect(
                counts["applied"] as? Int == 2 && counts["late"] as? Int == 1 && counts["dead_letters"] as? Int == 0
            )
            let rows = "select id, starts_at, ends_at, day, _sequence from prices order by id"
            let expected = [
                ["1", "-infinity", "infinity", "infinity", "infinity, 0/1:1"],
                ["2", "infinity", "-infinity", "-infinity", "-infinity, 0/3:1"],
            ]
            #expect(try await connection.rows(rows) == expected)
            let image =
                "select image ->> 'starts_at', image ->> 'ends_at', image ->> 'day' from prices_timeline where id = 2"
            #expect(try await connection.rows(image) == [["infinity", "-infinity", "-infinity"]])
            try await place.succeed("verify", "prices")
            try await place.succeed("verify", "prices", "--shuffle", "3", log.path)
            try await place.succeed("rebuild", "prices")
            #expect(try await connection.rows(rows) == expected)
        }
    }
}
