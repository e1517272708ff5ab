import Foundation
import Synchronization
import UnixSignals

/// Watches signals: the first SIGINT or SIGTERM requests an orderly end, the second one ends the process at once.
final class SignalWatch: Sendable {
    private let first = Mutex<Int32?>(nil)

    /// The first signal that came.
    var received: Int32? { self.first.withLock { $0 } }

    /// - Parameter onFirst: called once, on a task of its own.
    func start(onFirst: @escaping @Sendable () -> Void) async {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        Task { [self] in
            for await signal in signals {
                let number = signal == .sigint ? SIGINT : SIGTERM
                let isFirst = self.first.withLock { first in
                    defer { first = first ?? number }
                    return first == nil
                }
                guard isFirst else { _exit(128 + number) }
                onFirst()
            }
        }
    }
}
