import Foundation
import Synchronization
import UnixSignals

/// Watches signals: the first SIGINT or SIGTERM requests an orderly end, the second one ends the process at once.
final class SignalWatch: Sendable {
    private let first = Mutex<Int32?>(nil)
    private let exit: @Sendable (Int32) -> Void

    /// - Parameter exit: ends the process with a status.
    init(exit: @escaping @Sendable (Int32) -> Void = { _exit($0) }) {
        self.exit = exit
    }

    /// The first signal that came.
    var received: Int32? { self.first.withLock { $0 } }

    /// Both closures are called on the watch's own task and must return soon, because the next signal waits for them.
    /// - Parameters:
    ///   - onFirst: called once.
    ///   - onReload: called for each SIGHUP until the first other signal; without it, SIGHUP ends the process.
    func start(onFirst: @escaping @Sendable () -> Void, onReload: (@Sendable () -> Void)? = nil) async {
        let trapped: [UnixSignal] = onReload == nil ? [.sigint, .sigterm] : [.sigint, .sigterm, .sighup]
        let signals = await UnixSignalsSequence(trapping: trapped)
        Task { [self] in
            for await signal in signals { self.handle(signal, onFirst: onFirst, onReload: onReload) }
        }
    }

    func handle(_ signal: UnixSignal, onFirst: @Sendable () -> Void, onReload: (@Sendable () -> Void)?) {
        if signal == .sighup {
            // A process that drains has no use for a new configuration.
            if self.received == nil { onReload?() }
            return
        }
        let number = signal == .sigint ? SIGINT : SIGTERM
        let isFirst = self.first.withLock { first in
            defer { first = first ?? number }
            return first == nil
        }
        guard isFirst else { return self.exit(128 + number) }
        onFirst()
    }
}
