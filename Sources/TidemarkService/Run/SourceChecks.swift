import Synchronization
import TidemarkSources

/// The checks of a service's sources: what they report themselves, unless an operator has paused them.
final class SourceChecks: Sendable {
    private struct Report {
        var status: HealthBoard.Status
        var reason: String?
        var remedy: String?
    }

    private let state = Mutex((paused: Set<String>(), reports: [String: Report]()))
    private let board: HealthBoard

    init(_ board: HealthBoard) { self.board = board }

    func set(_ source: String, _ status: HealthBoard.Status, reason: String? = nil, remedy: String? = nil) {
        let report = Report(status: status, reason: reason, remedy: remedy)
        let isPaused = self.state.withLock { state in
            state.reports[source] = report
            return state.paused.contains(source)
        }
        if !isPaused { self.show(report, of: source) }
    }

    /// - Parameter sources: all that are paused now.
    func pause(_ sources: Set<String>) {
        let (paused, resumed) = self.state.withLock { state in
            let known = Set(state.reports.keys)
            let resumed = state.paused.subtracting(sources)
            state.paused = sources.intersection(known)
            return (state.paused, resumed.compactMap { name in state.reports[name].map { (name, $0) } })
        }
        // Each time, since a report may have come in between.
        for source in paused {
            self.board.set(
                Self.name(source),
                .paused,
                reason: "paused by an operator",
                remedy: "tidemark resume \(source)"
            )
        }
        for (source, report) in resumed { self.show(report, of: source) }
    }

    private func show(_ report: Report, of source: String) {
        self.board.set(Self.name(source), report.status, reason: report.reason, remedy: report.remedy)
    }

    private static func name(_ source: String) -> String { "source \(source)" }

    /// Shows how a source of followed files is.
    func show(_ state: FollowState, of source: String) {
        guard let first = state.failing.first else { return self.set(source, .running, reason: state.waiting) }
        let more = state.failing.count > 1 ? ", and \(state.failing.count - 1) more files" : ""
        self.set(source, .failed, reason: "\(first.file): \(first.reason)\(more)", remedy: first.remedy)
    }
}
