import Foundation
import LibPQ
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

    /// What an error means for a command that can be repeated, where a signal came first: the end that was asked for.
    func failure(of error: any Error) -> any Error {
        guard let signal = self.received, let error = error as? PostgresError else { return error }
        if error.code == .cancelled { return CommandFailure(128 + signal, "interrupted; the same command resumes it") }
        guard error.isRetriable else { return error }
        return CommandFailure(
            128 + signal,
            "interrupted while the database was away (\(error)); what is not committed is read again by the same command"
        )
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
