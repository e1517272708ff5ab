#if Kafka
    import Foundation
    import LibPQ
    import Testing
    import TidemarkTesting

    /// What is written to topics: publications and deliveries, on librdkafka's mock cluster.
    @Suite(.freshDatabase, .timeLimit(.minutes(10)))
    struct KafkaPublishTests {
        private static let topic = "shop.orders"

        private static func brokers(_ mock: KafkaMock) -> String {
            mock.brokers.map { "\"\($0)\"" }.joined(separator: ", ")
        }

        private static let projection = """
            projections:
              - name: orders
                from: shop.orders
                key: id
                sequence: version
                state: status
                lifecycle: { initial: paid, transitions: { paid: [shipped] } }
                milestones: { shipped: { state: shipped } }
                columns: { id: bigint, version: bigint, status: text, note: text }
            """

        private static func source(_ mock: KafkaMock) -> String {
            """
            server: { listen: none }
            service: { lease_ttl: 2s }
            sources:
              - name: events
                type: kafka
                brokers: [\(Self.brokers(mock))]
                topics: [\(Self.topic)]
                group: tidemark
                options: { session.timeout.ms: 6000, heartbeat.interval.ms: 500 }

            """
        }

        private static func line(_ id: Int, _ version: Int, _ more: String = "", op: String = "update") -> String {
            let status = version.isMultiple(of: 3) ? "shipped" : "paid"
            return
                #"{"table":"shop.orders","op":"\#(op)","after":{"id":\#(id),"version":\#(version),"status":"\#(status)"\#(more)}}"#
        }

        private static func all(_ mock: KafkaMock, partitions: Int) async throws -> [[[String]]] {
            var all: [[[String]]] = []
            for partition in 0..<partitions {
                all.append(try await mock.messages(of: Self.topic, partition: partition))
            }
            return all
        }

        /// A log that is published and read from the topic ends in the rows of its replay; what is published again
        /// comes to nothing new.
        @Test func whatIsPublishedEndsInTheSameRows() async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await mock.perform([["topic", Self.topic, "4"]])
            var lines = (1...3).flatMap { version in (1...40).map { Self.line($0, version) } }
            lines += [
                // Another key, a value that needs escapes, a delete, a message beside rows, and one that is none.
                #"{"table":"shop.orders","op":"update","before":{"id":7,"version":3},"after":{"id":77,"version":4,"status":"paid","note":"a \"b\" \u00e9"}}"#,
                #"{"table":"shop.orders","op":"delete","before":{"id":8,"version":4}}"#,
                #"{"database":"shop","table":"orders","type":"INSERT","isDdl":false,"es":1,"ts":1,"old":null,"data":[{"id":"91","version":"1","status":"paid"},{"id":"92","version":"1","status":"paid"}]}"#,
                "null", "no event", Self.line(1, 9).replacing("shop.orders", with: "shop.others"),
            ]
            let log = lines.joined(separator: "\n") + "\n"
            func query(_ table: String) -> String {
                """
                select jsonb_agg(to_jsonb(o) order by id)::text
                from (select id, version, status, note, _sequence from \(table)) as o
                """
            }
            var replayed = ""
            try await withWorkplace(Self.projection) { place, connection in
                try place.write("log.ndjson", log)
                _ = try await place.run("replay", "--no-deliver", "log.ndjson")
                replayed = try await connection.value(query("orders"))
                for expected in [(126, 125), (0, 0)] {
                    let result = try await place.run(
                        "publish",
                        "log.ndjson",
                        "--topic",
                        Self.topic,
                        "--brokers",
                        mock.brokers[0],
                        "--json"
                    )
                    #expect(result.status == 0, "\(result)")
                    #expect(
                        result.output.hasPrefix(
                            #"{"messages":\#(expected.0),"records":\#(expected.1 == 0 ? 0 : 126),"#
                        ),
                        "\(result.output)"
                    )
                }
            }
            let partitions = try await Self.all(mock, partitions: 4)
            // An entity is in one partition, under the text of its key.
            for id in 1...40 { #expect(partitions.count { $0.contains { $0[0] == "\(id)" } } == 1) }
            #expect(partitions.joined().contains(["\\N", "no event"]))
            // The database is the same one.
            let copies = Self.projection.replacing("name: orders", with: "name: copies")
            try await withWorkplace(Self.source(mock) + copies) { place, connection in
                let service = try place.startService()
                let letters = "select coalesce(sum(count), 0)::bigint from tidemark.dead_letters"
                let events = "select count(*) from copies_timeline"
                try await wait("everything is read", atMost: .seconds(60)) {
                    if service.isOver { return true }
                    // One of the replay, one of the topic.
                    guard try await connection.number(letters) == 2 else { return false }
                    return (try? await connection.number(events)) == partitions.joined().count - 1
                }
                try await service.stop()
                #expect(try await connection.value(query("copies")) == replayed)
            }
        }

        /// Messages that carry no order of their own get one, in the header that a projection can name.
        @Test func aStampedSequenceOrdersMessagesThatHaveNone() async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await mock.perform([["topic", Self.topic, "2"]])
            let rows = ["paid", "packed", "shipped"].flatMap { status in
                (1...20).map { #"{"__table":"orders","__db":"shop","__op":"u","id":\#($0),"status":"\#(status)"}"# }
            }
            let yaml = """
                \(Self.source(mock))
                projections:
                  - name: orders
                    from: shop.orders
                    key: id
                    sequence: $header.tidemark-sequence
                    columns: { id: bigint, status: text }
                """
            try await withWorkplace(yaml) { place, connection in
                try place.write("log.ndjson", rows.joined(separator: "\n") + "\n")
                for form in ["tidemark", "original"] {
                    let result = try await place.run(
                        "publish",
                        "log.ndjson",
                        "--topic",
                        Self.topic,
                        "--brokers",
                        mock.brokers[0],
                        "--sequence",
                        "--again",
                        "--message",
                        form
                    )
                    #expect(result.status == 0, "\(result)")
                }
                let partitions = try await Self.all(mock, partitions: 2)
                let ofOne = partitions.joined().filter { $0[0] == "1" }
                #expect(ofOne.map { $0[2] } == (1...6).map { "tidemark-sequence=\($0)" })
                #expect(ofOne.last?[1] == rows[40])
                let service = try place.startService()
                try await wait("everything is read", atMost: .seconds(60)) {
                    if service.isOver { return true }
                    let done = "select count(*) from orders where status = 'shipped' and _sequence = '6'"
                    return (try? await connection.number(done)) == 20
                }
                try await service.stop()
            }
        }

        /// A publication of the service goes on behind what it has written, also after it was killed.
        @Test func aServicePublishesWhatItsSourceBrings() async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await mock.perform([["topic", Self.topic, "2"]])
            let yaml = """
                server: { listen: none }
                service: { lease_ttl: 1s }
                sources:
                  - { name: logs, type: files, paths: ["*.ndjson"], follow: true }
                publications:
                  - { source: logs, topic: \(Self.topic), brokers: [\(Self.brokers(mock))] }
                \(Self.projection)
                """
            try await withWorkplace(yaml) { place, connection in
                var written = 0
                func append(_ version: Int) throws {
                    written += 10
                    let path = place.folder.appendingPathComponent("a.ndjson")
                    let old = (try? String(contentsOf: path, encoding: .utf8)) ?? ""
                    try place.write(
                        "a.ndjson",
                        old + (1...10).map { Self.line($0, version) + "\n" }.joined()
                    )
                }
                for version in 1...3 {
                    let service = try place.startService()
                    try append(version)
                    let published = """
                        select coalesce(sum(message_ordinal - 1), 0)::bigint from tidemark_internal.published_streams
                        """
                    try await wait("\(written) messages are published", atMost: .seconds(60)) {
                        if service.isOver { return true }
                        return (try? await connection.number(published)) == written
                    }
                    service.kill()
                    _ = try await service.result()
                }
                let values = Set(try await Self.all(mock, partitions: 2).joined().map { $0[1] })
                #expect(values.count == 30)
            }
        }

        /// Each milestone is one message, keyed by its entity.
        @Test func milestonesAreDeliveredToATopic() async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await mock.perform([["topic", Self.topic, "2"]])
            let yaml =
                Self.projection.replacing("{ state: shipped }", with: "{ state: shipped, notify: [topic] }") + """

                    notifiers:
                      topic: { type: kafka, brokers: [\(Self.brokers(mock))], topic: \(Self.topic) }
                    """
            try await withWorkplace(yaml) { place, connection in
                try place.write("log.ndjson", (1...20).map { Self.line($0, 3) + "\n" }.joined())
                let result = try await place.run("replay", "log.ndjson")
                #expect(result.status == 0, "\(result)")
                let delivered = try await connection.rows(
                    "select key ->> 0, id::text from tidemark.deliveries where status = 'delivered' order by 2"
                )
                #expect(delivered.count == 20)
                let messages = try await Self.all(mock, partitions: 2).joined()
                let found = messages.map { [$0[0], $0[2].replacing("tidemark-id=", with: "")] }.sorted { $0[1] < $1[1] }
                #expect(found == delivered)
                let isWhole = messages.allSatisfy { message in
                    message[1].hasPrefix("{") && message[4] == "tidemark-milestone=shipped"
                }
                #expect(isWhole, "\(messages.first ?? [])")
            }
        }

        /// Message 1 fails, is sent again, and lands behind others: without idempotence, also where one request is under way
        /// at a time. The rows are the same.
        @Test(arguments: ["5", "1"])
        func aMessageThatIsSentAgainBehindLaterOnes(_ requestsInFlight: String) async throws {
            let mock = try await KafkaMock(brokers: 1)
            try await mock.perform([["topic", Self.topic, "1"]])
            // Produce fails once with NOT_ENOUGH_REPLICAS; each message is a request.
            try await mock.perform([
                [
                    "producer", "linger.ms=0", "batch.num.messages=1", "enable.idempotence=false",
                    "max.in.flight=\(requestsInFlight)",
                ],
                ["fail", "0", "19", "1"],
                // All are handed over before the first one is answered, however busy the machine is.
                ["delay", "0", "500"],
            ])
            try await mock.send(Self.topic, (1...6).map { (0, "1", Self.line(1, $0)) })
            try await mock.perform([["delay", "0", "0"]])
            let versions = try await mock.messages(of: Self.topic, partition: 0).map { $0[1] }
            #expect(versions.first == Self.line(1, 2), "\(versions)")
            #expect(Set(versions).count == 6)
            try await withWorkplace(Self.source(mock) + Self.projection) { place, connection in
                let service = try place.startService()
                try await wait("everything is read", atMost: .seconds(60)) {
                    if service.isOver { return true }
                    return (try? await connection.number("select count(*) from orders_timeline")) == 6
                }
                try await service.stop()
                #expect(try await connection.rows("select version::text, status from orders") == [["6", "shipped"]])
                #expect(try await connection.number("select count(*) from orders_milestones") == 1)
            }
        }
    }
#endif
