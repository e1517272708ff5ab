#if Kafka
    import Foundation
    import LibPQ
    import Testing
    import TidemarkTesting

    /// Keys, headers, tombstones and offsets of Kafka's messages, on librdkafka's mock cluster.
    @Suite(.freshDatabase, .timeLimit(.minutes(10)))
    struct KafkaRecordTests {
        private static let topic = "dbz.shop.orders"

        /// Has the service read until the query gives the number, and stops it.
        private static func read(
            _ place: Workplace,
            until query: String,
            is number: Int,
            on connection: Connection
        ) async throws {
            let service = try place.startService()
            try await wait("\(query) is \(number)", atMost: .seconds(60)) {
                if service.isOver { return true }
                return (try? await connection.number(query)) == number
            }
            try await service.stop()
        }

        /// Rows without `__table`, whose deletes are tombstones, ordered by offsets, with a header in the key.
        @Test func flattenedRowsAreOrderedByOffsetsAndDeletedByTombstones() async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await mock.perform([["topic", Self.topic, "2"]])
            func send(_ partition: Int, _ id: Int, _ status: String?) -> [String] {
                let value = status.map { #"{"id":\#(id),"status":"\#($0)"}"# } ?? "\\N"
                return ["send", Self.topic, "\(partition)", #"{"id":\#(id)}"#, value, "tenant=acme", "tenant=a \"b\""]
            }
            let yaml = kafkaConfiguration(
                mock.brokers,
                topic: Self.topic,
                source: "table: from_topic\npartitioned_by_key: true",
                projection: """
                    key: [$header.tenant, id]
                    sequence: $position
                    state: status
                    columns: { id: bigint, status: text }
                    """
            )
            try await withWorkplace(yaml) { place, connection in
                try await mock.perform([
                    send(0, 1, "paid"), send(0, 2, "paid"), send(0, 1, "shipped"), send(0, 2, nil),
                    send(1, 3, "paid"), send(1, 3, nil), send(1, 3, "paid"), send(1, 1, "paid"), ["flush"],
                ])
                try await Self.read(place, until: "select count(*) from orders_timeline", is: 8, on: connection)
                let rows = "select tenant, id::text, status, _sequence from orders order by id"
                #expect(
                    try await connection.rows(rows) == [
                        ["a \"b\"", "1", "paid", "3"], ["a \"b\"", "3", "paid", "2"],
                    ]
                )
                let positions = "select position from orders_timeline where id = 2 order by order_key"
                #expect(try await connection.rows(positions) == [["dbz.shop.orders[0]:1"], ["dbz.shop.orders[0]:3"]])
                // Its offset in the other partition happens to be the greater one.
                let moved = "select key::text, sequence, detail from tidemark.anomalies where kind = 'moved_partition'"
                #expect(
                    try await connection.rows(moved) == [
                        [
                            #"["a \"b\"", "1"]"#, "3",
                            "its events are in dbz.shop.orders[0], dbz.shop.orders[1]; offsets order the events of one partition alone",
                        ]
                    ]
                )
                for command in [["verify", "orders"], ["rebuild", "orders"]] {
                    let result = try await place.run(command)
                    #expect(result.status == 0, "\(result)")
                }
                #expect(try await connection.rows(rows).count == 2)
            }
        }

        /// A delete without an image is of the row that its key names, and Debezium's change of a primary key leaves an
        /// entity that is known by another column where it is.
        @Test func debeziumKeysAndHeadersAreRead() async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await mock.perform([["topic", Self.topic, "1"]])
            func message(_ op: String, _ lsn: Int, before: String? = nil, after: String? = nil) -> String {
                #"{"before":\#(before ?? "null"),"after":\#(after ?? "null"),"op":"\#(op)","source":{"connector":"postgresql","db":"db","schema":"shop","table":"orders","lsn":\#(lsn)}}"#
            }
            func row(_ id: Int, _ code: String) -> String { #"{"id":\#(id),"code":"\#(code)"}"# }
            let yaml =
                kafkaConfiguration(
                    mock.brokers,
                    topic: Self.topic,
                    source: "position: message\nreplica_identity: full",
                    projection: "key: id\nsequence: $position\ncolumns: { id: bigint, code: text }"
                ) + """

                      - name: codes
                        from: shop.orders
                        key: code
                        sequence: { column: $header.version, type: bigint }
                        columns: { id: bigint, code: text }
                    """
            try await withWorkplace(yaml) { place, connection in
                let commands = [
                    ["1", message("c", 10, after: row(1, "A")), "version=1"],
                    ["2", message("c", 20, after: row(2, "B")), "version=1"],
                    // The key of A's row becomes 7.
                    [
                        "1", message("d", 30, before: row(1, "A")), "version=2",
                        #"__debezium.newkey={"schema":null,"payload":{"id":7}}"#,
                    ],
                    ["1", "\\N"],
                    ["7", message("c", 30, after: row(7, "A")), "version=2", #"__debezium.oldkey={"id":1}"#],
                    ["2", message("d", 40), "version=3"],
                ]
                try await mock.perform(
                    commands.map { ["send", Self.topic, "0", #"{"id":\#($0[0])}"#] + $0.dropFirst() } + [["flush"]]
                )
                try await Self.read(
                    place,
                    until: "select sum(messages)::bigint from tidemark.counters",
                    is: 6,
                    on: connection
                )
                #expect(try await connection.rows("select id::text, code from orders order by id") == [["7", "A"]])
                #expect(
                    try await connection.rows("select code, id::text, _sequence from codes order by code") == [
                        ["A", "7", "2"], ["B", "2", "1"],
                    ]
                )
                // Of B's delete only the key is known, and codes is keyed by another column.
                let letters = "select projection, reason from tidemark.dead_letters"
                #expect(try await connection.rows(letters) == [["codes", "key_missing"]])
            }
        }

        /// What a broker keeps beside the value is kept with the dead letter.
        @Test func aDeadLetterIsTriedAgainWithItsKeyAndHeaders() async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await mock.perform([["topic", Self.topic, "1"]])
            let projection = "key: id\nsequence: $header.v\ncolumns: { id: bigint, status: text }"
            let yaml = kafkaConfiguration(
                mock.brokers,
                topic: Self.topic,
                source: "position: message",
                projection: projection
            )
            try await withWorkplace(yaml) { place, connection in
                try await mock.perform([
                    ["send", Self.topic, "0", #"{"id":1}"#, #"{"id":1,"status":"paid"}"#, "v=1"],
                    ["send", Self.topic, "0", #"{"id":1}"#, #"{"id":1,"status":"paid"}"#, "v=2"],
                    ["send", Self.topic, "0", #"{"id":1}"#, #"{"id":1,"status":"paid"}"#, "v=2"], ["flush"],
                ])
                try await Self.read(
                    place,
                    until: "select sum(dead_letters)::bigint from tidemark.counters",
                    is: 3,
                    on: connection
                )
                let letters =
                    "select reason, count::text, convert_from(raw, 'UTF8') from tidemark.dead_letters order by count"
                let found = try await connection.rows(letters)
                #expect(
                    found == [
                        ["unknown_format", "1", #"{"id":1,"status":"paid"}"#],
                        ["unknown_format", "2", #"{"id":1,"status":"paid"}"#],
                    ]
                )
                let last = try await connection.number("select id from tidemark.dead_letters where count = 2")
                let shown = try await place.run("deadletters", "show", "\(last)")
                #expect(shown.output.contains(#"key {"id":1}"#) && shown.output.contains("header v: 2"), "\(shown)")
                try place.write(
                    "tidemark.yaml",
                    kafkaConfiguration(
                        mock.brokers,
                        topic: Self.topic,
                        source: "position: message\ntable: from_topic",
                        projection: projection
                    )
                )
                let retried = try await place.run("deadletters", "retry", "--all")
                #expect(retried.status == 0, "\(retried)")
                #expect(try await connection.rows("select id::text, _sequence from orders") == [["1", "2"]])
                #expect(try await connection.number("select count(*) from tidemark.dead_letters") == 0)
            }
        }

        /// There is no file to read again.
        @Test func ofAMessageThatWasCutTheWayBackToItIsNamed() async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await mock.perform([["topic", Self.topic, "1"]])
            let yaml = kafkaConfiguration(mock.brokers, topic: Self.topic) + "\nlimits: { message_bytes: 1KiB }\n"
            try await withWorkplace(yaml) { place, connection in
                let long = #"{"table":"shop.orders","after":{"id":1,"note":"\#(String(repeating: "n", count: 2000))"}}"#
                try await mock.perform([["send", Self.topic, "0", "1", long], ["flush"]])
                let letters = "select count(*) from tidemark.dead_letters where reason = 'too_large'"
                try await Self.read(place, until: letters, is: 1, on: connection)
                let wayOut = "tidemark seek events --stream '\(Self.topic)[0]' --to …"
                let retried = try await place.run("deadletters", "retry", "--all")
                #expect(
                    retried.output.contains("only the beginning of its message")
                        && retried.output.split(whereSeparator: \.isWhitespace).joined(separator: " ").contains(wayOut),
                    "\(retried)"
                )
                let shown = try await place.succeed("deadletters", "show", "1").output
                #expect(shown.split(whereSeparator: \.isWhitespace).joined(separator: " ").contains(wayOut), "\(shown)")
            }
        }

        /// Offsets are positions only where a source says so.
        @Test func positionsOfAPartitionHaveToBeDeclared() async throws {
            let yaml = """
                sources:
                  - { name: events, type: kafka, brokers: ["127.0.0.1:1"], topics: [a], group: g }
                projections:
                  - { name: orders, from: shop.orders, key: id, sequence: $position }
                """
            try await withWorkplace(yaml) { place, _ in
                for command in ["check", "run"] {
                    let result = try await place.run(command)
                    #expect(result.status == 78, "\(command): \(result.output)\(result.error)")
                    #expect(result.error.contains("give the source partitioned_by_key: true"), "\(result.error)")
                }
            }
        }
    }
#endif
