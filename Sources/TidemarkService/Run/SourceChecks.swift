import Synchronization
import TidemarkConfiguration
import TidemarkSources

/// The checks of a service's sources: what they report themselves, unless an operator has paused them.
final class SourceChecks: Sendable {
    private struct Report {
        var status: HealthBoard.Status
        var reason: String?
        var remedy: String?
    }

    private struct State {
        var paused: Set<String> = []
        /// As they are shown, unless they are paused.
        var reports: [String: Report] = [:]
        /// Sources that have failed and are read again: what they have told since they began.
        var trials: [String: Report] = [:]
    }

    private let state = Mutex(State())
    private let board: HealthBoard

    init(_ board: HealthBoard) { self.board = board }

    /// A source is begun, again perhaps.
    func begin(_ source: String) {
        let isNew = self.state.withLock { state in
            guard let report = state.reports[source] else { return true }
            if report.status.isAway { state.trials[source] = Report(status: .running) }
            return false
        }
        if isNew { self.set(source, .running) }
    }

    /// A source has been read for a while since it was begun: it is as it has told.
    func settle(_ source: String) {
        guard let report = self.state.withLock({ $0.trials.removeValue(forKey: source) }) else { return }
        self.set(source, report.status, reason: report.reason, remedy: report.remedy)
    }

    func set(_ source: String, _ status: HealthBoard.Status, reason: String? = nil, remedy: String? = nil) {
        let report = Report(status: status, reason: reason, remedy: remedy)
        let isShown = self.state.withLock { state in
            if state.trials[source] != nil {
                state.trials[source] = report
                // That it runs is believed later.
                guard status.isAway else { return false }
            }
            state.reports[source] = report
            return !state.paused.contains(source)
        }
        if isShown { self.show(report, of: source) }
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

    static func name(_ source: String) -> String { "source \(source)" }

    private static let filesNamed = 5

    /// Shows how a source of followed files is.
    func show(_ state: FollowState, of source: String) {
        guard !state.failing.isEmpty else {
            return self.set(
                source,
                .running,
                reason: state.waiting,
                remedy: state.waiting.map { _ in "create it, or correct the path in the configuration" }
            )
        }
        var reasons = state.failing.prefix(Self.filesNamed).map { problem in
            problem.reason.hasPrefix(problem.file) ? problem.reason : "\(problem.file): \(problem.reason)"
        }
        let more = state.failing.count - reasons.count
        if more > 0 { reasons.append("and \(more) more") }
        var remedies: [String] = []
        for problem in state.failing where !remedies.contains(problem.remedy) { remedies.append(problem.remedy) }
        self.set(source, .failed, reason: reasons.joined(separator: "; "), remedy: remedies.joined(separator: "; "))
    }
}

extension ServiceRunner {
    /// The state of each configured source.
    var sourceStates: [String: HealthBoard.Status] {
        var states: [String: HealthBoard.Status] = [:]
        let checks = self.board.checks
        for source in self.settings.configuration.sources {
            states[source.name] = checks.first { $0.name == SourceChecks.name(source.name) }?.status
        }
        return states
    }
}
