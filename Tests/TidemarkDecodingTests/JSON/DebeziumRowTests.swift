import Foundation
import Testing
import TidemarkCore
import TidemarkDecoding

struct DebeziumRowTests {
    private static let bytes = "__debezium_unavailable_value".utf8.map { String($0) }

    @Test(
        "A value that the database did not log is unavailable, in each of its encodings",
        arguments: [
            #""__debezium_unavailable_value""#, #""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#,
            #""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ""#,
            #""5f5f646562657a69756d5f756e617661696c61626c655f76616c7565""#,
            #""5F5F646562657A69756D5F756E617661696C61626C655F76616C7565""#,
            #"["__debezium_unavailable_value"]"#, #"["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]"#,
            "[\(bytes.joined(separator: ","))]", "[ \(bytes.joined(separator: " , ")) ]",
            "[\(bytes.map { $0 + ".0" }.joined(separator: ","))]",
            "[\(bytes.map { "\"\($0)\"" }.joined(separator: ","))]",
            #"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#,
            #"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#,
            #""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#,
            #""__debezium_unavailable\u005fvalue""#,
        ]
    )
    func readsPlaceholder(_ value: String) throws {
        let text = DebeziumFormatTests.envelope(op: "u", after: #"{"id":1,"doc":\#(value),"b":2}"#)
        let (event, message) = try event(text)
        #expect(message.row(event.after) == ["id=number:1", "doc=unavailable", "b=number:2"])
        // Other formats have no placeholder: to them it is a text.
        let maxwell = #"{"database":"d","table":"t","type":"insert","ts":1,"data":{"doc":\#(value)}}"#
        let (other, otherMessage) = try TidemarkDecodingTests.event(maxwell)
        #expect(otherMessage.fields[try #require(other.after).lowerBound].kind != .unavailable)
    }

    @Test(
        "A value that only looks like a placeholder is a value",
        arguments: [
            #""__debezium_unavailable_valuf""#, #""__debezium_unavailable_value ""#, "[]", "{}", "[1]", #"[["a"]]"#,
            #"["__debezium_unavailable_value","__debezium_unavailable_value"]"#,
            "[\(bytes.dropLast().joined(separator: ",")),0]", "[\(bytes.dropLast().joined(separator: ",")),101.5]",
            "[\(bytes.dropLast().joined(separator: ",")),[]]", #"{"a":"__debezium_unavailable_value"}"#,
            #"{"__debezium_unavailable_value":1}"#, #""b68a35a7-17ad-35b3-af2a-ae46edb4545a""#,
        ]
    )
    func keepsValue(_ value: String) throws {
        let (event, message) = try event(DebeziumFormatTests.envelope(op: "u", after: #"{"doc":\#(value)}"#))
        let row = try #require(event.after)
        #expect([.string, .json].contains(message.fields[row.lowerBound].kind))
    }

    private static func field(_ name: String, _ type: String, _ semantic: String? = nil, _ more: String = "") -> String
    {
        let semantic = semantic.map { #","name":"\#($0)""# } ?? ""
        return #"{"type":"\#(type)","optional":true\#(semantic),"version":1\#(more),"field":"\#(name)"}"#
    }

    private static let columns = [
        field("id", "int64"),
        field("price", "bytes", "org.apache.kafka.connect.data.Decimal", #","parameters":{"scale":"2"}"#),
        field("day", "int32", "io.debezium.time.Date"), field("cday", "int32", "org.apache.kafka.connect.data.Date"),
        field("ms", "int64", "io.debezium.time.Timestamp"),
        field("cms", "int64", "org.apache.kafka.connect.data.Timestamp"),
        field("us", "int64", "io.debezium.time.MicroTimestamp"), field("ns", "int64", "io.debezium.time.NanoTimestamp"),
        field("t", "int64", "io.debezium.time.MicroTime"), field("tz", "string", "io.debezium.time.ZonedTimestamp"),
        field("bits", "bytes", "io.debezium.data.Bits"), field("raw", "bytes"),
        field("odd", "bytes", "org.apache.kafka.connect.data.Decimal", #","parameters":{"scale":"99999"}"#),
        field("any", "struct", "io.debezium.data.VariableScaleDecimal"),
    ]
    private static let row =
        #"{"id":1,"price":"Ths=","day":20513,"cday":1,"ms":2,"cms":3,"us":4,"ns":5,"t":6,"tz":"x","bits":"AQ==","#
        + #""raw":"AP8=","odd":"AA==","any":{"scale":3,"value":"Bdw="},"later":7}"#
    private static let expected = [
        "id=number:1", "price=string:Ths= [decimal_base64] scale 2", "day=number:20513 [epoch_days]",
        "cday=number:1 [epoch_days]", "ms=number:2 [epoch_ms]", "cms=number:3 [epoch_ms]", "us=number:4 [epoch_us]",
        "ns=number:5 [epoch_ns]", "t=number:6 [epoch_us]", "tz=string:x", "bits=string:AQ== [bits_base64]",
        "raw=string:AP8= [base64]", "odd=string:AA==", #"any=json:{"scale":3,"value":"Bdw="}"#, "later=number:7",
    ]

    @Test("The schema beside a payload tells how columns are written")
    func readsSchema() throws {
        let fields = Self.columns.joined(separator: ",")
        let schema =
            #"{"type":"struct","fields":[{"type":"struct","fields":[\#(fields)],"field":"before"},"#
            + #"{"type":"struct","fields":[\#(fields)],"field":"after"},{"type":"string","field":"op"}]}"#
        let payload = DebeziumFormatTests.envelope(op: "u", before: Self.row, after: Self.row)
        let text = #"{"schema":\#(schema),"payload":\#(payload)}"#
        var decoder = MessageDecoder(settings: SourceSettings(name: "test"))
        var message = DecodedMessage()
        for _ in 0..<2 {
            Array(text.utf8).withUnsafeBytes { decoder.decode($0, into: &message) }
            let event = try #require(message.events.first)
            #expect(message.row(event.after) == Self.expected)
            #expect(message.row(event.before) == Self.expected)
            let zoneless = message.fields.storage[..<message.fields.count].filter(\.isWallClock)
            #expect(zoneless.count == 2 * ["day", "cday", "ms", "cms", "us", "ns", "t"].count)
        }
        // A schema that differs in one scale is another schema.
        let other = text.replacingOccurrences(of: #""scale":"2""#, with: #""scale":"3""#)
        Array(other.utf8).withUnsafeBytes { decoder.decode($0, into: &message) }
        #expect(message.row(message.events[0].after)?[1] == "price=string:Ths= [decimal_base64] scale 3")
    }

    @Test("The schema of a flattened row tells as much, in any order of its columns")
    func readsFlattenedSchema() throws {
        let schema = #"{"type":"struct","fields":[\#(Self.columns.reversed().joined(separator: ","))]}"#
        let row = Self.row.dropLast() + #","__table":"t"}"#
        let (event, message) = try event(#"{"schema":\#(schema),"payload":\#(row)}"#)
        #expect(message.row(event.after) == Self.expected)
    }

    @Test("More tables than the cache holds are read as well")
    func readsManySchemas() throws {
        var decoder = MessageDecoder(settings: SourceSettings(name: "test"))
        var message = DecodedMessage()
        for round in 0..<60 {
            let scale = round % 20
            let field = Self.field(
                "n",
                "bytes",
                "org.apache.kafka.connect.data.Decimal",
                #","parameters":{"scale":"\#(scale)"}"#
            )
            let text = #"{"schema":{"fields":[\#(field)]},"payload":{"n":"AA==","__table":"t"}}"#
            Array(text.utf8).withUnsafeBytes { decoder.decode($0, into: &message) }
            #expect(Int(message.fields[0].scale) == scale)
        }
    }
}
