import ArgumentParser
import Foundation
import LibPQ
import TidemarkCore
import TidemarkDecoding
import TidemarkStore

extension DeadLettersCommand {
    struct Show: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Show one dead letter: why it was set aside, and its message with the value at fault marked."
        )

        @Argument(help: "Its number, as `list` shows it.")
        var id: Int64

        @Flag(help: "Print JSON.")
        var json = false

        @Flag(help: "Write the message alone, byte for byte as it came.")
        var raw = false

        @OptionGroup var source: DatabaseSource

        func validate() throws {
            if self.json, self.raw { throw ValidationError("--json and --raw are two forms; give one of them") }
        }

        func perform() async throws {
            try await self.source.inspect { connection in
                let filter = DeadLetterFilter(ids: [self.id])
                let page = try await DeadLetterStore.page(filter, after: 0, limit: 1, on: connection)
                guard let letter = page.first else {
                    throw CommandFailure("there is no dead letter #\(self.id); `tidemark deadletters list` lists them")
                }
                if self.raw {
                    Terminal.write(Data(letter.raw))
                    return
                }
                var column = DeadLetterFault(letter.detail).column
                if let named = column, let projection = letter.projection {
                    column = try await Inspection.sourceColumn(named, of: projection, on: connection)
                }
                let report = DeadLetterReport(letter, column: column)
                if self.json { Terminal.print(json: report.json) } else { Terminal.print(report.text) }
            }
        }
    }
}

/// The subject of a dead letter's reason.
struct DeadLetterFault {
    /// A column, by its name in the projection.
    var column: String?
    /// A member of the message that is no column.
    var member: String?
    /// A byte of a message that is not JSON.
    var byte: Int?

    init(_ detail: String) {
        for word in ["column \"", "sequence part \""] {
            guard let start = detail.range(of: word)?.upperBound else { continue }
            self.column = String(detail[start...].prefix { $0 != "\"" })
            return
        }
        if let start = detail.range(of: "malformed JSON at byte ")?.upperBound {
            self.byte = Int(detail[start...].prefix(while: \.isNumber))
        } else if detail.hasPrefix("\"") {
            self.member = String(detail.dropFirst().prefix { $0 != "\"" && $0 != "[" })
        }
    }
}

/// Formats one dead letter as text of 80 columns, and as JSON.
struct DeadLetterReport {
    private let letter: StoredDeadLetter
    private let fault: DeadLetterFault
    private let column: String?

    /// - Parameter column: the column at fault, by its name in the message.
    init(_ letter: StoredDeadLetter, column: String?) {
        self.letter = letter
        self.fault = DeadLetterFault(letter.detail)
        self.column = column
    }

    private static let linesMax = 300

    var text: String {
        let letter = self.letter
        let scope = letter.projection.map { ", projection \($0)" } ?? ""
        var lines = [
            Terminal.cut("dead letter #\(letter.id): \(letter.reason)\(scope)"),
            Terminal.wrapped(letter.detail, indent: 2),
            Terminal.cut("  source \(letter.source), \(letter.position), row \(letter.row)"),
        ]
        let first = Terminal.time(letter.firstSeen)
        lines.append(
            letter.count == 1
                ? "  seen once, \(first) UTC"
                : "  seen \(letter.count) times, first \(first), last \(Terminal.time(letter.lastSeen)) UTC"
        )
        lines += self.record
        lines.append("")
        lines += letter.record?.isTombstone == true ? ["  (no value)"] : self.message
        lines.append("")
        lines.append(
            letter.isComplete
                ? "once the cause is mended: tidemark deadletters retry \(letter.id)"
                : Terminal.wrapped("not all of its message is kept, so it cannot be retried; \(letter.remedy)")
        )
        return lines.joined(separator: "\n")
    }

    /// What its broker kept beside the value.
    private var record: [String] {
        guard let record = self.letter.record else { return [] }
        func line(_ name: String, _ value: [UInt8]?) -> String {
            let text = value.map { String(decoding: $0, as: UTF8.self) } ?? "(no value)"
            return Terminal.cut("  \(Terminal.escaped("\(name) \(text)"))")
        }
        return (record.key == nil ? [] : [line("key", record.key)])
            + record.headers.map { line("header \(String(decoding: $0.name, as: UTF8.self)):", $0.value) }
    }

    /// The message, with `>` before the line at fault.
    private var message: [String] {
        let outline = MessageOutline(
            self.letter.raw,
            column: self.column,
            member: self.fault.member,
            row: Int(self.letter.row)
        )
        guard let outline else { return RawText(self.letter.raw, marking: self.fault.byte).lines }
        let lines = outline.lines.map { line in
            let gutter = line.isMarked ? "> " : "  "
            let indent = String(repeating: " ", count: min(40, 2 * line.depth))
            return Terminal.cut(gutter + indent + line.text)
        }
        let shown = Self.window(of: lines, around: outline.lines.firstIndex(where: \.isMarked) ?? 0)
        guard shown.count < lines.count else { return lines }
        return lines[shown] + ["  (\(shown.count) of \(lines.count) lines; --raw writes the message)"]
    }

    private static func window(of lines: [String], around marked: Int) -> Range<Int> {
        guard lines.count > Self.linesMax else { return 0..<lines.count }
        let start = max(0, min(marked - Self.linesMax / 2, lines.count - Self.linesMax))
        return start..<(start + Self.linesMax)
    }

    var json: String {
        let letter = self.letter
        func text(_ value: String?) -> String { value.map(JSONOutput.string) ?? "null" }
        func number(_ value: Int64?) -> String { value.map { "\($0)" } ?? "null" }
        var members: [(name: String, json: String)] = [
            ("id", "\(letter.id)"), ("projection", text(letter.projection)), ("source", text(letter.source)),
            ("position", text(letter.position)), ("file", text(letter.streamName)),
            ("offset", number(letter.reading.map { Int64(clamping: $0.offset.major) })),
            ("line", number(letter.reading?.ordinal)),
            ("row", "\(letter.row)"), ("reason", text(letter.reason)), ("detail", text(letter.detail)),
            ("column", text(self.column)), ("count", "\(letter.count)"),
            ("first_seen", text(Terminal.timestamp(letter.firstSeen))),
            ("last_seen", text(Terminal.timestamp(letter.lastSeen))),
            ("complete", letter.isComplete ? "true" : "false"), ("bytes", "\(letter.raw.count)"),
        ]
        // A message that is not UTF-8 cannot be a JSON string.
        if let raw = String(validating: letter.raw, as: UTF8.self) {
            members.append(("raw", text(raw)))
        } else {
            members.append(("raw_base64", text(Data(letter.raw).base64EncodedString())))
        }
        guard let record = letter.record else { return JSONOutput.object(members) }
        members.append(("key", Self.json(record.key)))
        let headers = record.headers.map { header in
            JSONOutput.object([("name", Self.json(header.name)), ("value", Self.json(header.value))])
        }
        members.append(("headers", "[\(headers.joined(separator: ","))]"))
        return JSONOutput.object(members)
    }

    /// Bytes that are not UTF-8 have U+FFFD in their place.
    private static func json(_ bytes: [UInt8]?) -> String {
        bytes.map { JSONOutput.string(String(decoding: $0, as: UTF8.self)) } ?? "null"
    }
}

/// Formats bytes that are not JSON, and maybe not text, for a terminal.
struct RawText {
    private(set) var lines: [String] = []
    private static let width = 76
    private static let bytesMax = 4096

    /// - Parameter marked: the byte at fault; a caret stands below it.
    init(_ bytes: [UInt8], marking marked: Int?) {
        let start = marked.map { max(0, min($0, bytes.count) - Self.bytesMax / 2) } ?? 0
        let end = min(bytes.count, start + Self.bytesMax)
        if start > 0 { self.lines.append("  (\(start) bytes before this; --raw writes the message)") }
        var line = ""
        var caret: Int?
        var index = start
        func finished(_ rest: inout [String]) {
            rest.append((caret == nil ? "  " : "> ") + line)
            if let caret { rest.append("  " + String(repeating: " ", count: caret) + "^") }
            line = ""
            caret = nil
        }
        while index < end {
            let (text, count) = Self.unit(bytes, at: index)
            if line.count + text.count > Self.width { finished(&self.lines) }
            if let marked, (index..<(index + count)).contains(marked) { caret = line.count }
            line += text
            index += count
        }
        if let marked, marked >= bytes.count { caret = line.count }
        if !line.isEmpty || caret != nil { finished(&self.lines) }
        if end < bytes.count {
            self.lines.append("  (\(bytes.count - end) bytes behind this; --raw writes the message)")
        }
    }

    /// The character at `index` as a terminal may show it, and how many bytes it takes.
    private static func unit(_ bytes: [UInt8], at index: Int) -> (text: String, count: Int) {
        for count in 1...4 where index + count <= bytes.count {
            guard let text = String(validating: bytes[index..<(index + count)], as: UTF8.self) else { continue }
            return (Terminal.escaped(text), count)
        }
        let digits = String(bytes[index], radix: 16)
        return ("\\x" + (digits.count == 1 ? "0" : "") + digits, 1)
    }
}
