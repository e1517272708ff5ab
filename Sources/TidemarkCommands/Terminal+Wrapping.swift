import TidemarkCore

extension Terminal {
    /// Text in lines of at most `width` columns, broken between words, or within one that is longer; each behind
    /// `indent` blanks.
    static func wrapped(_ text: String, indent: Int = 0, width: Int = 80) -> String {
        let room = max(20, width - indent)
        var lines: [String] = []
        var line = ""
        for word in Self.escaped(text).split(separator: " ", omittingEmptySubsequences: false) {
            var rest = word[...]
            if !line.isEmpty, Self.width(line) + 1 + Self.width(rest) > room {
                lines.append(line)
                line = ""
            }
            while Self.width(rest) > room {
                let part = Self.prefix(rest, columns: room)
                lines.append(String(part))
                rest = rest[part.endIndex...]
            }
            line += (line.isEmpty ? "" : " ") + rest
        }
        lines.append(line)
        return lines.map { String(repeating: " ", count: indent) + $0 }.joined(separator: "\n")
    }

    /// One line of at most `width` columns, its end cut off where it is longer.
    static func cut(_ text: String, width: Int = 80) -> String {
        Self.shortened(Self.escaped(text), to: width)
    }

    /// The end of a list that `--limit` has cut: what is missing would look as if it were not there.
    static func printMore(than shown: Int, of all: Int) {
        guard all > shown else { return }
        Self.print("and \(Self.grouped(Int64(all - shown))) more (--limit \(all))")
    }

    /// Microseconds since 1970 as `2026-03-01 09:30:15`, in UTC.
    static func time(_ microseconds: Int64) -> String {
        Self.wholeSeconds(Self.timestamp(microseconds))
    }

    /// ISO 8601 without the fraction and the zone: `2026-03-01T09:30:15.25+00:00` as `2026-03-01 09:30:15`. Years have four
    /// digits or more, and BC stays.
    static func wholeSeconds(_ time: String) -> String {
        guard let start = time.firstIndex(where: { $0 == "T" || $0 == " " }) else { return time }
        let clock = time[time.index(after: start)...].prefix { $0.isNumber || $0 == ":" }
        return "\(time[..<start]) \(clock)\(time.hasSuffix(" BC") ? " BC" : "")"
    }

    /// Microseconds since 1970 as ISO 8601, in UTC.
    static func timestamp(_ microseconds: Int64) -> String {
        var output: [UInt8] = []
        CalendarText.appendTimestamp(microseconds: microseconds, hasZone: true, to: &output)
        return String(decoding: output, as: UTF8.self)
    }
}
