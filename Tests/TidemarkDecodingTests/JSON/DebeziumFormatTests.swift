import Testing
import TidemarkCore

struct DebeziumFormatTests {
    /// An envelope whose `source` has these members beside the table.
    static func envelope(
        op: String,
        before: String = "null",
        after: String = #"{"id":1}"#,
        source: String = #""lsn":33554800"#,
        postgres: Bool = true,
        more: String = ""
    ) -> String {
        let kind = postgres ? #""connector":"postgresql","schema":"public""# : #""connector":"mysql""#
        return """
            {"before":\(before),"after":\(after),"op":"\(op)","ts_ms":99\(more),\
            "source":{\(kind),"db":"oms","table":"orders",\(source)}}
            """
    }

    @Test("A MySQL update has both images, its offset in the binlog, and the source's clock")
    func readsMySQLUpdate() throws {
        for text in [Samples.debeziumMySQL, #"{"schema":null,"payload":\#(Samples.debeziumMySQL)}"#] {
            let (event, message) = try event(text, settings(epoch: 3))
            #expect(message.text(event.table) == "oms.orders")
            #expect(event.operation == .update)
            #expect(
                message.row(event.after)
                    == ["id=number:9007199254740995", "status=string:SHIPPED", "amount=string:Ths="]
            )
            #expect(message.row(event.before)?[1] == "status=string:PAID")
            #expect(event.position == Position(kind: .binlog, epoch: 3, 42, 1288, 3, count: 3))
            #expect(message.text(event.positionText) == "mysql-bin.000042:1288:3")
            #expect(event.eventTime == 1_772_357_415_000_001)
            #expect(event.writesJSONAsText && event.beforeTrust == .whole && !event.beforeHoldsChangesOnly)
        }
    }

    @Test("Of a PostgreSQL delete only the key is believed, unless the source logs whole rows")
    func readsPostgresDelete() throws {
        let (event, message) = try event(Samples.debeziumPostgresDelete)
        #expect(message.text(event.table) == "public.orders")
        #expect(event.operation == .delete)
        #expect(message.row(event.before) == ["id=number:7", "status=null", "note=null"])
        #expect(event.after == nil)
        #expect(event.position == Position(kind: .lsn, 33_554_800, count: 1, isFirstHalf: true))
        #expect(message.text(event.positionText) == "0/2000170")
        #expect(event.beforeTrust == .key)
        let (full, _) = try TidemarkDecodingTests.event(Samples.debeziumPostgresDelete, settings(full: true))
        #expect(full.beforeTrust == .full)
        let (mysql, _) = try TidemarkDecodingTests.event(
            Self.envelope(op: "d", before: #"{"id":1}"#, after: "null", postgres: false)
        )
        #expect(mysql.beforeTrust == .whole)
    }

    @Test("Each table has the replica identity of the first rule that matches it")
    func readsIdentityOfTable() throws {
        var settings = TidemarkDecodingTests.settings(.debezium)
        settings.replicaIdentities = ReplicaIdentities(
            rules: [
                .init(pattern: try TablePattern("west.public.orders"), identity: .columns(["email"])),
                .init(pattern: try TablePattern("public.orders"), identity: .full),
                .init(pattern: try TablePattern("public.*"), identity: .default),
            ],
            rest: .columns(["id"])
        )
        func read(_ database: String, _ table: String, _ op: String = "d") throws -> (ChangeEvent, DecodedMessage) {
            let source = #""connector":"postgresql","db":"\#(database)","schema":"public","table":"\#(table)","lsn":5"#
            let after = op == "d" ? "null" : #"{"id":1}"#
            return try TidemarkDecodingTests.event(
                #"{"before":{"id":1},"after":\#(after),"source":{\#(source)},"op":"\#(op)"}"#,
                settings
            )
        }
        let west = try read("west", "orders").0
        #expect(
            west.beforeTrust == .columns
                && settings.replicaIdentities.columns[Int(west.identity)] == [Array("email".utf8)]
        )
        #expect(try read("east", "orders").0.beforeTrust == .full)
        #expect(try read("east", "refunds").0.beforeTrust == .key)
        #expect(try read("west", "orders", "u").0.beforeTrust == .columns)
        #expect(try read("east", "orders", "u").0.beforeTrust == .whole)
        let (event, message) = try read("east", "orders")
        #expect(message.text(event.database) == "east" && event.isDatabaseApart)
        #expect(String(decoding: message.fullTable(of: event), as: UTF8.self) == "east.public.orders")
    }

    @Test("A column that holds its default is one that nothing is known of")
    func knowsDefaults() throws {
        let schema =
            #"{"type":"struct","fields":[{"field":"before","type":"struct","fields":[{"field":"id","type":"int64"},{"field":"qty","type":"int32","default":5},{"field":"kind","type":"string","default":"new"},{"field":"n","type":"int32","default":"5"}]}]}"#
        let row = #"{"id":1,"qty":5,"kind":"new","n":5}"#
        let source = #""connector":"postgresql","schema":"public","table":"t","lsn":5"#
        let text = #"{"schema":\#(schema),"payload":{"before":\#(row),"after":null,"source":{\#(source)},"op":"d"}}"#
        #expect(decode(text, settings(full: true)).defaultFields == [1, 2])
        #expect(decode(text, settings(full: false)).defaultFields == [])
    }

    @Test("The two halves of a key change have one coordinate, and the delete is first")
    func ordersKeyChange() throws {
        for source in [#""lsn":5"#, #""file":"b.7","pos":4,"row":2"#] {
            let delete = Self.envelope(op: "d", before: #"{"id":1}"#, after: "null", source: source)
            let create = Self.envelope(op: "c", source: source)
            let positions = try [delete, create].map { try #require(try event($0).0.position) }
            #expect((0..<4).allSatisfy { positions[0][$0] == positions[1][$0] })
            #expect(positions.map(\.isFirstHalf) == [true, false])
        }
    }

    @Test(
        "A snapshot is told by its flag, as text or as a boolean, not only by its operation",
        arguments: [
            ("c", #""snapshot":"false""#, Operation.insert), ("c", #""snapshot":false"#, .insert),
            ("c", #""snapshot":null"#, .insert), ("c", #""x":0"#, .insert), ("c", #""snapshot":"true""#, .snapshot),
            ("c", #""snapshot":true"#, .snapshot), ("c", #""snapshot":"last""#, .snapshot), ("r", #""x":0"#, .snapshot),
            ("r", #""snapshot":"first_in_data_collection""#, .snapshot),
            ("u", #""snapshot":{"string":"first"}"#, .snapshot),
            ("d", #""snapshot":"true""#, .delete),
        ]
    )
    func readsSnapshotFlag(_ op: String, _ flag: String, _ operation: TidemarkCore.Operation) throws {
        let (event, _) = try event(Self.envelope(op: op, source: #""lsn":7,\#(flag)"#))
        #expect(event.operation == operation)
        #expect(event.position?.isSnapshot == (operation == .snapshot))
    }

    @Test("A row of an incremental snapshot of PostgreSQL has no position, one of MySQL has the stream's")
    func readsIncrementalSnapshot() throws {
        for source in [#""snapshot":"incremental""#, #""snapshot":"incremental","lsn":8"#] {
            let (event, _) = try event(Self.envelope(op: "r", source: source))
            #expect(event.operation == .snapshot && event.position == nil && event.positionText.isEmpty)
        }
        let source = #""snapshot":"incremental","file":"b.000003","pos":5,"row":0"#
        let (event, _) = try event(Self.envelope(op: "r", source: source, postgres: false))
        #expect(event.position == Position(kind: .binlog, 3, 5, 0, count: 3, isSnapshot: true))
    }

    @Test(
        "Binlog files are numbers, and what has no number is no position",
        arguments: [
            ("mysql-bin.000009", 9), ("mysql-bin.000010", 10), ("mysql-bin.999999", 999_999),
            ("mysql-bin.1000000", 1_000_000), ("a.b.c.00042", 42), ("", nil), ("mysql-bin", nil), ("mysql-bin.", nil),
            ("mysql-bin.00x", nil), ("b.99999999999999999999", nil),
        ] as [(String, UInt64?)]
    )
    func readsFileNumber(_ file: String, _ number: UInt64?) throws {
        let source = #""file":"\#(file)","pos":23"#
        let (event, _) = try event(Self.envelope(op: "c", source: source, postgres: false))
        #expect(event.position?.numbers.0 == number)
        #expect(event.position == nil || event.position?.numbers.1 == 23)
    }

    @Test(
        "With a declared order of servers the transaction is the position",
        arguments: [
            ("3E11FA47-71ca-11e1-9e33-c80aa9429562:77", 1, 77), ("0-1-270", 2, 270), ("u:blue:5", 3, 5),
            ("u:5", nil, 0), ("u:red:5", nil, 0), ("0-2-270", nil, 0), ("3e11fa47-71ca-11e1-9e33-c80aa9429562", nil, 0),
            ("", nil, 0), (":", nil, 0), ("0-1-99999999999999999999", nil, 0),
        ] as [(String, UInt64?, UInt64)]
    )
    func readsGTID(_ gtid: String, _ server: UInt64?, _ number: UInt64) throws {
        let order = settings(epoch: 1, gtidOrder: ["3e11fa47-71ca-11e1-9e33-c80aa9429562", "0-1", "U:blue"])
        let source = #""gtid":"\#(gtid)","file":"b.1","pos":2,"row":4"#
        let (event, message) = try event(Self.envelope(op: "u", source: source, postgres: false), order)
        #expect(event.position == server.map { Position(kind: .gtid, epoch: 1, $0, number, 2, 4, count: 4) })
        #expect(event.positionGap == (server == nil ? .undeclaredServer : nil))
        #expect(message.text(event.positionText) == gtid)
        let counted = Self.envelope(
            op: "d",
            source: source,
            postgres: false,
            more: #","transaction":{"id":"x","total_order":"12"}"#
        )
        #expect(
            try TidemarkDecodingTests.event(counted, order).0.position
                == server.map { Position(kind: .gtid, epoch: 1, $0, number, 12, 0, count: 4, isFirstHalf: true) }
        )
    }

    @Test("A domain of MariaDB counts on from server to server")
    func readsDomain() throws {
        let order = settings(gtidOrder: ["1", "0"])
        for (gtid, number) in [("0-1-270", 270), ("0-2-271", 271), ("0-1-272", 272)] as [(String, UInt64)] {
            let source = #""gtid":"\#(gtid)","file":"b.1","pos":2,"row":4"#
            let (event, _) = try event(Self.envelope(op: "u", source: source, postgres: false), order)
            #expect(event.position == Position(kind: .gtid, 2, number, 2, 4, count: 4))
        }
    }

    @Test(
        "Where `lsn` is missing, the last of `sequence` is the position of the event",
        arguments: [
            (#""lsn":5,"sequence":"[\"3\",\"4\"]""#, 5), (#""lsn":null,"sequence":"[\"3\",\"4\"]""#, 4),
            (#""sequence":"[null,\"18446744073709551615\"]""#, .max), (#""sequence":"[ \"3\" , \"4\" ]""#, 4),
            (#""sequence":"[\"3\",null]""#, nil), (#""sequence":"[]""#, nil), (#""sequence":"4""#, nil),
            (#""sequence":",""#, nil), (#""sequence":null"#, nil), (#""sequence":{"string":"[null,\"4\"]"}"#, 4),
        ] as [(String, UInt64?)]
    )
    func readsSequence(_ source: String, _ lsn: UInt64?) throws {
        let (event, _) = try event(Self.envelope(op: "u", source: source))
        #expect(event.position == lsn.map { Position(kind: .lsn, $0, count: 1) })
        #expect(event.positionGap == (lsn == nil ? .debezium : nil))
        let incremental = Self.envelope(op: "r", source: source + #","snapshot":"incremental""#)
        let (row, _) = try TidemarkDecodingTests.event(incremental)
        #expect(row.operation == .snapshot && row.position == nil && row.positionGap == nil)
    }

    @Test(
        "A snapshot row of PostgreSQL is behind the last commit before it, or below all that is streamed",
        arguments: [
            (#""lsn":9,"sequence":"[\"3\",\"9\"]""#, 3), (#""sequence":"[\"3\",\"9\"]""#, 3),
            (#""lsn":9,"sequence":"[ null, \"9\" ]""#, 0), (#""lsn":9"#, 0), (#""lsn":9,"sequence":null"#, 0),
            (#""lsn":9,"sequence":"[]""#, 0), (#""lsn":9,"sequence":{"string":"[\"3\",\"9\"]"}"#, 3),
        ] as [(String, UInt64)]
    )
    func positionsSnapshotRow(_ source: String, _ commit: UInt64) throws {
        let line = Self.envelope(op: "r", source: source + #","snapshot":"last""#)
        #expect(
            try event(line, settings(epoch: 2)).0.position
                == Position(kind: .lsn, epoch: 2, commit, 9, count: 2, isSnapshot: true)
        )
        var replacing = settings(epoch: 2)
        replacing.snapshots = .replace
        #expect(
            try event(line, replacing).0.position
                == Position(kind: .lsn, epoch: 2, 9, 9, count: 2, isSnapshot: true)
        )
    }

    @Test(
        "The source's clock is taken before the connector's, and nonsense is no time",
        arguments: [
            (#""ts_us":5,"ts_ms":1"#, 5), (#""ts_ms":7"#, 7000), (#""ts_ms":"7""#, 7000), (#""x":0"#, 99_000),
            (#""ts_ms":{"long":7}"#, 7000), (#""ts_ms":-7"#, -7000), (#""ts_ms":9223372036854775807"#, 99_000),
            (#""ts_us":-9223372036854775808"#, 99_000), (#""ts_ms":1e3"#, 99_000), (#""ts_ms":[]"#, 99_000),
        ] as [(String, Int64)]
    )
    func readsTime(_ source: String, _ time: Int64) throws {
        #expect(try event(Self.envelope(op: "c", source: source)).0.eventTime == time)
    }

    @Test("A truncate has a table, a position and no row")
    func readsTruncate() throws {
        let (event, message) = try event(Self.envelope(op: "t", after: "null"))
        #expect(event.operation == .truncate && event.before == nil && event.after == nil)
        #expect(message.text(event.table) == "public.orders")
        #expect(event.position?.kind == .lsn)
    }

    @Test(
        "What Debezium writes beside rows is control",
        arguments: [
            "null", " null ", #"{"schema":null,"payload":null}"#, #"{"payload":null,"schema":{"type":"struct"}}"#,
            #"{"ts_ms":1795360497906}"#, #"{"ts_ms":1,"ts_us":1,"ts_ns":1}"#,
            #"{"schema":{"type":"struct"},"payload":{"ts_ms":1}}"#,
            #"{"status":"BEGIN","id":"21382:833505600","event_count":null,"data_collections":null,"ts_ms":1}"#,
            #"{"status":"END","id":"1","ts_ms":1,"event_count":2,"data_collections":[{"data_collection":"a.b","event_count":2}]}"#,
            #"{"source":{"file":"b.1"},"ts_ms":1,"databaseName":"oms","schemaName":null,"ddl":"DROP TABLE t","tableChanges":[]}"#,
            envelope(op: "m", after: "null", more: #","message":{"prefix":"p","content":"aGVsbG8="}"#),
        ]
    )
    func readsControl(_ text: String) {
        for format in [SourceSettings.Format.auto, .debezium] {
            let message = decode(text, settings(format))
            #expect(message.isControl && message.events.isEmpty && message.failure == nil, "\(text)")
        }
    }

    @Test("An unknown operation, an image that is no object and a nameless table are refused")
    func refusesBrokenEnvelopes() {
        #expect(
            decode(Self.envelope(op: "x")).failure
                == Rejection(.valueInvalid, #""op" is "x", expected c, u, d, r, t or m"#)
        )
        #expect(decode(Self.envelope(op: "c", after: "[1]")).failure?.reason == .valueInvalid)
        #expect(decode(#"{"op":"c","source":{"db":"oms"},"after":{"id":1}}"#).failure?.reason == .unknownFormat)
        #expect(decode(#"{"schema":null,"payload":5}"#).failure?.reason == .valueInvalid)
        #expect(decode(#"{"schema":null,"payload":{"id":5}}"#).failure?.reason == .unknownFormat)
    }

    @Test("A missing image is no failure of the message: its key is missing")
    func readsMissingImages() throws {
        let (delete, _) = try event(Self.envelope(op: "d", before: "null", after: "null"))
        #expect(delete.before == nil)
        let (update, _) = try event(Self.envelope(op: "u", after: "null"))
        #expect(update.after == nil)
    }

    @Test("Avro's wrapping of optional values is taken off")
    func readsAvro() throws {
        let after = #"{"srv.public.orders.Value":{"id":1,"note":{"string":"x"},"n":{"long":5},"gone":null}}"#
        let source = #""lsn":{"long":33554800},"ts_ms":7,"gtid":null"#
        let (event, message) = try event(Self.envelope(op: "u", after: after, source: source))
        #expect(message.row(event.after) == ["id=number:1", "note=string:x", "n=number:5", "gone=null"])
        #expect(event.position == Position(kind: .lsn, 33_554_800, count: 1))
    }
}

struct DebeziumFlattenedTests {
    @Test("A flattened row keeps its columns and loses what was added")
    func readsRow() throws {
        for text in [Samples.flattened, #"{"schema":null,"payload":\#(Samples.flattened)}"#] {
            let (event, message) = try event(text)
            #expect(message.text(event.table) == "public.orders")
            #expect(event.operation == .update)
            #expect(message.row(event.after) == ["id=number:7", "status=string:PAID"])
            #expect(event.position == Position(kind: .lsn, 33_554_800, count: 1))
            #expect(event.eventTime == 1_772_357_415_000_000)
        }
    }

    @Test(
        "A rewritten delete is a delete",
        arguments: [
            (#""__deleted":"true""#, Operation.delete), (#""__deleted":true"#, .delete), (#""__op":"d""#, .delete),
            (#""__deleted":"false","__op":"c""#, .insert), (#""__op":"r""#, .snapshot), (#""x":1"#, .update),
            (#""__op":"u","__snapshot":"last""#, .snapshot),
        ]
    )
    func readsOperation(_ members: String, _ operation: TidemarkCore.Operation) throws {
        let (event, message) = try event(#"{"id":1,"__table":"orders","__db":"oms",\#(members)}"#)
        #expect(event.operation == operation)
        #expect(message.text(event.table) == "oms.orders")
        #expect((event.before != nil) == (operation == .delete))
        #expect((event.after == nil) == (operation == .delete))
        #expect(event.beforeTrust == .whole)
    }

    @Test("An offset in the binlog is read under both of its names")
    func readsPosition() throws {
        for (file, pos) in [("__file", "__pos"), ("__source_file", "__source_pos")] {
            let (event, message) = try event(#"{"id":1,"__table":"t","\#(file)":"b.12","\#(pos)":5,"__row":2}"#)
            #expect(event.position == Position(kind: .binlog, 12, 5, 2, count: 3))
            #expect(message.text(event.positionText) == "b.12:5:2")
        }
        #expect(try event(#"{"id":1,"__table":"t"}"#).0.position == nil)
    }

    @Test("An empty keyspace beside a database is none")
    func ignoresEmptyKeyspace() throws {
        let source = #""keyspace":"","db":"shop","table":"t""#
        for text in [
            #"{"id":1,"__table":"t","__keyspace":"","__db":"shop"}"#,
            #"{"before":null,"after":{"id":1},"source":{\#(source)},"op":"c"}"#,
        ] {
            let (event, message) = try event(text)
            #expect(message.text(event.table) == "shop.t" && message.text(event.database) == "shop")
        }
    }

    @Test("A PostgreSQL delete believes its key only")
    func readsPostgresDelete() throws {
        let text = #"{"id":1,"note":"","__table":"t","__schema":"public","__deleted":"true"}"#
        #expect(try event(text).0.beforeTrust == .key)
        #expect(try event(text, settings(full: true)).0.beforeTrust == .full)
    }

    @Test("Without `__table` the table of a row is unknown")
    func refusesNamelessRow() throws {
        let failure = try #require(decode(#"{"id":1,"__op":"u"}"#, settings(.debezium)).failure)
        #expect(failure.reason == .unknownFormat && failure.detail.contains("__table"))
        #expect(decode(#"{"id":1,"__table":"t","__op":"x"}"#).failure?.reason == .valueInvalid)
        #expect(decode(#"{"id":1,"__table":"t","__deleted":"maybe"}"#).failure?.reason == .valueInvalid)
    }
}
