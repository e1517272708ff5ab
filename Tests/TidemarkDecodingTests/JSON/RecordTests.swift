import Testing
import TidemarkCore
import TidemarkDecoding

/// What keys and headers of a broker's messages add to their values.
@Suite struct RecordTests {
    private static func decode(
        _ value: String?,
        key: String? = nil,
        headers: [(String, String?)] = [],
        wanting names: [String] = [],
        _ settings: SourceSettings = SourceSettings(name: "test")
    ) -> DecodedMessage {
        var bytes = Array((value ?? "").utf8)
        func append(_ text: String) -> ByteRange {
            let start = bytes.count
            bytes += Array(text.utf8)
            return ByteRange(start: start, end: bytes.count)
        }
        let payload = value.map { ByteRange(start: 0, end: $0.utf8.count) }
        let key = key.map(append)
        let list = headers.map { MessageHeader(name: append($0.0), value: $0.1.map(append)) }
        let message = MessageBlock.Message(
            payload: payload,
            offset: StreamOffset(major: 41),
            ordinal: 42,
            length: 0,
            key: key,
            headers: 0..<list.count
        )
        let block = MessageBlock(
            bytes: bytes + [UInt8](repeating: 0, count: MessageBlock.padding),
            messages: [message],
            start: StreamProgress(offset: StreamOffset(major: 41), ordinal: 42),
            end: StreamProgress(offset: StreamOffset(major: 42), ordinal: 43),
            headers: list,
            origin: RecordOrigin(topic: Array("dbz.shop.orders".utf8), partition: 3)
        )
        var decoder = MessageDecoder(settings: settings, headers: names.map { Array("$header.\($0)".utf8) })
        var decoded = DecodedMessage()
        decoder.decode(message, of: block, into: &decoded)
        decoded.expectConsistent()
        // A kept record brings the same message.
        block.withRecord(of: message) { _, record in
            guard let record else { return }
            let stored = StoredRecord(bytes: StoredRecord(record, isTombstone: payload == nil).bytes)
            #expect(stored == StoredRecord(record, isTombstone: payload == nil))
            var again = DecodedMessage()
            decoder.decode(Array((value ?? "").utf8), stored, into: &again)
            #expect(again.events.map { again.row($0.after) } == decoded.events.map { decoded.row($0.after) })
            #expect(again.failure == decoded.failure)
            #expect(again.isControl == decoded.isControl)
        }
        return decoded
    }

    @Test("A kept record has the name of its partition or queue")
    func keepsTheNameOfItsOrigin() throws {
        for name in ["orders[3]", "orders@broker-a[3]"] {
            let origin = RecordOrigin(topic: Array("orders".utf8), partition: 3, name: Array(name.utf8))
            let record = MessageRecord(
                origin: origin,
                offset: 7,
                key: nil,
                headers: UnsafeBufferPointer(start: nil, count: 0),
                bytes: UnsafeRawBufferPointer(start: nil, count: 0)
            )
            let stored = try #require(StoredRecord(bytes: StoredRecord(record, isTombstone: false).bytes))
            #expect(stored.withRecord { String(decoding: $0.origin.name, as: UTF8.self) } == name)
        }
    }

    private static func settings(
        table: SourceSettings.TableRule? = nil,
        positions: SourceSettings.PositionRule = .message,
        tombstones: SourceSettings.TombstoneRule? = nil
    ) -> SourceSettings {
        var settings = SourceSettings(name: "test")
        (settings.table, settings.positions, settings.tombstones) = (table, positions, tombstones)
        return settings
    }

    private static func fields(_ message: DecodedMessage, _ range: Range<Int>?) -> [String]? {
        range.map { $0.map { message.describe(message.fields[$0]) } }
    }

    @Test func `A tombstone is control, unless tombstones are deletes`() throws {
        #expect(Self.decode(nil, key: #"{"id":7}"#).isControl)
        #expect(Self.decode("", key: #"{"id":7}"#).isControl)
        #expect(Self.decode(nil, key: #"{"id":7}"#, Self.settings(table: .fromTopic)).isControl)
        for settings in [
            Self.settings(table: .fromTopic, tombstones: .delete),
            Self.settings(table: .fromTopic, positions: .offset),
        ] {
            for key in [#"{"id":7}"#, #"{"schema":null,"payload":{"id":7}}"#, "\0\0\0\0\u{5}{\"id\":7}"] {
                let message = Self.decode(nil, key: key, settings)
                let event = try #require(message.events.first)
                #expect(event.operation == .delete)
                #expect(message.text(event.table) == "shop.orders")
                #expect(message.text(event.database) == "dbz")
                #expect(Self.fields(message, event.before) == ["id=number:7"])
                #expect(event.beforeTrust == .key)
            }
        }
        let control = Self.settings(table: .fromTopic, positions: .offset, tombstones: .control)
        #expect(Self.decode(nil, key: #"{"id":7}"#, control).isControl)
        #expect(Self.decode(nil, Self.settings(table: .fromTopic, positions: .offset)).failure?.reason == .keyMissing)
    }

    @Test(arguments: [("7", "number:7"), (#""a b""#, "string:a b"), ("plain text", "string:plain text")])
    func `A key that is one value has no column's name`(key: String, value: String) throws {
        let message = Self.decode(nil, key: key, Self.settings(table: .fromTopic, positions: .offset))
        #expect(Self.fields(message, try #require(message.events.first).before) == ["$key=\(value)"])
    }

    @Test func `A delete without an image has that of its key`() throws {
        let value =
            #"{"before":null,"after":null,"op":"d","source":{"connector":"postgresql","schema":"shop","table":"orders","lsn":9}}"#
        let message = Self.decode(value, key: #"{"id":7,"at":{"year":2026}}"#)
        let event = try #require(message.events.first)
        #expect(Self.fields(message, event.before)?.first == "id=number:7")
        #expect(event.beforeTrust == .key)
        #expect(event.position?.kind == .lsn)
        #expect(Self.decode(value).events.first?.before == nil)
    }

    @Test func `Headers that are wanted stand behind the row, and are no part of it`() throws {
        let value = #"{"table":"shop.orders","op":"update","before":{"id":6},"after":{"id":7},"position":[4]}"#
        let message = Self.decode(
            value,
            headers: [("tenant", "first"), ("other", "x"), ("tenant", "a\"b"), ("none", nil)],
            wanting: ["none", "tenant", "missing"]
        )
        let event = try #require(message.events.first)
        #expect(message.row(event.after) == ["id=number:7"])
        #expect(
            Self.fields(message, event.after) == ["id=number:7", "$header.none=null", "$header.tenant=string:a\"b"]
        )
        #expect(!message.isVerbatim)
        let delete = Self.decode(
            #"{"table":"shop.orders","op":"delete","before":{"id":6}}"#,
            headers: [("tenant", "a")],
            wanting: ["tenant"]
        )
        #expect(
            Self.fields(delete, try #require(delete.events.first).before) == ["id=number:6", "$header.tenant=string:a"]
        )
    }

    @Test func `Each row of a message has its headers`() throws {
        let canal =
            #"{"database":"shop","table":"orders","type":"INSERT","isDdl":false,"es":1,"ts":1,"old":null,"data":[{"id":"1"},{"id":"2"}]}"#
        let message = Self.decode(canal, headers: [("v", "5")], wanting: ["v"])
        #expect(
            message.events.map { Self.fields(message, $0.after) } == [
                ["id=string:1", "$header.v=string:5"], ["id=string:2", "$header.v=string:5"],
            ]
        )
    }

    @Test func `Offsets are positions where a source says so`() throws {
        let value = #"{"table":"shop.orders","op":"update","after":{"id":7},"position":[4]}"#
        let own = try #require(Self.decode(value).events.first)
        #expect(own.position?.kind == .numbers)
        let message = Self.decode(value, Self.settings(positions: .offset))
        let event = try #require(message.events.first)
        #expect(event.position == Position(kind: .offset, 41, 0, count: 2))
        #expect(message.text(event.positionText) == "dbz.shop.orders[3]:41")
        #expect(event.position?.description == "41")
    }

    @Test func `A row that names no table is of the table that the source names`() throws {
        let row = #"{"id":7,"type":"gift","database":"x","op":"add"}"#
        #expect(Self.decode(row).failure != nil)
        var debezium = Self.settings(table: .named("shop.orders"))
        debezium.format = .debezium
        let message = Self.decode(row, debezium)
        let event = try #require(message.events.first)
        #expect(message.text(event.table) == "shop.orders")
        #expect(message.row(event.after)?.count == 4)
        let named = Self.decode(#"{"id":7,"__table":"lines","__op":"c"}"#, debezium)
        #expect(named.text(try #require(named.events.first).table) == "lines")
        #expect(Self.decode(#"{"id":7,"__deleted":"true"}"#, debezium).events.first?.operation == .delete)
    }

    @Test func `The table of a topic is its last two parts`() {
        for (topic, table, database) in [
            ("orders", "orders", ""), ("shop.orders", "shop.orders", ""), ("dbz.shop.orders", "shop.orders", "dbz"),
            ("a.b.shop.orders", "shop.orders", "a.b"), ("shop..orders", "\"shop..orders\"", ""),
        ] {
            let origin = RecordOrigin(topic: Array(topic.utf8), partition: 0)
            #expect(String(decoding: origin.table, as: UTF8.self) == table)
            #expect(String(decoding: origin.database, as: UTF8.self) == database)
        }
    }

    @Test func `A line of kcat is the message that it holds`() throws {
        let line =
            #"{"topic":"dbz.shop.orders","partition":3,"offset":41,"tstype":"create","ts":1,"broker":0,"headers":["tenant","a"],"key":"{\"id\":7}","payload":"{\"table\":\"shop.orders\",\"op\":\"update\",\"after\":{\"id\":7,\"note\":\"a \\\"q\\\"\"}}"}"#
        var decoder = MessageDecoder(
            settings: Self.settings(positions: .offset),
            headers: [Array("$header.tenant".utf8)]
        )
        var message = DecodedMessage()
        for _ in 0..<2 {
            Array(line.utf8).withUnsafeBytes { decoder.decode($0, into: &message) }
            let event = try #require(message.events.first)
            #expect(message.row(event.after) == ["id=number:7", "note=string:a \"q\""])
            #expect(Self.fields(message, event.after)?.last == "$header.tenant=string:a")
            #expect(event.position == Position(kind: .offset, 41, 0, count: 2))
        }
        let tombstone = #"{"topic":"t","partition":0,"offset":1,"key":"7","payload":null}"#
        #expect(TidemarkDecodingTests.decode(tombstone).isControl)
        // With kcat's -s, values that it unpacks are JSON. A row of a table may have some of these columns.
        let unpacked =
            #"{"topic":"t","partition":0,"offset":1,"key":7,"payload":{"table":"shop.orders","op":"insert","after":{"id":7}}}"#
        #expect(TidemarkDecodingTests.decode(unpacked).events.count == 1)
        let row = #"{"topic":"t","partition":0,"offset":1,"key":7,"payload":{},"price":3}"#
        #expect(TidemarkDecodingTests.decode(row).failure?.reason == .unknownFormat)
        let malformed = #"{"topic":"t","partition":0,"offset":1,"key":"7","payload":"{\"id\":,\"status\":1}"}"#
        let failure = TidemarkDecodingTests.decode(malformed).failure
        #expect(failure?.detail == "the payload: malformed JSON at byte 6: a value is expected")
        // A dump in a dump is no message of a format.
        let nested =
            #"{"topic":"t","partition":0,"offset":1,"key":7,"payload":"\#(tombstone.replacing("\"", with: "\\\""))"}"#
        #expect(TidemarkDecodingTests.decode(nested).failure?.reason == .unknownFormat)
    }
}
