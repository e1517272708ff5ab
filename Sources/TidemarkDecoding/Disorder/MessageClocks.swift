internal import TidemarkCore

extension MessageDecoder {
    /// Finds the timestamps by which a message's producer dates it, in whatever format it is; none in what is no
    /// message.
    mutating func clocks(of line: UnsafeRawBufferPointer, keyColumn: String?) -> MessageClocks {
        var clocks = MessageClocks()
        do throws(Rejection) {
            try self.document.parse(line)
        } catch {
            return clocks
        }
        guard self.document.kind(JSONDocument.root) == .object else { return clocks }
        var bytes: [UInt8] = []
        self.document.replaceBytes(of: &bytes)
        self.collect(JSONDocument.root, bytes, keyColumn, into: &clocks)
        // A string with escapes was unescaped behind the message, where it cannot be changed.
        clocks.stamps.removeAll { $0.range.range.upperBound > line.count }
        return clocks
    }

    private mutating func collect(
        _ object: Int,
        _ bytes: [UInt8],
        _ keyColumn: String?,
        into clocks: inout MessageClocks
    ) {
        let members = self.members(of: object)
        var row: Int?
        switch self.shape(of: members, at: object, bytes) {
        case .tidemark:
            self.add([("ts", .text)], of: object, bytes, to: &clocks)
            row = self.document.object(members[.after]) ?? self.document.object(members[.before])
        case .maxwell:
            // A change of the schema counts milliseconds, where a row counts seconds.
            let type = self.document.string(members[.type])
            let isDDL = type.map { bytes[$0.range].starts(with: "table-".utf8) } ?? false
            let isDatabase = type.map { bytes[$0.range].starts(with: "database-".utf8) } ?? false
            self.add([("ts", isDDL || isDatabase ? .milliseconds : .seconds)], of: object, bytes, to: &clocks)
            clocks.server = self.text("server_id", in: object, bytes)
            row = self.document.object(members[.data])
        case .canal:
            self.add([("es", .milliseconds), ("ts", .milliseconds)], of: object, bytes, to: &clocks)
            if let data = members[.data], self.document.kind(data) == .array, self.document.childCount(data) > 0 {
                row = self.document.object(data + 1)
            }
        case .envelope:
            self.add(Self.debeziumClocks, of: object, bytes, to: &clocks)
            if let source = self.document.object(members[.source]) {
                self.add(Self.debeziumClocks, of: source, bytes, to: &clocks)
                clocks.server = self.text("server_id", in: source, bytes)
            }
            row = self.document.object(members[.after]) ?? self.document.object(members[.before])
        case .flattened:
            for prefix in ["__", "__source_"] {
                self.add(Self.debeziumClocks.map { (prefix + $0.name, $0.unit) }, of: object, bytes, to: &clocks)
                clocks.server = clocks.server ?? self.text(prefix + "server_id", in: object, bytes)
            }
            row = object
        case .wrapped:
            guard let payload = self.document.object(members[.payload]), payload != object else { return }
            self.collect(payload, bytes, keyColumn, into: &clocks)
            return
        case .debeziumControl, nil: return
        }
        if let keyColumn, let row { clocks.key = self.text(keyColumn, in: row, bytes) }
    }

    private static let debeziumClocks: [(name: String, unit: MessageClocks.Stamp.Unit)] = [
        ("ts_ms", .milliseconds), ("ts_us", .microseconds), ("ts_ns", .nanoseconds),
    ]

    private func add(
        _ names: [(name: String, unit: MessageClocks.Stamp.Unit)],
        of object: Int,
        _ bytes: [UInt8],
        to clocks: inout MessageClocks
    ) {
        for (name, unit) in names {
            guard let value = self.document.unwrapped(self.document.member(name, of: object, bytes)) else { continue }
            switch self.document.kind(value) {
            case .number where unit != .text, .string:
                clocks.stamps.append(MessageClocks.Stamp(range: self.document.range(value), unit: unit))
            default: break
            }
        }
    }

    private func text(_ name: String, in object: Int, _ bytes: [UInt8]) -> [UInt8]? {
        guard let value = self.document.present(self.document.member(name, of: object, bytes)) else { return nil }
        return Array(bytes[self.document.range(value).range])
    }
}
