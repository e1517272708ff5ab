import PlatformC
import TidemarkCore

/// A name in a folder that is not UTF-8. It cannot be opened by a `String`, nor name a stream, so it is refused by name.
struct ForeignName {
    private let folder: String
    private let bytes: [UInt8]

    init(_ bytes: [UInt8], in folder: String) {
        self.folder = folder
        self.bytes = bytes
    }

    var isHidden: Bool { self.bytes.first == UInt8(ascii: ".") }

    /// For patterns: bytes that are not UTF-8 are U+FFFD.
    var repaired: String { String(decoding: self.bytes, as: UTF8.self) }

    /// `nil` where it is gone.
    var kind: FileStatus.Kind? {
        let path = Array(InputResolver.join(self.folder, "").utf8) + self.bytes + [0]
        return (try? FileStatus(of: path.map { CChar(bitPattern: $0) }))?.kind
    }

    /// Names the path with `\xHH` for each byte that is not UTF-8.
    var error: InputError {
        var shown = ""
        var parser = Unicode.UTF8.ForwardParser()
        var rest = self.bytes.makeIterator()
        var offset = 0
        while true {
            switch parser.parseScalar(from: &rest) {
            case .valid(let scalar):
                shown.unicodeScalars.append(Unicode.UTF8.decode(scalar))
                offset += scalar.count
            case .error(let length):
                for byte in self.bytes[offset..<(offset + length)] { shown += "\\x" + BinaryText.hex([byte]) }
                offset += length
            case .emptyInput:
                let path = InputResolver.join(self.folder, shown)
                return InputError(.misnamed, path: path, detail: "its name is not UTF-8")
            }
        }
    }
}
