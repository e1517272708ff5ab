import Foundation
import TidemarkCore
import TidemarkStore

/// One process in the report of `status`.
struct ProcessStatus {
    private let cells: [String: String]
    let projections: [String]
    private let waitsFor: [String]
    private let streams: [String]

    init(_ columns: [String], _ row: [String?]) throws {
        struct Stream: Decodable { var stream: String }
        var cells: [String: String] = [:]
        for (column, cell) in zip(columns, row) { cells[column] = cell }
        func list<T: Decodable>(_ name: String, of type: T.Type) throws -> [T] {
            try JSONDecoder().decode([T].self, from: Data((cells[name] ?? "[]").utf8))
        }
        self.cells = cells
        self.projections = try list("projections", of: String.self)
        self.waitsFor = try list("waits_for", of: String.self)
        self.streams = try list("streams", of: Stream.self).map(\.stream)
    }

    private subscript(_ name: String) -> String { self.cells[name] ?? "" }

    var human: String {
        var lines = [
            "\(self["status"]), started \(self["started_at"]), heard of \(self["seen_at"])"
        ]
        if !self.projections.isEmpty { lines.append("writes \(self.projections.joined(separator: ", "))") }
        if let first = self.streams.first.map({ $0 == "-" ? "standard input" : $0 }) {
            lines.append("reads \(first)\(self.streams.count > 1 ? " and \(self.streams.count - 1) more" : "")")
        }
        if !self.waitsFor.isEmpty { lines.append("waits for \(self.waitsFor.joined(separator: ", "))") }
        let title = Terminal.cut("  \(self["process"]): \(self["name"])")
        return ([title] + lines.map { Terminal.wrapped($0, indent: 4) }).joined(separator: "\n")
    }

    var json: String {
        let texts = ["name", "status", "started_at", "seen_at"].map { ($0, JSONOutput.string(self[$0])) }
        let lists = ["projections", "streams", "waits_for"].map { ($0, self[$0]) }
        return JSONOutput.object([("process", self["process"])] + texts + [("sessions", self["sessions"])] + lists)
    }
}
