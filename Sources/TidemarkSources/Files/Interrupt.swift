import PlatformC
import Synchronization

/// Ends the reading of inputs from another thread, also a read that waits for a pipe that brings nothing.
///
/// Once raised it stays raised, for every reader that has it.
package final class Interrupt: Sendable {
    private let raised = Atomic<Bool>(false)
    /// A pipe that nobody ever reads: once it holds a byte, every `poll` on it returns. -1 when none could be made.
    private let readEnd: Int32
    private let writeEnd: Int32

    package init() {
        var ends: (Int32, Int32) = (-1, -1)
        let made = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { pipe($0) == 0 }
        }
        (self.readEnd, self.writeEnd) = made ? ends : (-1, -1)
        for end in [self.readEnd, self.writeEnd] where end >= 0 {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
    }

    deinit {
        for end in [self.readEnd, self.writeEnd] where end >= 0 { close(end) }
    }

    package var isRaised: Bool { self.raised.load(ordering: .acquiring) }

    package func raise() {
        guard !self.raised.exchange(true, ordering: .acquiringAndReleasing) else { return }
        var byte: UInt8 = 1
        _ = write(self.writeEnd, &byte, 1)
    }

    /// Waits until `descriptor` has something to read, or has ended, or until the interrupt is raised.
    func waitForInput(on descriptor: Int32) {
        // Without the pipe the flag is looked at ten times a second instead.
        let timeout: Int32 = self.readEnd >= 0 ? -1 : 100
        while !self.isRaised, !self.hasInput(on: descriptor, within: timeout) {}
    }

    /// Whether `descriptor` has something to read, or has ended, or the interrupt is raised.
    /// - Parameter timeout: in milliseconds; -1 waits for ever.
    func hasInput(on descriptor: Int32, within timeout: Int32) -> Bool {
        var polled = (
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: self.readEnd, events: Int16(POLLIN), revents: 0)
        )
        return withUnsafeMutablePointer(to: &polled) {
            $0.withMemoryRebound(to: pollfd.self, capacity: 2) { entries in
                let ready = poll(entries, 2, timeout)
                return ready > 0 || (ready < 0 && errno != EINTR)
            }
        }
    }
}
