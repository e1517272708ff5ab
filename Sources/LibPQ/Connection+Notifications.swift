internal import CLibPQ
internal import PlatformC

/// What a `NOTIFY` sent to a channel that this connection listens on.
package struct Notification: Sendable, Hashable {
    package var channel: String
    package var payload: String
    package var backendPID: Int32
}

extension Connection {
    /// The notifications that have arrived since the last call, during other commands too; when there are none, those
    /// that arrive first within the timeout. Other commands on this connection wait meanwhile.
    /// - Returns: nothing after the timeout, or when the task is cancelled.
    package func notifications(timeout: Duration) async throws(PostgresError) -> [Notification] {
        self.waker.clear()
        let waker = self.waker
        let outcome = await withTaskCancellationHandler {
            self.collect(until: .now + timeout)
        } onCancel: {
            waker.wake()
        }
        return try outcome.get()
    }

    private func collect(until deadline: ContinuousClock.Instant) -> Result<[Notification], PostgresError> {
        guard let handle = self.openHandle else {
            return .failure(PostgresError(.connectionClosed, "the connection was closed"))
        }
        while true {
            let isAlive = PQconsumeInput(handle.pointer) == 1 && !handle.isBroken
            var found: [Notification] = []
            while let notify = PQnotifies(handle.pointer) {
                found.append(
                    Notification(
                        channel: String(cString: notify.pointee.relname),
                        payload: notify.pointee.extra.map { String(cString: $0) } ?? "",
                        backendPID: notify.pointee.be_pid
                    )
                )
                PQfreemem(notify)
            }
            if !found.isEmpty { return .success(found) }
            guard isAlive else { return .failure(PostgresError(.connectionLost, connection: handle.pointer)) }
            let readiness = self.waker.wait(for: PQsocket(handle.pointer), Int32(POLLIN), until: deadline)
            guard readiness == .ready else { return .success([]) }
        }
    }
}
