import Foundation
import TidemarkCore

/// Encodes the origins of a row's columns as JSON: order keys in hexadecimal digits, which compare as the keys do.
/// Names are stored in pairs and not as members, because Swift's `String` equates some names that differ in bytes.
extension ColumnState {
    private struct Stored: Codable {
        var deleted: String?
        var base: String?
        var state: String?
        var columns: [[String]]?
        var named: [[String]]?
        var tables: [String]?
        var open: [String]?
        var openState: Bool?
        var seen: String?

        enum CodingKeys: String, CodingKey {
            case deleted, base, state, columns, named, tables, open, seen
            case openState = "open_state"
        }
    }

    var json: String {
        var members: [(name: String, json: String)] = []
        let keys = [("deleted", self.deleted), ("base", self.base), ("state", self.state), ("seen", self.seen)]
        for (name, key) in keys {
            if let key { members.append((name, JSONOutput.string(BinaryText.hex(key)))) }
        }
        for (name, columns) in [("open", self.open), ("tables", self.tables)] where !columns.isEmpty {
            let sorted = columns.sorted { $0.lexicographicallyPrecedes($1) }
            members.append((name, JSONOutput.array(sorted.map { String(decoding: $0, as: UTF8.self) })))
        }
        if self.isStateOpen { members.append(("open_state", "true")) }
        for (name, origins) in [("columns", self.columns), ("named", self.named)] where !origins.isEmpty {
            let pairs = origins.sorted { $0.key.lexicographicallyPrecedes($1.key) }
                .map { JSONOutput.array([String(decoding: $0.key, as: UTF8.self), BinaryText.hex($0.value)]) }
            members.append((name, "[\(pairs.joined(separator: ","))]"))
        }
        return JSONOutput.object(members)
    }

    init(json: String) throws {
        let stored = try JSONDecoder().decode(Stored.self, from: Data(json.utf8))
        self.init()
        self.deleted = stored.deleted.map(Self.bytes)
        self.base = stored.base.map(Self.bytes)
        self.state = stored.state.map(Self.bytes)
        for pair in stored.columns ?? [] where pair.count == 2 {
            self.columns[Array(pair[0].utf8)] = Self.bytes(pair[1])
        }
        for pair in stored.named ?? [] where pair.count == 2 { self.named[Array(pair[0].utf8)] = Self.bytes(pair[1]) }
        self.tables = Set((stored.tables ?? []).map { Array($0.utf8) })
        self.open = Set((stored.open ?? []).map { Array($0.utf8) })
        self.isStateOpen = stored.openState ?? false
        self.seen = stored.seen.map(Self.bytes)
    }

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.utf8.compactMap { JSONText.hexDigit($0) }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
