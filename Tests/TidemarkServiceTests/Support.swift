import Foundation
import Logging
import Synchronization

@testable import TidemarkService

/// The lines that were logged, as `level message key=value`, metadata by key.
final class RecordedLog: Sendable {
    private let lines = Mutex<[String]>([])

    private struct Handler: LogHandler {
        let log: RecordedLog
        var logLevel = Logger.Level.trace
        var metadata = Logger.Metadata()

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let pairs = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
            self.log.lines.withLock { $0.append("\(event.level) \(event.message)\(pairs.joined())") }
        }
    }

    var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }

    /// The lines since the last call.
    func take() -> [String] {
        self.lines.withLock { lines in
            defer { lines = [] }
            return lines
        }
    }
}

/// A clock that the test moves.
final class TestClock: Sendable {
    private let moment = Mutex(
        HealthBoard.Moment(date: Date(timeIntervalSince1970: 1_772_357_415), instant: .now)
    )

    var now: HealthBoard.Moment { self.moment.withLock { $0 } }

    func advance(seconds: Int) {
        self.moment.withLock { moment in
            moment.date += TimeInterval(seconds)
            moment.instant += .seconds(seconds)
        }
    }
}
