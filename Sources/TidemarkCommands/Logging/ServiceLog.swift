import ArgumentParser
import Foundation
import Logging
import Synchronization
import TidemarkCore
import TidemarkService

/// How a service's log lines look.
enum LogFormat: String, CaseIterable, ExpressibleByArgument, Sendable {
    /// `2026-03-01T09:30:15.123Z warning: database: waiting reason="connection refused"`
    case text
    /// One object a line.
    case json
}

/// A log level that all loggers of a process share, so that it can change while they are in use.
final class SharedLogLevel: Sendable {
    private let rank: Atomic<Int>

    init(_ level: Logger.Level) { self.rank = Atomic(Self.rank(of: level)) }

    var value: Logger.Level {
        get { Logger.Level.allCases[self.rank.load(ordering: .relaxed)] }
        set { self.rank.store(Self.rank(of: newValue), ordering: .relaxed) }
    }

    private static func rank(of level: Logger.Level) -> Int { Logger.Level.allCases.firstIndex(of: level) ?? 0 }
}

/// The log of a service on standard error: one line per event, with its time. Control characters are escaped, also
/// those of C1 and bidirectional overrides, so that data can neither forge a line nor hide behind other text.
struct ServiceLog: LogHandler {
    let format: LogFormat
    let sharedLevel: SharedLogLevel
    var metadata = Logger.Metadata()
    /// The level of one logger, in place of the shared one.
    private var ownLevel: Logger.Level?
    private let now: @Sendable () -> Date
    private let write: @Sendable (String) -> Void

    init(
        format: LogFormat,
        level: SharedLogLevel,
        now: @escaping @Sendable () -> Date = { Date() },
        write: @escaping @Sendable (String) -> Void = { Terminal.printError($0) }
    ) {
        self.format = format
        self.sharedLevel = level
        self.now = now
        self.write = write
    }

    var logLevel: Logger.Level {
        get { self.ownLevel ?? self.sharedLevel.value }
        set { self.ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var fields = Self.flattened(self.metadata.merging(event.metadata ?? [:]) { $1 })
        if let error = event.error { fields["error"] = "\(error)" }
        self.write(
            Self.line(
                self.format,
                time: self.now().utcTimestamp,
                level: event.level,
                message: "\(event.message)",
                fields.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
            )
        )
    }

    /// One line, without its break.
    static func line(
        _ format: LogFormat,
        time: String,
        level: Logger.Level,
        message: String,
        _ fields: [(key: String, value: String)] = []
    ) -> String {
        switch format {
        case .text:
            let pairs = fields.map { " \(Terminal.escaped($0.key))=\(Self.shown($0.value))" }.joined()
            return "\(time) \(level): \(Terminal.escaped(message))\(pairs)"
        case .json:
            let reserved: Set = ["time", "level", "message"]
            let all: [(String, String)] =
                [("time", time), ("level", level.rawValue), ("message", message)]
                + fields.map { (reserved.contains($0.key) ? $0.key + "_" : $0.key, $0.value) }
            return "{" + all.map { "\(Self.quoted($0)):\(Self.quoted($1))" }.joined(separator: ",") + "}"
        }
    }

    /// Nested dictionaries become keys with dots, and lists one text.
    private static func flattened(_ metadata: Logger.Metadata, under prefix: String = "") -> [String: String] {
        var fields: [String: String] = [:]
        for (key, value) in metadata {
            if case .dictionary(let inner) = value {
                fields.merge(Self.flattened(inner, under: prefix + key + ".")) { $1 }
            } else {
                fields[prefix + key] = "\(value)"
            }
        }
        return fields
    }

    /// A value as a word, or in quotes where it would not be told apart from what follows.
    private static func shown(_ value: String) -> String {
        let isWord = !value.isEmpty && !value.unicodeScalars.contains { $0 == " " || $0 == "\"" || $0 == "=" }
        if isWord { return Terminal.escaped(value) }
        return "\"" + Terminal.escaped(value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")) + "\""
    }

    /// A JSON string.
    private static func quoted(_ text: String) -> String {
        var output = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": output += "\\\""
            case "\\": output += "\\\\"
            case "\n": output += "\\n"
            case "\t": output += "\\t"
            case _ where scalar.isUnsafeOnTerminals:
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    output += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            default: output.unicodeScalars.append(scalar)
            }
        }
        return output + "\""
    }
}
