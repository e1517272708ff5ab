/// Whether a notifier's receiver is worth an attempt. Pure: time is given.
///
/// After so many failures in a row, nothing is sent for a while; then one delivery is tried. If it is answered, all go on;
/// if not, the pause doubles. What waits meanwhile loses no attempts by it.
package struct CircuitBreaker: Sendable {
    package struct Settings: Sendable, Hashable {
        /// So many in a row open it; 0 never does.
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
    /// The delivery that is being tried while it is open.
    private var probe: Int64?

    package init(_ settings: Settings) {
        self.settings = settings
    }

    package var isOpen: Bool { self.opening != nil }

    /// When the next probe is due; `nil` when it is closed, or a probe is under way.
    package var probeAt: Duration? { self.probe == nil ? self.opening?.until : nil }

    /// How many may be begun now; `nil` is any number.
    package func allowance(at now: Duration) -> Int? {
        guard let opening else { return nil }
        return self.probe == nil && now >= opening.until ? 1 : 0
    }

    /// An attempt was begun; if it is the first after the pause, it is the probe. One that is made while it is open, since
    /// everything is to be tried once, is none.
    package mutating func began(_ seq: Int64, at now: Duration) {
        if let opening, now >= opening.until, self.probe == nil { self.probe = seq }
    }

    /// Somebody answered, if only to refuse.
    package mutating func answered() -> Change? {
        defer { (self.consecutive, self.opening, self.probe) = (0, nil, nil) }
        return self.opening == nil ? nil : .closed
    }

    package mutating func failed(_ seq: Int64, at now: Duration) -> Change? {
        self.consecutive += 1
        if let opening {
            // Those that were under way when it opened say nothing new.
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
