package import Foundation
package import Logging
import Synchronization

/// The state of a process: checks, which `/readyz` and the log show, and the parts that have to make progress, which
/// `/healthz` and the watchdog depend on. Any thread may use it.
///
/// A check that goes is logged once, then every minute, and once when it is back.
package final class HealthBoard: Sendable {
    package enum Status: String, Sendable, CaseIterable {
        case starting, running
        /// An operator has paused it, so it does not keep the process from being ready.
        case paused
        /// It is retried, and comes back by itself.
        case waiting
        /// It waits for an operator.
        case failed

        var isReady: Bool { self == .running || self == .paused }
        var isAway: Bool { self == .waiting || self == .failed }
    }

    package struct Check: Sendable, Equatable {
        package var name: String
        package var status: Status
        /// When it took this status.
        package var since: Date
        package var reason: String?
        package var remedy: String?
    }

    /// One moment, for people and for differences. The second clock stands still while the machine is suspended, so
    /// that no part is late because of that.
    package struct Moment: Sendable {
        package var date: Date
        package var instant: SuspendingClock.Instant

        package init(date: Date, instant: SuspendingClock.Instant) {
            self.date = date
            self.instant = instant
        }

        package static var now: Moment { Moment(date: Date(), instant: .now) }
    }

    /// The name of the database's check. No part is late while it is not running.
    package static let database = "database"

    struct Entry {
        var check: Check
        /// Since when it is waiting or failed.
        var awaySince: SuspendingClock.Instant?
        var logged: SuspendingClock.Instant
    }

    struct State {
        var entries: [String: Entry] = [:]
        var parts: [String: Part] = [:]
        /// When the database came back, which gives every part the whole limit again.
        var databaseBack: SuspendingClock.Instant?
        /// When the process was told to stop.
        var stoppingSince: Date?

        var isDatabaseThere: Bool {
            self.entries[HealthBoard.database].map { $0.check.status.isReady } ?? true
        }
    }

    /// A line of the log that is written after the lock is released, because writing may block.
    struct Line {
        var level = Logger.Level.info
        var message: String
        var metadata: [String: String] = [:]
    }

    let state = Mutex(State())
    let now: @Sendable () -> Moment
    /// How long a busy part may be silent.
    let progressLimit: Duration
    let reminderInterval: Duration
    private let logger: Logger

    package init(
        logger: Logger,
        progressLimit: Duration = .seconds(60),
        reminderInterval: Duration = .seconds(60),
        now: @escaping @Sendable () -> Moment = { .now }
    ) {
        self.logger = logger
        self.progressLimit = progressLimit
        self.reminderInterval = reminderInterval
        self.now = now
    }

    // MARK: Checks

    /// Sets a check. `since` changes only if the status is another one. A line is logged then, and where a check that had
    /// no reason gets one; another reason is in the next reminder.
    package func set(_ name: String, _ status: Status, reason: String? = nil, remedy: String? = nil) {
        let now = self.now()
        let line = self.state.withLock { state -> Line? in
            var check = Check(name: name, status: status, since: now.date, reason: reason, remedy: remedy)
            let earlier = state.entries[name]
            if let earlier, earlier.check.status == status {
                check.since = earlier.check.since
                state.entries[name]?.check = check
                guard reason != nil, earlier.check.reason == nil else { return nil }
                state.entries[name]?.logged = now.instant
                return Self.line("\(name): \(status.rawValue)", of: check)
            }
            let awaySince = status.isAway ? earlier?.awaySince ?? now.instant : nil
            state.entries[name] = Entry(check: check, awaySince: awaySince, logged: now.instant)
            if name == Self.database, status.isReady { state.databaseBack = now.instant }
            return Self.line(of: check, after: earlier, now)
        }
        self.log(line)
    }

    /// Removes a check whose subject is gone.
    package func remove(_ name: String) {
        self.state.withLock { state in
            state.entries[name] = nil
            if name == Self.database { state.databaseBack = self.now().instant }
        }
    }

    /// Whether there are checks, and all of them are running or paused.
    package var isReady: Bool {
        self.state.withLock { state in
            !state.entries.isEmpty && state.stoppingSince == nil
                && state.entries.values.allSatisfy { $0.check.status.isReady }
        }
    }

    /// The process was told to stop: from now on it is not ready, and a check of its own says why.
    package func stopping() {
        let now = self.now().date
        self.state.withLock { $0.stoppingSince = $0.stoppingSince ?? now }
    }

    package var isStopping: Bool { self.state.withLock { $0.stoppingSince != nil } }

    /// The first of these checks that is not running, a paused one included.
    func firstNotRunning(of names: [String]) -> Check? {
        self.state.withLock { state in
            for name in names {
                if let check = state.entries[name]?.check, check.status != .running { return check }
            }
            return nil
        }
    }

    /// The checks by name.
    package var checks: [Check] {
        self.state.withLock { state in
            let stopping = state.stoppingSince.map {
                Check(name: "service", status: .waiting, since: $0, reason: Self.stopReason, remedy: "start it again")
            }
            return state.entries.values.map(\.check) + (stopping.map { [$0] } ?? [])
        }.sorted { $0.name < $1.name }
    }

    static let stopReason = "the service stops"

    // MARK: The log

    /// Logs what is still away once a minute, and parts that make no progress. A timer calls it.
    package func remind() {
        let now = self.now()
        let lines = self.state.withLock { state in
            var lines: [Line] = []
            for (name, entry) in state.entries.sorted(by: { $0.key < $1.key }) {
                guard let awaySince = entry.awaySince, entry.logged.duration(to: now.instant) >= self.reminderInterval
                else { continue }
                state.entries[name]?.logged = now.instant
                var line = Self.line("\(name): still \(entry.check.status.rawValue)", of: entry.check)
                line.metadata["for"] = awaySince.duration(to: now.instant).inWords
                lines.append(line)
            }
            return lines + self.partLines(&state, now)
        }
        for line in lines { self.log(line) }
    }

    private static func line(of check: Check, after earlier: Entry?, _ now: Moment) -> Line {
        let status = check.status.rawValue
        if check.status.isAway { return Self.line("\(check.name): \(status)", of: check) }
        guard let awaySince = earlier?.awaySince else {
            var line = Self.line("\(check.name): \(status)", of: check)
            line.level = check.status == .starting ? .debug : .info
            return line
        }
        var line = Self.line("\(check.name): \(status) again", of: check)
        line.level = .info
        line.metadata["after"] = awaySince.duration(to: now.instant).inWords
        return line
    }

    private static func line(_ message: String, of check: Check) -> Line {
        var line = Line(level: .warning, message: message)
        line.metadata["reason"] = check.reason
        line.metadata["remedy"] = check.remedy
        return line
    }

    private func log(_ line: Line?) {
        guard let line else { return }
        self.logger.log(level: line.level, "\(line.message)", metadata: line.metadata.mapValues { "\($0)" })
    }
}
