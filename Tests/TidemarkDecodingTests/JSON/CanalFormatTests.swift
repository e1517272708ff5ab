import Testing
import TidemarkCore

struct CanalFormatTests {
    private static func message(_ type: String, _ more: String) -> String {
        #"{"id":1,"database":"oms","table":"orders","isDdl":false,"type":"\#(type)","es":1772357415000,\#(more)}"#
    }

    @Test("One message holds many rows, each an event with its index")
    func readsRows() throws {
        let message = decode(Samples.canalUpdate)
        #expect(message.failure == nil && message.rowFailures.isEmpty)
        try #require(message.events.count == 2)
        #expect(message.events.map(\.row) == [0, 1])
        for event in message.events {
            #expect(message.text(event.table) == "oms.orders")
            #expect(event.operation == .update)
            #expect(event.eventTime == 1_772_357_415_000_000)
            #expect(message.primaryKey.map(message.text) == ["id"])
            #expect(event.writesJSONAsText && event.beforeHoldsChangesOnly)
            #expect(event.position == nil && event.positionText.isEmpty)
        }
        #expect(
            message.row(message.events[0].after)
                == ["id=string:9007199254740995", "status=string:SHIPPED", "amount=string:199.95"]
        )
        #expect(message.row(message.events[1].after)?.last == "amount=null")
        #expect(message.row(message.events[0].before) == ["status=string:PAID"])
        #expect(message.row(message.events[1].before) == [])
    }

    @Test("A delete's rows are images from before it")
    func readsDelete() throws {
        let (event, message) = try event(Self.message("DELETE", #""data":[{"id":"7"}],"old":null"#))
        #expect(event.operation == .delete && event.after == nil && !event.beforeHoldsChangesOnly)
        #expect(message.row(event.before) == ["id=string:7"])
    }

    @Test("An insert has no former values, and `old` may be missing or short")
    func readsInsert() throws {
        #expect(try event(Self.message("INSERT", #""data":[{"id":"7"}],"old":null"#)).0.before == nil)
        #expect(try event(Self.message("INSERT", #""data":[{"id":"7"}],"old":[{"id":"8"}]"#)).0.before == nil)
        #expect(try event(Self.message("UPDATE", #""data":[{"id":"7"}]"#)).0.before == nil)
        let short = decode(Self.message("UPDATE", #""data":[{"id":"7"},{"id":"8"}],"old":[{"id":"6"}]"#))
        #expect(short.events.map { $0.before != nil } == [true, false])
    }

    @Test("A row that is none fails alone")
    func failsSingleRow() {
        let text = Self.message("UPDATE", #""data":[{"id":"1"},"x",{"id":"3"},{"id":"4"}],"old":[null,{},7,{}]"#)
        let message = decode(text)
        message.expectConsistent()
        #expect(message.events.map(\.row) == [0, 3])
        #expect(
            message.rowFailures == [
                .init(row: 1, Rejection(.valueInvalid, #""data[1]" is "x", expected an object of columns"#)),
                .init(row: 2, Rejection(.valueInvalid, #""old[2]" is 7, expected an object of columns"#)),
            ]
        )
        let onlyBad = decode(Self.message("INSERT", #""data":[null]"#))
        #expect(onlyBad.events.isEmpty && onlyBad.rowFailures.count == 1 && !onlyBad.isControl)
    }

    @Test(
        "DDL, queries and the rest are control",
        arguments: [
            "CREATE", "ALTER", "ERASE", "QUERY", "RENAME", "CINDEX", "DINDEX", "XACOMMIT", "GTID", "MHEARTBEAT",
        ]
    )
    func readsControl(_ type: String) {
        for ddl in [true, false] {
            let text =
                #"{"id":1,"database":"oms","table":"","isDdl":\#(ddl),"type":"\#(type)","es":1,"data":null,"old":null}"#
            #expect(decode(text).isControl)
            #expect(decode(text, settings(.canal)).isControl)
        }
        #expect(decode(Self.message("INSERT", #""data":[]"#)).isControl)
    }

    @Test("A truncate is an event of its table")
    func readsTruncate() throws {
        let text =
            #"{"id":1,"database":"oms","table":"orders","isDdl":true,"type":"TRUNCATE","es":1000,"data":null,"sql":"x"}"#
        let (event, message) = try event(text)
        #expect(event.operation == .truncate && message.text(event.table) == "oms.orders")
        #expect(event.eventTime == 1_000_000 && event.position == nil)
    }

    @Test(
        "The set of executed transactions gives a position, by the latest server of the declared order",
        arguments: [
            ("a:1-77", 1, 77), ("a:1-77,b:1-5", 2, 5), ("b:1-5,\\na:1-99", 2, 5), ("A:1-5:9:7", 1, 9),
            ("c:1-9", nil, 0),
            ("", nil, 0), ("a:x", nil, 0), ("a:1-77,c:1-900", 1, 77), ("a:1-4:blue:1-8", 1, 4), ("d:blue:3", 3, 3),
            ("d:1-9:blue:1-8:red:1-7", 3, 8), ("0-1-270,0-2-3", 4, 270), ("a:1-99999999999999999999", nil, 0),
            (":,:", nil, 0),
        ] as [(String, UInt64?, UInt64)]
    )
    func readsGTIDSet(_ set: String, _ server: UInt64?, _ number: UInt64) {
        let text = Self.message("INSERT", #""data":[{"id":"1"},{"id":"2"}],"gtid":"\#(set)""#)
        let message = decode(text, settings(epoch: 4, gtidOrder: ["a", "b", "d:blue", "0-1"]))
        for (index, event) in message.events.enumerated() {
            #expect(
                event.position
                    == server.map { Position(kind: .gtid, epoch: 4, $0, number, UInt64(index), 0, count: 4) }
            )
        }
    }

    @Test("Broken messages are refused")
    func refusesBrokenMessages() {
        #expect(decode(Self.message("UPSERT", #""data":[]"#)).failure?.reason == .valueInvalid)
        #expect(decode(Self.message("INSERT", #""data":null"#)).failure?.reason == .valueInvalid)
        #expect(decode(Self.message("INSERT", #""data":{"id":"1"}"#)).failure?.reason == .valueInvalid)
        #expect(decode(Self.message("INSERT", #""sql":"""#)).failure?.reason == .unknownFormat)
        #expect(decode(Self.message("UPDATE", #""data":[],"old":5"#)).failure?.reason == .valueInvalid)
    }
}
