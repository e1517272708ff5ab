/// Splitting and comparing texts by their bytes.
///
/// A Swift `Character` is a letter with all marks behind it, and two spellings of one letter are equal. PostgreSQL,
/// shells and file systems go by bytes: `"` ends an identifier whatever mark follows it, and é in one code point is
/// another name than é in two.
extension StringProtocol {
    /// The parts between the bytes that are `separator`, an ASCII character; empty ones too.
    package func parts(between separator: Unicode.Scalar) -> [Substring] {
        Substring(self).utf8.split(separator: UInt8(ascii: separator), omittingEmptySubsequences: false)
            .map(Substring.init)
    }

    /// The text with `replacement` for each byte that is `scalar`, an ASCII character.
    package func replacing(byte scalar: Unicode.Scalar, with replacement: String) -> String {
        self.parts(between: scalar).joined(separator: replacement)
    }

    package func begins(with prefix: String) -> Bool { self.utf8.starts(with: prefix.utf8) }

    package func has(byte scalar: Unicode.Scalar) -> Bool { self.utf8.contains(UInt8(ascii: scalar)) }
}
