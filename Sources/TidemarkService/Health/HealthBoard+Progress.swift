import AsyncAlgorithms
import Foundation
import Logging
import ServiceLifecycle
import Synchronization

/// Progress of lanes and readers. A part is late when it said that it is busy and has not been heard of for the limit.
/// An idle part is never late, so a service without messages is alive, and one whose lanes are stuck is not.
extension HealthBoard {
    struct Part {
        var heard: Moment
        var isBusy: Bool
        /// When it was last logged as late.
        var loggedLate: SuspendingClock.Instant?
    }

    /// The part has work, and will be heard of within the limit: by `busy` again or by ``beat(_:)``.
    ///
    /// Only work of this process counts. Before a wait for something outside of it (an answer of the database, a lock,
    /// a receiver, a lane that has enough to do) the part says ``beat(_:)``: a statement that takes minutes is no reason
    /// to restart the process, which would only run it again.
    package func busy(_ part: String) { self.hear(part, isBusy: true) }

    /// The part has made progress, and has nothing to do or waits.
    package func beat(_ part: String) { self.hear(part, isBusy: false) }

    /// Removes a part that has ended.
    package func retire(_ part: String) { self.state.withLock { $0.parts[part] = nil } }

    /// Whether no part is late. While the database is away none is: lanes wait for it then.
    package var isAlive: Bool {
        let now = self.now()
        return self.state.withLock { state in
            state.parts.values.allSatisfy { !self.isLate($0, state, now) }
        }
    }

    /// The parts as checks, by name: running, or failed if late. `since` is when the part was last heard of.
    package var parts: [Check] {
        let now = self.now()
        return self.state.withLock { state in
            state.parts.map { name, part in
                guard self.isLate(part, state, now) else {
                    return Check(name: name, status: .running, since: part.heard.date)
                }
                return Check(
                    name: name,
                    status: .failed,
                    since: part.heard.date,
                    reason: "no progress for \(part.heard.instant.duration(to: now.instant).inWords)",
                    remedy: Self.lateRemedy
                )
            }
        }.sorted { $0.name < $1.name }
    }

    private static let lateRemedy =
        "restart the process, which resumes where it was committed; report its log as a bug"

    private func hear(_ name: String, isBusy: Bool) {
        let now = self.now()
        self.state.withLock { state in
            let loggedLate = state.parts[name]?.loggedLate
            state.parts[name] = Part(heard: now, isBusy: isBusy, loggedLate: loggedLate)
        }
    }

    private func isLate(_ part: Part, _ state: State, _ now: Moment) -> Bool {
        guard part.isBusy, state.isDatabaseThere else { return false }
        let heard = max(part.heard.instant, state.databaseBack ?? part.heard.instant)
        return heard.duration(to: now.instant) > self.progressLimit
    }

    /// The lines about parts that became late, are still late, or are no longer.
    func partLines(_ state: inout State, _ now: Moment) -> [Line] {
        var lines: [Line] = []
        for (name, part) in state.parts.sorted(by: { $0.key < $1.key }) {
            if self.isLate(part, state, now) {
                if let logged = part.loggedLate, logged.duration(to: now.instant) < self.reminderInterval { continue }
                state.parts[name]?.loggedLate = now.instant
                var line = Line(level: .error, message: "\(name): no progress")
                line.metadata["for"] = part.heard.instant.duration(to: now.instant).inWords
                line.metadata["remedy"] = Self.lateRemedy
                lines.append(line)
            } else if part.loggedLate != nil {
                state.parts[name]?.loggedLate = nil
                lines.append(Line(message: "\(name): progress again"))
            }
        }
        return lines
    }
}

extension HealthBoard: Service {
    /// Calls ``remind()`` every few seconds until the group is shut down.
    package func run() async throws {
        for await _ in AsyncTimerSequence.repeating(every: .seconds(5)).cancelOnGracefulShutdown() { self.remind() }
    }
}
