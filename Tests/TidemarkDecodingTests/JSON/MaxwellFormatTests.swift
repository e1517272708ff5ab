import Testing
import TidemarkCore
import TidemarkDecoding

struct MaxwellFormatTests {
    private static func row(_ more: String, type: String = "update") -> String {
        #"{"database":"oms","table":"orders","type":"\#(type)","ts":1772357415,"data":{"id":1},\#(more)}"#
    }

    @Test("An update has the new row, and of the old one what changed")
    func readsUpdate() throws {
        let (event, message) = try event(Samples.maxwellUpdate)
        #expect(message.text(event.table) == "oms.orders")
        #expect(event.operation == .update)
        #expect(
            message.row(event.after) == [
                "id=number:18446744073709551610", "status=string:SHIPPED", "amount=number:199.950",
                #"tags=json:["gift"]"#, #"meta=json:{"w":2}"#, "shipped_at=string:2026-03-01 09:30:15.120000",
            ]
        )
        #expect(message.row(event.before) == ["status=string:PAID", "shipped_at=null"])
        #expect(event.beforeHoldsChangesOnly && !event.writesJSONAsText && event.beforeTrust == .whole)
        #expect(event.position == Position(kind: .binlog, 42, 1288, 2, count: 3))
        #expect(message.text(event.positionText) == "mysql-bin.000042:1288")
        #expect(event.eventTime == 1_772_357_415_000_000)
        #expect(message.primaryKey.map(message.text) == ["id"])
    }

    @Test("A delete has its last row as the image before it")
    func readsDelete() throws {
        let (event, message) = try event(Samples.maxwellDelete)
        #expect(event.operation == .delete)
        #expect(message.row(event.before) == ["id=number:7", "status=string:CANCELLED"])
        #expect(event.after == nil && !event.beforeHoldsChangesOnly && message.primaryKey.isEmpty)
    }

    @Test("Rows of one row event are told apart, and the one with the commit is last")
    func ordersRows() throws {
        let rows = [#""xoffset":0"#, #""xoffset":1"#, #""xid":5"#, #""commit":true"#, #""commit":true,"xoffset":4"#]
        let offsets = try rows.map {
            try event(Self.row(#""position":"mysql-bin.000042:1288",\#($0)"#)).0.position?.numbers.2
        }
        #expect(offsets == [0, 1, 0, .max, .max])
    }

    @Test("A change of the key is in `old`")
    func readsKeyChange() throws {
        let (event, message) = try event(Self.row(#""old":{"id":6}"#))
        #expect(message.row(event.before) == ["id=number:6"])
        #expect(event.beforeHoldsChangesOnly)
    }

    @Test("With a declared order of servers the transaction is the position, otherwise the file")
    func readsGTID() throws {
        let order = settings(gtidOrder: ["other", "3e11fa47-71ca-11e1-9e33-c80aa9429562"])
        let (event, message) = try event(Samples.maxwellUpdate, order)
        #expect(event.position == Position(kind: .gtid, 2, 77, 2, 0, count: 4))
        #expect(message.text(event.positionText) == "3e11fa47-71ca-11e1-9e33-c80aa9429562:77")
        let (unknown, _) = try TidemarkDecodingTests.event(Samples.maxwellUpdate, settings(gtidOrder: ["other"]))
        #expect(unknown.position == nil && unknown.positionGap == .undeclaredServer)
        let (without, _) = try TidemarkDecodingTests.event(Samples.maxwellDelete, order)
        #expect(without.position == nil && without.positionGap == .maxwellTransaction)
    }

    @Test("What is not wanted is not taken apart: all else is as it was, a position's text included")
    func leavesOutWhatIsNotWanted() throws {
        func decoded(_ text: String, _ settings: SourceSettings, _ wants: MessageDecoder.Wants) throws -> DecodedMessage
        {
            var decoder = MessageDecoder(settings: settings, wants: wants)
            var message = DecodedMessage()
            Array(text.utf8).withUnsafeBytes { decoder.decode($0, into: &message) }
            try #require(message.events.count == 1)
            return message
        }
        let unreadable = Self.row(#""position":"somewhere""#)
        let order = settings(gtidOrder: ["3e11fa47-71ca-11e1-9e33-c80aa9429562"])
        for (text, settings) in [
            (Samples.maxwellUpdate, settings()), (Samples.maxwellUpdate, order), (unreadable, settings()),
        ] {
            let (all, some) = (try decoded(text, settings, .all), try decoded(text, settings, []))
            #expect(some.events[0].position == nil && some.events[0].positionGap == nil && some.primaryKey.isEmpty)
            #expect(some.text(some.events[0].positionText) == all.text(all.events[0].positionText))
            #expect(!some.events[0].positionText.isEmpty)
            #expect(some.bytes == all.bytes && some.row(some.events[0].after) == all.row(all.events[0].after))
        }
        let (event, _) = try event(unreadable)
        #expect(event.position == nil && event.positionGap == .unreadable)
    }

    @Test("A bootstrapped row is a snapshot without a position")
    func readsBootstrap() throws {
        let (event, _) = try event(Self.row(#""position":"mysql-bin.000042:1288""#, type: "bootstrap-insert"))
        #expect(event.operation == .snapshot && event.position == nil && event.after != nil)
    }

    @Test(
        "Bootstraps' ends and DDL are control",
        arguments: [
            #"{"database":"oms","table":"orders","type":"bootstrap-start","ts":1,"data":{}}"#,
            #"{"database":"oms","table":"orders","type":"bootstrap-complete","ts":1,"data":{}}"#,
            #"{"type":"table-alter","database":"oms","table":"orders","old":{"table":"orders"},"def":{},"ts":1772357600000,"sql":"x"}"#,
            #"{"type":"database-create","database":"oms","ts":1,"sql":"create database oms"}"#,
        ]
    )
    func readsControl(_ text: String) {
        for format in [SourceSettings.Format.auto, .maxwell] {
            #expect(decode(text, settings(format)).isControl)
        }
    }

    @Test(
        "Positions and clocks that make no sense are none",
        arguments: [
            #""position":"mysql-bin.000042""#, #""position":":5""#, #""position":"b.x:5""#, #""position":"b.1:""#,
            #""position":"b.1:-5""#, #""position":5"#, #""position":"b.99999999999999999999:5""#,
        ]
    )
    func readsNoPosition(_ position: String) throws {
        #expect(try event(Self.row(position)).0.position == nil)
    }

    @Test(
        "A second beyond all calendars is no time",
        arguments: ["9223372036854775807", "-9223372036854775808", "1e9", "\"x\""]
    )
    func readsNoTime(_ seconds: String) throws {
        let text = #"{"database":"d","table":"t","type":"insert","ts":\#(seconds),"data":{"id":1}}"#
        #expect(try event(text).0.eventTime == nil)
    }

    @Test("Encrypted rows are refused in so many words")
    func refusesEncryption() {
        for text in [
            #"{"database":"d","table":"t","type":"insert","ts":1,"encrypted":{"iv":"x","bytes":"y"}}"#,
            #"{"encrypted":{"iv":"x","bytes":"y"}}"#,
        ] {
            let failure = decode(text).failure
            #expect(failure?.reason == .unknownFormat && failure?.detail.contains("encrypted") == true)
        }
    }

    @Test("Broken rows are refused, and a row without data has no image")
    func refusesBrokenRows() throws {
        #expect(decode(Self.row(#""x":1"#, type: "upsert")).failure?.reason == .valueInvalid)
        #expect(decode(#"{"database":"d","type":"insert","data":{}}"#).failure?.reason == .unknownFormat)
        #expect(decode(#"{"database":"d","table":"t","type":"insert","data":5}"#).failure?.reason == .valueInvalid)
        #expect(decode(Self.row(#""old":"x""#)).failure?.reason == .valueInvalid)
        #expect(try event(#"{"database":"d","table":"t","type":"insert","ts":1}"#).0.after == nil)
    }
}
