/// JSON null in an image. An image is JSON, where a column that is null has the value `null`; the JSON value null of a
/// `jsonb` column is another one, and is written as `{"$json":null}`. So that nothing else reads like it, an object that
/// begins with that name is written as the value of one. `tidemark_internal.image_value` writes it.
package enum JSONNull {
    private static let opening = Array(#"{"$json":"#.utf8)

    /// The JSON that an image's value stands for, as a range of `bytes`; `nil` where it is the value itself.
    package static func unwrapped(_ value: Range<Int>, of bytes: [UInt8]) -> Range<Int>? {
        let text = bytes[value]
        guard text.starts(with: Self.opening) else { return nil }
        // jsonb writes a space behind the colon.
        let start = value.lowerBound + Self.opening.count
        return (bytes[start] == UInt8(ascii: " ") ? start + 1 : start)..<value.upperBound - 1
    }
}
