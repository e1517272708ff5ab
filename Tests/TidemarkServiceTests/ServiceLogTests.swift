import ArgumentParser
import Foundation
import Logging
import Synchronization
import Testing

@testable import TidemarkCommands

@Suite("The log of a service")
struct ServiceLogTests {
    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { self.lines.withLock { $0 } }
        func add(_ line: String) { self.lines.withLock { $0.append(line) } }
    }

    private let lines = Lines()
    private let level = SharedLogLevel(.info)

    private func logger(_ format: LogFormat) -> Logger {
        let log = ServiceLog(
            format: format,
            level: self.level,
            now: { Date(timeIntervalSince1970: 1_772_357_415.25) },
            write: { [lines] in lines.add($0) }
        )
        return Logger(label: "test") { _ in log }
    }

    private struct Problem: Error, CustomStringConvertible { var description = "it \"broke\"" }

    @Test("as text has time, level, message and pairs")
    func text() {
        var logger = self.logger(.text)
        logger.info("listening", metadata: ["address": "http://127.0.0.1:8088"])
        logger[metadataKey: "source"] = "logs"
        logger.warning("a\nb\u{1B}[2J", metadata: ["reason": "no \"x\"", "": "", "z": ["k": "1", "n": "2"]])
        logger.error("failed", error: Problem())
        #expect(
            self.lines.all == [
                "2026-03-01T09:30:15.250Z info: listening address=http://127.0.0.1:8088",
                #"2026-03-01T09:30:15.250Z warning: a\nb\u{1b}[2J ="" reason="no \"x\"" source=logs z.k=1 z.n=2"#,
                #"2026-03-01T09:30:15.250Z error: failed error="it \"broke\"" source=logs"#,
            ]
        )
    }

    @Test("as JSON is one object a line, with keys in a fixed order")
    func json() throws {
        let logger = self.logger(.json)
        logger.info("listening", metadata: ["b": "2", "a": "1", "time": "noon", "list": ["x", "y"]])
        #expect(
            self.lines.all == [
                #"{"time":"2026-03-01T09:30:15.250Z","level":"info","message":"listening","a":"1","b":"2","#
                    + #""list":"["x", "y"]","time_":"noon"}"#.replacing(#""["x", "y"]""#, with: #""[\"x\", \"y\"]""#)
            ]
        )
    }

    @Test("as JSON escapes what is no text, and keeps the text")
    func escapes() throws {
        let nasty = "a\"b\\c\n\r\t\u{0}\u{1B}\u{7F}\u{85}\u{9B}\u{202E}\u{2028}\u{2029}é漢🌊"
        self.logger(.json).info("\(nasty)", metadata: ["\(nasty)": "\(nasty)"])
        let line = try #require(self.lines.all.first)
        #expect(!line.unicodeScalars.contains { $0.properties.generalCategory == .control })
        #expect(!line.unicodeScalars.contains { ["\u{202E}", "\u{2028}", "\u{2029}"].contains($0) })
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
        #expect(object["message"] == nasty && object[nasty] == nasty)
    }

    @Test("changes its level for every logger at once, except where one has its own")
    func changesLevel() {
        let (first, second) = (self.logger(.text), self.logger(.text))
        var quiet = self.logger(.text)
        quiet.logLevel = .error
        first.debug("hidden")
        self.level.value = .debug
        first.debug("one")
        second.debug("two")
        quiet.warning("hidden")
        self.level.value = .error
        second.warning("hidden")
        #expect(self.lines.all.map { $0.dropFirst(25) } == ["debug: one", "debug: two"])
        for level in Logger.Level.allCases {
            self.level.value = level
            #expect(self.level.value == level)
        }
    }

    @Test("is chosen by an option, else by the terminal")
    func options() throws {
        #expect(try ServiceLoggingOptions.parse(["--log-format", "text"]).format == .text)
        #expect(try ServiceLoggingOptions.parse(["--log-format", "json"]).format == .json)
        #expect(throws: (any Error).self) { try ServiceLoggingOptions.parse(["--log-format", "xml"]) }
        let unset = try ServiceLoggingOptions.parse([])
        #expect(unset.format == (isatty(STDERR_FILENO) == 1 ? .text : .json))
    }
}
