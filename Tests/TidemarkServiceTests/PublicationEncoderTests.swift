import Testing
import TidemarkConfiguration
import TidemarkCore

@testable import TidemarkService

/// What messages become in a topic.
@Suite struct PublicationEncoderTests {
    private static func encode(
        _ text: String?,
        _ form: PublicationForm,
        isNumbered: Bool = false,
        headers: [(String, String)] = [],
        key: String? = nil,
        keys: [[String]] = [["id"]],
        change: (inout SourceSettings) -> Void = { _ in }
    ) -> PublicationEncoder.Encoded {
        var configuration = PublicationConfiguration(source: "test", target: .kafka(KafkaTarget()))
        configuration.form = form
        configuration.stampsSequence = isNumbered
        let definitions = keys.enumerated().map { index, key in
            ProjectionDefinition(name: "p\(index)", from: ["shop.orders"], key: key, sequence: [.position])
        }
        var settings = SourceSettings(name: "test")
        change(&settings)
        var encoder = PublicationEncoder(Publication(configuration, keys: definitions), settings)
        var bytes = Array((text ?? "").utf8)
        func append(_ text: String) -> ByteRange {
            let start = bytes.count
            bytes += Array(text.utf8)
            return ByteRange(start: start, end: bytes.count)
        }
        let payload = text.map { ByteRange(start: 0, end: $0.utf8.count) }
        let list = headers.map { MessageHeader(name: append($0.0), value: append($0.1)) }
        let message = MessageBlock.Message(
            payload: payload,
            offset: StreamOffset(major: 4),
            ordinal: 5,
            length: 0,
            key: key.map(append),
            headers: 0..<list.count
        )
        let block = MessageBlock(
            bytes: bytes + [UInt8](repeating: 0, count: MessageBlock.padding),
            messages: [message],
            start: StreamProgress(offset: StreamOffset(major: 4), ordinal: 5),
            end: StreamProgress(offset: StreamOffset(major: 5), ordinal: 6),
            headers: list,
            origin: headers.isEmpty && key == nil ? nil : RecordOrigin(topic: Array("t".utf8), partition: 0)
        )
        return encoder.encode(message, of: block)
    }

    /// `KEY VALUE` of each record.
    private static func texts(_ encoded: PublicationEncoder.Encoded) -> [String] {
        encoded.records.map { record in
            func text(_ bytes: [UInt8]?) -> String { bytes.map { String(decoding: $0, as: UTF8.self) } ?? "∅" }
            return "\(text(record.key)) \(text(record.value))"
        }
    }

    private static let keyChange =
        #"{"table":"shop.orders","op":"update","before":{"id":1},"after":{"id":2,"v":5},"position":[7]}"#

    @Test func `The original goes to each entity that it concerns`() {
        let one = #"{"table":"shop.orders","op":"update","after":{"id":1},"position":[7]}"#
        #expect(Self.texts(Self.encode(one, .original)) == ["1 \(one)"])
        #expect(Self.texts(Self.encode(Self.keyChange, .original)) == ["2 \(Self.keyChange)", "1 \(Self.keyChange)"])
        let truncate = #"{"table":"shop.orders","op":"truncate","position":[8]}"#
        #expect(Self.texts(Self.encode(truncate, .original)) == ["∅ \(truncate)"])
        let canal =
            #"{"database":"shop","table":"orders","type":"INSERT","isDdl":false,"es":1,"ts":1,"old":null,"data":[{"id":"1"},{"id":"2"},{"id":"1"}]}"#
        #expect(Self.texts(Self.encode(canal, .original)) == ["1 \(canal)", "2 \(canal)"])
        #expect(Self.encode("null", .original).isControl)
        #expect(Self.texts(Self.encode("no event", .original)) == ["∅ no event"])
        #expect(Self.encode(one.replacing("orders", with: "others"), .original).filtered == 1)
    }

    @Test func `A change of the key is one line under both keys, or two that are numbered`() {
        let line = Self.texts(Self.encode(Self.keyChange, .tidemark))
        #expect(line == ["1 \(Self.keyChange)", "2 \(Self.keyChange)"])
        #expect(
            Self.texts(Self.encode(Self.keyChange, .original, isNumbered: true)) == [
                #"1 {"table":"shop.orders","op":"delete","before":{"id":1,"v":5},"position":[7]}"#,
                #"2 {"table":"shop.orders","op":"insert","after":{"id":2,"v":5},"position":[7]}"#,
            ]
        )
    }

    @Test func `Keys of several columns are a JSON array of texts`() {
        let text = #"{"table":"shop.orders","op":"update","after":{"id":1,"t":"a \"b\""},"position":[7]}"#
        let found = Self.encode(text, .original, keys: [["t", "id"]]).records.first?.key ?? []
        #expect(String(decoding: found, as: UTF8.self) == #"["a \"b\"","1"]"#)
    }

    @Test func `Headers go with the message, and a dump is written as what it holds`() {
        let one = #"{"table":"shop.orders","op":"update","after":{"id":1},"position":[7]}"#
        for form in PublicationForm.allCases {
            let headers = Self.encode(one, form, headers: [("a", "1"), ("a", "2")]).records.first?.headers ?? []
            #expect(headers.map(\.name) == ["a", "a"] && headers.last?.value == Array("2".utf8))
        }
        let escaped = one.replacing("\"", with: "\\\"")
        let dump = #"{"topic":"t","partition":0,"offset":1,"headers":["h","x"],"key":"k","payload":"\#(escaped)"}"#
        let encoded = Self.encode(dump, .original)
        #expect(Self.texts(encoded) == ["1 \(one)"])
        #expect(encoded.records.first?.headers.first?.name == "h")
    }

    /// The create half of the change follows: the entity stays where it is.
    @Test func `The delete half of a change that keeps the key is not written`() {
        let delete =
            #"{"before":{"id":1,"mail":"a"},"after":null,"op":"d","source":{"connector":"mysql","db":"shop","table":"orders","file":"b.1","pos":4,"row":0}}"#
        let header = ("__debezium.newkey", #"{"id":7}"#)
        for form in PublicationForm.allCases {
            #expect(Self.encode(delete, form, headers: [header], keys: [["mail"]]).filtered == 1)
            #expect(Self.encode(delete, form, headers: [header]).records.count == 1)
        }
    }

    @Test func `A line needs no schema`() {
        let schema =
            #"{"type":"struct","fields":[{"field":"after","type":"struct","fields":[{"field":"id","type":"int64"},{"field":"amount","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}},{"field":"at","type":"int64","name":"io.debezium.time.MicroTimestamp"},{"field":"day","type":"int32","name":"io.debezium.time.Date"}]}]}"#
        let payload =
            #"{"before":null,"after":{"id":1,"amount":"Ths=","at":1772357415000001,"day":20513},"op":"c","source":{"connector":"mysql","db":"shop","table":"orders","file":"b.7","pos":4,"row":0}}"#
        let text = Self.texts(Self.encode(#"{"schema":\#(schema),"payload":\#(payload)}"#, .tidemark)).first ?? ""
        #expect(text.contains(#""amount":199.95"#), "\(text)")
        #expect(text.contains(#""at":"2026-03-01T09:30:15.000001""#), "\(text)")
        #expect(text.contains(#""day":"2026-03-01""#), "\(text)")
    }

    /// Positions keep their order over epochs, and at one coordinate.
    @Test func `A line's position is in the order of its event's`() {
        func position(_ text: String, epoch: UInt32 = 0) -> [UInt64] {
            let line = Self.texts(Self.encode(text, .tidemark) { $0.epoch = epoch }).first ?? ""
            let numbers = line.split(separator: #""position":["#).last?.prefix { $0 != "]" } ?? ""
            return numbers.split(separator: ",").compactMap { UInt64($0) }
        }
        func postgres(_ op: String, _ lsn: Int, _ more: String = "") -> String {
            #"{"before":{"id":1},"after":\#(op == "d" ? "null" : #"{"id":1}"#),"op":"\#(op)","source":{"connector":"postgresql","db":"db","schema":"shop","table":"orders","lsn":\#(lsn)\#(more)}}"#
        }
        let ordered = [
            position(postgres("r", 1000, #","snapshot":"true","sequence":"[\"500\",\"1000\"]""#)),
            position(postgres("d", 500)), position(postgres("u", 500)), position(postgres("u", 501)),
            position(postgres("u", 3), epoch: 1),
        ]
        for (left, right) in zip(ordered, ordered.dropFirst()) {
            #expect(left.lexicographicallyPrecedes(right), "\(left) \(right)")
        }
        func mysql(_ op: String, _ file: Int, _ row: Int) -> String {
            #"{"before":{"id":1},"after":\#(op == "d" ? "null" : #"{"id":1}"#),"op":"\#(op)","source":{"connector":"mysql","db":"shop","table":"orders","file":"b.\#(file)","pos":4,"row":\#(row)}}"#
        }
        let files = [
            position(mysql("d", 7, 0)), position(mysql("c", 7, 0)), position(mysql("c", 7, 1)),
            position(mysql("c", 2, 0), epoch: 1),
        ]
        for (left, right) in zip(files, files.dropFirst()) {
            #expect(left.lexicographicallyPrecedes(right), "\(left) \(right)")
        }
    }

    @Test func `A tombstone that is a delete names its row`() {
        let change = { (settings: inout SourceSettings) in
            settings.table = .named("shop.orders")
            settings.tombstones = .delete
        }
        #expect(
            Self.texts(Self.encode(nil, .tidemark, key: "3", change: change)) == [
                #"3 {"table":"shop.orders","op":"delete","before":{"id":3}}"#
            ]
        )
        #expect(Self.texts(Self.encode(nil, .original, key: "3", change: change)) == ["3 ∅"])
    }
}
