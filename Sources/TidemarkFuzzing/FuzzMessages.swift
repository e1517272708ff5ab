import TidemarkCore

/// Messages for a generated configuration: rows whose values are made for the limits of its columns, in several formats.
struct FuzzMessages {
    private var values: LimitValues
    private let definition: ProjectionDefinition
    private static let messagesMax = 6

    /// A configuration and messages for it, one to a line: the same from the same seed.
    static func input(seed: UInt64, number: UInt64) -> [UInt8] {
        let mixed = SplitMix64.mix(seed &+ 0x5851_F42D_4C95_7F2D) ^ SplitMix64.mix(number &* 0x9E37_79B9_7F4A_7C15 &+ 1)
        var values = LimitValues(seed: mixed)
        let configuration = FuzzConfiguration(&values)
        var messages = FuzzMessages(values: values, definition: configuration.definition)
        var input = Array(configuration.line.utf8)
        for _ in 0...messages.values.random.below(Self.messagesMax) {
            input.append(UInt8(ascii: "\n"))
            input += messages.message()
        }
        return input
    }

    private mutating func message() -> [UInt8] {
        let after = self.row()
        let before = self.values.random.chance(60) ? after : self.row()
        switch self.values.random.below(4) {
        case 0:
            let kind = self.values.pick(["insert", "update", "delete"])
            let old = kind == "update" ? Array(",\"old\":".utf8) + self.row(sparse: true) : []
            let head =
                #"{"database":"s","table":"t","type":"\#(kind)","ts":1772357421,"commit":true,"position":"b.000001:77","data":"#
            return Array(head.utf8) + after + old + Array("}".utf8)
        case 1, 2:
            let op = self.values.pick(["c", "u", "d", "r"])
            let source = #""source":{"connector":"postgresql","snapshot":"false","schema":"s","table":"t","lsn":77}"#
            let (left, right) = (
                op == "c" || op == "r" ? Array("null".utf8) : before, op == "d" ? Array("null".utf8) : after
            )
            let head = Array(#"{"op":"\#(op)",\#(source),"ts_ms":1772357421000,"before":"#.utf8)
            return head + left + Array(",\"after\":".utf8) + right + Array("}".utf8)
        default:
            let op = self.values.pick(["insert", "update", "delete", "snapshot"])
            let time = self.values.timestampText(.timestamptz)
            let head = #"{"table":"s.t","op":"\#(op)","position":[1,2],"ts":"\#(time)","#
            let images = op == "delete" ? "\"before\":" : "\"after\":"
            return Array(head.utf8) + Array(images.utf8) + after + Array("}".utf8)
        }
    }

    private mutating func row(sparse: Bool = false) -> [UInt8] {
        var output = Array("{".utf8)
        var columns = self.definition.columns ?? []
        for name in ["id", "version", "status"] {
            columns.append(.init(name: name, type: name == "status" ? .text : .bigint))
        }
        for part in self.definition.sequence {
            guard case .column("version", let type?) = part else { continue }
            columns[columns.count - 2].type = type
        }
        for column in columns where self.values.random.chance(sparse ? 30 : 92) {
            if output.count > 1 { output.append(UInt8(ascii: ",")) }
            JSONText.appendString(Array(column.from.utf8).span, to: &output)
            output.append(UInt8(ascii: ":"))
            output += self.member(column)
        }
        return output + Array("}".utf8)
    }

    private mutating func member(_ column: ProjectionDefinition.Column) -> [UInt8] {
        switch self.values.random.below(40) {
        case 0, 1: return Array("null".utf8)
        case 2: return Array("\"__debezium_unavailable_value\"".utf8)
        case 3: return Array(self.values.pick(["{}", "[]", "true", "{\"scale\":3,\"value\":\"Bdw=\"}", "[{}]"]).utf8)
        default: break
        }
        if column.name == "status" {
            return Array("\"\(self.values.pick(["paid", "3", "created", "shipped", "ü"]))\"".utf8)
        }
        return self.values.value(for: column).json
    }
}
