internal import TidemarkCore

/// What a schema registry's serializer puts before a message, and the JSON behind it.
///
/// | first bytes | by |
/// |---|---|
/// | 00, 4 bytes | Confluent (JSON Schema; Avro and Protobuf in the same frame are no JSON), and who is compatible with it |
/// | 00, 8 bytes | Apicurio |
/// | 03 00, 16 bytes | AWS Glue, not compressed |
package enum WireFrame {
    /// No JSON text begins with one of these bytes.
    @inlinable @inline(__always)
    package static func begins(_ text: UnsafeRawBufferPointer) -> Bool {
        guard let first = text.first else { return false }
        return first == 0 || first == 3
    }

    /// The JSON text in a frame; `nil` where there is none.
    package static func body(of text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard let first = text.first else { return nil }
        let headers = first == 0 ? [5, 9] : text.count > 1 && text[1] == 0 ? [18] : []
        for count in headers where count < text.count {
            let body = UnsafeRawBufferPointer(rebasing: text[count...])
            if Self.isJSON(body) { return body }
        }
        return nil
    }

    /// A message is an object, or null. Avro and Protobuf may start with `{` too, so the next byte is checked.
    private static func isJSON(_ body: UnsafeRawBufferPointer) -> Bool {
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 || byte == 0x0D || byte == 0x0A }
        var rest = body.drop(while: isSpace)
        if rest.elementsEqual("null".utf8) { return true }
        guard rest.popFirst() == UInt8(ascii: "{"), let next = rest.drop(while: isSpace).first else { return false }
        return next == UInt8(ascii: "\"") || next == UInt8(ascii: "}")
    }

    /// Why the message is a dead letter.
    static func rejection(_ text: UnsafeRawBufferPointer) -> Rejection {
        let wayOut =
            "; have the producer write JSON: Kafka Connect's org.apache.kafka.connect.json.JsonConverter as"
            + " value.converter, or io.confluent.connect.json.JsonSchemaConverter"
        if text.first == 3 {
            let isCompressed = text.count > 1 && text[1] != 0
            return Rejection(
                .unknownFormat,
                "the message begins with the header of AWS Glue's schema registry, and what is behind it is "
                    + (isCompressed ? "compressed" : "no JSON") + wayOut
            )
        }
        guard text.count >= 5 else {
            return Rejection(
                .malformedJSON,
                "the message ends within the header of a schema registry (a zero byte and a schema id): a schema id"
                    + " that holds a newline byte cannot stand in a log of lines" + wayOut
            )
        }
        let id = text[1..<5].reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
        return Rejection(
            .unknownFormat,
            "the message begins with the header of a schema registry (schema id \(id)), and what is behind it is Avro or"
                + " Protobuf, no JSON" + wayOut
        )
    }
}
