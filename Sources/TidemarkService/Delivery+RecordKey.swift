import Foundation
import TidemarkCore
import TidemarkNotifier

extension Delivery {
    /// As a publication keys the same entity (``KafkaTarget/recordKey(of:)``).
    var recordKey: [UInt8] {
        KafkaTarget.recordKey(of: Array(Self.texts(of: self.keyJSON).joined(separator: [0]))[...])
    }

    /// The values of a JSON array of scalars, as texts; numbers keep every digit.
    private static func texts(of json: String) -> [[UInt8]] {
        var values: [[UInt8]] = []
        var value: [UInt8] = []
        var (isString, isEscaped) = (false, false)
        for byte in json.utf8.dropFirst().dropLast() {
            if byte == UInt8(ascii: ","), !isString {
                values.append(value)
                value = []
                continue
            }
            value.append(byte)
            if byte == UInt8(ascii: "\""), !isEscaped { isString.toggle() }
            isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
        }
        values.append(value)
        return values.map { value in
            (try? JSONDecoder().decode(String.self, from: Data(value))).map { Array($0.utf8) }
                ?? value.filter { $0 != UInt8(ascii: " ") }
        }
    }
}
