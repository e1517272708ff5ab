import TidemarkCore

/// Words of a command line that a person copies into a POSIX shell.
enum ShellWord {
    /// `text` as one word: bare where no shell would read it otherwise, in single quotes where one might.
    static func quoted(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "_-./=:,@%+".utf8.contains(byte)
            }
        }
        guard text.isEmpty || !isPlain else { return text }
        return "'" + text.replacing(byte: "'", with: #"'\''"#) + "'"
    }

    static func line(_ words: [String]) -> String {
        words.map(Self.quoted).joined(separator: " ")
    }
}
