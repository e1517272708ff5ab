import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// `verify` finds what is wrong and nothing else, on the timeline, on logs and on permutations of them.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct VerifyTests {
    private static func configuration(sequence: String = "version", timeline: Bool = true) -> String {
        """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: \(sequence)
            state: status
            timeline: \(timeline)
            columns: { id: bigint, customer: text, status: text, version: integer, amount: "numeric(12,2)" }
            lifecycle:
              initial: created
              transitions: { created: [paid, cancelled], paid: [shipped, refunded], shipped: [delivered, returned] }
            milestones:
              shipped: { state: shipped }

        """
    }

    private static func withLog(
        _ yaml: String = Self.configuration(),
        _ body: (Workplace, Connection, URL) async throws -> Void
    ) async throws {
        let generator = SeededGenerator.forTest("verify")
        try await withWorkplace(yaml) { place, connection in
            let log = place.folder.appendingPathComponent("orders.ndjson")
            _ = try GeneratedLog(
                orders: 60,
                seed: generator.seed,
                arrival: .windowShuffled(50),
                repeatedPercent: 5
            ).write(to: log.path)
            try await body(place, connection, log)
        }
    }

    @Test
    func findsNothingUntilACellIsChangedAndNamesItThen() async throws {
        try await Self.withLog { place, connection, log in
            _ = try await place.replay(log)
            let clean = try await place.succeed("verify", "orders", "--json")
            let report = try clean.json()
            #expect(report["equal"] as? Bool == true && report["compared"] as? Int == 60)

            try await connection.execute(
                """
                update tidemark_internal.orders_entities set amount = amount + 1
                where id = (select min(id) from tidemark_internal.orders_entities where not _deleted)
                """
            )
            let id = try await connection.value("select min(id) from orders")
            for arguments in [["verify", "orders"], ["verify", "orders", "--against", log.path]] {
                let found = try await place.run(arguments)
                #expect(found.status == 65)
                #expect(found.output.contains("[\(id)] amount: expected"))
                #expect(found.output.contains(" 1 difference") && !found.output.contains("differences"))
            }
        }
    }

    @Test
    func aMilestoneThatIsGoneAndARowThatIsGoneAreFound() async throws {
        try await Self.withLog { place, connection, log in
            _ = try await place.replay(log)
            try await connection.execute(
                """
                delete from tidemark_internal.orders_milestones
                where id = (select min(id) from tidemark_internal.orders_milestones);
                delete from tidemark_internal.orders_entities
                where id = (select max(id) from tidemark_internal.orders_entities where not _deleted)
                """
            )
            let found = try await place.run("verify", "orders")
            #expect(found.status == 65)
            #expect(found.output.contains("milestone shipped: expected"))
            #expect(found.output.contains("(row): expected a row, found no row"))
        }
    }

    @Test
    func versionsThatWereNeverSeenAndThoseThatAreForgottenAreFoundByTheLog() async throws {
        let yaml = """
            projections:
              - { name: orders, from: shop.orders, key: id, sequence: version, contiguous: true, columns: { id: bigint, version: bigint } }

            """
        try await withWorkplace(yaml) { place, connection in
            let lines = [1, 2, 5].map { #"{"table":"shop.orders","op":"update","after":{"id":1,"version":\#($0)}}"# }
            let log = try place.write("log.ndjson", lines: lines)
            _ = try await place.replay(log)
            try await place.succeed("verify", "orders", "--against", log.path)
            for (seen, isFoundInTimeline) in [("{[1,6)}", false), ("{[1,2)}", true)] {
                try await connection.execute("update tidemark_internal.orders_entities set _seen = '\(seen)'")
                #expect(try await place.run("verify", "orders").status == (isFoundInTimeline ? 65 : 0))
                let found = try await place.run("verify", "orders", "--against", log.path)
                #expect(
                    found.status == 65 && found.output.contains("versions seen: expected {[1,3),[5,6)}, found \(seen)")
                )
            }
        }
    }

    @Test
    func aTextIsToldFromNoValue() async throws {
        let yaml = """
            projections:
              - { name: orders, from: shop.orders, key: id, sequence: version, columns: { id: bigint, version: bigint, note: text } }

            """
        try await withWorkplace(yaml) { place, connection in
            let lines = [#"{"table":"shop.orders","op":"insert","after":{"id":1,"version":1,"note":null}}"#]
            _ = try await place.replay(try place.write("log.ndjson", lines: lines))
            for (stored, shown) in [("null", #""null""#), ("", #""""#)] {
                try await connection.execute("update tidemark_internal.orders_entities set note = '\(stored)'")
                let found = try await place.run("verify", "orders")
                #expect(found.output.contains("[1] note: expected null, found \(shown)"), "\(found.output)")
            }
        }
    }

    @Test
    func permutationsOfTheLogComeToTheSameAndLeaveNothingBehind() async throws {
        try await Self.withLog { place, connection, log in
            let result = try await place.succeed(
                "verify",
                "orders",
                "--shuffle",
                "2",
                "--seed",
                "7",
                "--json",
                log.path
            )
            let report = try result.json()
            #expect(report["equal"] as? Bool == true && report["compared"] as? Int == 60)
            #expect((report["permutations"] as? [[String: Any]])?.map { $0["seed"] as? Int } == [7, 8])
            #expect(try await connection.number("select count(*) from tidemark.projections") == 0)
            #expect(try await connection.number("select count(*) from tidemark.passes") == 0)
            #expect(
                try await connection.number("select count(*) from pg_namespace where nspname like 'tidemark_verify%'")
                    == 0
            )
        }
    }

    @Test
    func aProjectionOrderedByArrivalFailsThePermutations() async throws {
        try await Self.withLog(Self.configuration(sequence: "$received")) { place, _, log in
            let result = try await place.run("verify", "orders", "--shuffle", "1", log.path)
            #expect(result.status == 65)
            #expect(result.output.contains("1 of 1 permutations differ"))
        }
    }

    @Test
    func nothingComparedIsNoProof() async throws {
        try await Self.withLog(Self.configuration(timeline: false)) { place, _, log in
            #expect(try await place.run("verify", "orders").status == 78)
            _ = try await place.replay(log)
            let result = try await place.run("verify", "orders")
            #expect(result.status == 65)
            #expect(result.output.contains("keeps no timeline"))
            let empty = try place.write("empty.ndjson", "")
            #expect(try await place.run("verify", "orders", "--shuffle", "1", empty.path).status == 65)
        }
    }
}
