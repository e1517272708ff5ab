/// What a wait for a socket ended with.
package enum Readiness {
    case ready, timedOut, woken
}

/// Ends a wait for a socket early, from any thread: a pipe that the waiter polls too.
package final class Waker: Sendable {
    private let reader: Int32
    private let writer: Int32

    package init() {
        var ends: [Int32] = [-1, -1]
        let isMade = pipe(&ends) == 0
        for end in ends where isMade {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        (self.reader, self.writer) = isMade ? (ends[0], ends[1]) : (-1, -1)
    }

    deinit {
        for end in [self.reader, self.writer] where end >= 0 { close(end) }
    }

    /// `false` when no pipe could be made, so that waits are not ended early.
    package var isUsable: Bool { self.reader >= 0 }

    /// Wakes the waiter, now or when it next waits.
    package func wake() {
        var byte: UInt8 = 1
        // A full pipe wakes just as well.
        _ = write(self.writer, &byte, 1)
    }

    /// Forgets earlier wakes.
    package func clear() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(self.reader, &bytes, bytes.count) > 0 {}
    }

    /// Blocks until `socket` is ready for `events`, `deadline` (`nil`: never) has passed, or ``wake()``.
    package func wait(for socket: Int32, _ events: Int32, until deadline: ContinuousClock.Instant?) -> Readiness {
        while true {
            let left = deadline.map { ContinuousClock.now.duration(to: $0) } ?? .seconds(3600)
            // A millisecond more, because poll() counts whole ones and would spin through the last.
            let milliseconds = left <= .zero ? 0 : min(left / .milliseconds(1) + 1, 1_000_000_000)
            var watched = [
                pollfd(fd: socket, events: Int16(events), revents: 0),
                pollfd(fd: self.reader, events: Int16(POLLIN), revents: 0),
            ]
            let count = poll(&watched, 2, Int32(milliseconds))
            if count < 0, errno == EINTR { continue }
            if watched[1].revents != 0 { return .woken }
            // An error counts as ready: libpq will meet it and say what it is.
            if count < 0 || watched[0].revents != 0 { return .ready }
            if left <= .zero { return .timedOut }
        }
    }
}
