import PlatformC
import Synchronization

/// Ends the reading of inputs from another thread, also a read that waits for a pipe that brings nothing.
///
/// Once raised it stays raised, for every reader that has it.
package final class Interrupt: Sendable {
    private let raised = Atomic<Bool>(false)
    private let waker = Waker()

    package init() {}

    package var isRaised: Bool { self.raised.load(ordering: .acquiring) }

    package func raise() {
        if !self.raised.exchange(true, ordering: .acquiringAndReleasing) { self.waker.wake() }
    }

    /// Waits until `descriptor` has something to read, or has ended, or until the interrupt is raised.
    func waitForInput(on descriptor: Int32) {
        // Without a pipe the flag is looked at ten times a second instead.
        let timeout: Duration = self.waker.isUsable ? .seconds(3600) : .milliseconds(100)
        while !self.isRaised, !self.hasInput(on: descriptor, within: timeout) {}
    }

    /// Whether `descriptor` has something to read, or has ended, or the interrupt is raised.
    func hasInput(on descriptor: Int32, within timeout: Duration) -> Bool {
        self.waker.wait(for: descriptor, Int32(POLLIN), until: .now + timeout) != .timedOut
    }
}
