import TidemarkCore
import TidemarkStore

/// The service in the report of `status`: its streams, and what does not run.
struct ServiceStatus {
    private let service: Inspection.Service

    init(_ service: Inspection.Service) { self.service = service }

    /// One text for each part that there is.
    var human: [String] { [self.paused, self.checks, self.streams].compactMap { $0 } }

    private var paused: String? {
        guard !self.service.paused.rows.isEmpty else { return nil }
        let lines = self.service.paused.rows.map { row in
            Terminal.cut("  \(row[0] ?? "") \(row[1] ?? ""), since \(row[2] ?? "")")
        }
        return "paused (tidemark resume NAME)\n" + lines.joined(separator: "\n")
    }

    /// Checks that several processes have alike are shown once.
    private var checks: String? {
        var processes: [[String?]: [String]] = [:]
        var order: [[String?]] = []
        for row in self.service.checks.rows where row[2] != "paused" {
            let check = [row[1], row[2], row[4], row[5]]
            if processes[check] == nil { order.append(check + [row[3]]) }
            processes[check, default: []].append(row[0] ?? "")
        }
        guard !order.isEmpty else { return nil }
        let blocks = order.map { check in
            let by = processes[Array(check.prefix(4))] ?? []
            let title =
                "\(check[0] ?? ""): \(check[1] ?? "") since \(check[4] ?? "") in process \(by.joined(separator: ", "))"
            return [
                Terminal.wrapped(title, indent: 2), check[2].map { Terminal.wrapped($0, indent: 4) },
                check[3].map { Terminal.wrapped("→ \($0)", indent: 4) },
            ].compactMap { $0 }.joined(separator: "\n")
        }
        return "does not run\n" + blocks.joined(separator: "\n")
    }

    private var streams: String? {
        guard !self.service.streams.rows.isEmpty else { return nil }
        let (shown, all) = (self.service.streams.rows.count, self.service.streamCount)
        let blocks = self.service.streams.rows.map { row in
            var name = Terminal.escaped(row[2] ?? "")
            // What tells paths apart is their ends.
            if Terminal.width(name) > 76 { name = "…" + Terminal.suffix(name, columns: 75) }
            // What was written since the last process read it is not known.
            let isRead = row[4] != nil
            let behind = row[7].flatMap { Int64($0) }.map { "\(Terminal.grouped($0)) behind" } ?? "behind unknown"
            var parts = [isRead ? behind : "\(behind) when it was read last"]
            parts.append("at \(Terminal.grouped(Int64(row[6] ?? "") ?? 0))")
            parts.append(row[4].map { "process \($0) since \(row[8] ?? "")" } ?? "no process reads it")
            if let source = row[1] { parts.append("source \(Terminal.escaped(source))") }
            if let projection = row[3] { parts.append("for projection \(projection) alone, which catches up") }
            return "  \(name)\n" + Terminal.wrapped(parts.joined(separator: ", "), indent: 4)
        }
        let title =
            all > shown ? "streams (the \(shown) furthest behind of \(Terminal.grouped(Int64(all))))" : "streams"
        let more = all > shown ? "\n  and \(Terminal.grouped(Int64(all - shown))) more (tidemark.leases)" : ""
        return "\(title)\n" + blocks.joined(separator: "\n") + more
    }

    var json: String {
        var streams = self.service.streams
        streams.columns.removeLast()
        streams.rows = streams.rows.map { Array($0.dropLast()) }
        return JSONOutput.object([
            ("streams", streams.json(numbers: ["pass", "process", "offset", "behind"])),
            ("stream_count", "\(self.service.streamCount)"),
            ("checks", self.service.checks.json(numbers: ["process"])),
            ("paused", self.service.paused.json(numbers: [])),
        ])
    }
}
