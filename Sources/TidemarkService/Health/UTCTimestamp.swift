package import Foundation

extension Date {
    /// As `2026-03-01T09:30:15.123Z`: ISO 8601 with milliseconds, in UTC.
    package var utcTimestamp: String {
        self.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}

extension Duration {
    /// As `75 s`, `12 min`, or `3 h 20 min`.
    package var inWords: String {
        let seconds = self.components.seconds
        return switch seconds {
        case ..<120: "\(seconds) s"
        case ..<7200: "\(seconds / 60) min"
        default: "\(seconds / 3600) h \(seconds / 60 % 60) min"
        }
    }
}
