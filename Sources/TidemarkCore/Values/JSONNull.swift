/// JSON null in an image. An image is JSON, where a column that is null has the value `null`; the JSON value null of a
/// `jsonb` column is another one, and is written as `{"$json":null}`. So that nothing else reads like it, an object that
/// begins with that name is written as the value of one.
package enum JSONNull {
    static let opening = Array(#"{"$json":"#.utf8)

    /// Appends a `jsonb` column's canonical text to an image.
    static func appendImage(_ text: Span<UInt8>, to image: inout ByteBuffer) {
        guard Self.isWrapped(text) else { return image.append(text) }
        image.append(Self.opening)
        image.append(text)
        image.append(UInt8(ascii: "}"))
    }

    private static func isWrapped(_ text: Span<UInt8>) -> Bool {
        text.withUnsafeBytes { bytes in
            bytes.elementsEqual("null".utf8) || bytes.starts(with: Self.opening)
        }
    }

    /// The JSON that an image's value stands for, as a range of `bytes`; `nil` where it is the value itself.
    package static func unwrapped(_ value: Range<Int>, of bytes: [UInt8]) -> Range<Int>? {
        let text = bytes[value]
        guard text.starts(with: Self.opening) else { return nil }
        return value.lowerBound + Self.opening.count..<value.upperBound - 1
    }
}
