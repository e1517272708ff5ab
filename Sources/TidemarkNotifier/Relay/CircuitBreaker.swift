/// A circuit breaker for a notifier's receiver. Pure: the caller provides the time.
///
/// After so many failures in a row it opens for a pause; then one delivery is the probe. An answer closes it, a failure
/// doubles the pause. Waiting deliveries lose no attempts.
package struct CircuitBreaker: Sendable {
    package struct Settings: Sendable, Hashable {
        /// The number of failures in a row that opens it; 0 never opens it.
        package var failures: Int
        /// The first pause.
        package var pause: Duration
        package var pauseMax: Duration

        package init(failures: Int = 10, pause: Duration = .seconds(30), pauseMax: Duration = .seconds(600)) {
            self.failures = failures
            self.pause = pause
            self.pauseMax = max(pause, pauseMax)
        }
    }

    package enum Change: Sendable, Hashable {
        case opened(pause: Duration)
        case closed
    }

    private let settings: Settings
    private var consecutive = 0
    private var opening: (until: Duration, pause: Duration)?
    /// The delivery of the probe.
    private var probe: Int64?

    package init(_ settings: Settings) {
        self.settings = settings
    }

    package var isOpen: Bool { self.opening != nil }

    /// When the next probe is due; `nil` when it is closed, or a probe is under way.
    package var probeAt: Duration? { self.probe == nil ? self.opening?.until : nil }

    /// The number of attempts that may begin now; `nil` is any number.
    package func allowance(at now: Duration) -> Int? {
        guard let opening else { return nil }
        return self.probe == nil && now >= opening.until ? 1 : 0
    }

    /// Records the begin of an attempt. The first after the pause is the probe. One during the pause, in a run that
    /// tries every delivery once, is not.
    package mutating func began(_ seq: Int64, at now: Duration) {
        if let opening, now >= opening.until, self.probe == nil { self.probe = seq }
    }

    /// Records an answer, a refusal included.
    package mutating func answered() -> Change? {
        defer { (self.consecutive, self.opening, self.probe) = (0, nil, nil) }
        return self.opening == nil ? nil : .closed
    }

    package mutating func failed(_ seq: Int64, at now: Duration) -> Change? {
        self.consecutive += 1
        if let opening {
            // Attempts that were under way when it opened do not count.
            guard self.probe == seq else { return nil }
            return self.open(for: min(opening.pause * 2, self.settings.pauseMax), at: now)
        }
        guard self.settings.failures > 0, self.consecutive >= self.settings.failures else { return nil }
        return self.open(for: self.settings.pause, at: now)
    }

    private mutating func open(for pause: Duration, at now: Duration) -> Change {
        self.opening = (now + pause, pause)
        self.probe = nil
        return .opened(pause: pause)
    }
}
