import Foundation
package import LibPQ

/// The source of a relay's deliveries and the sink of its results: the outbox, over a connection of its own, which is
/// opened on first use and reopened after a loss. One relay calls it from one task, one call at a time.
package actor DeliveryQueue {
    private let options: ConnectionOptions
    private let makeToken: @Sendable () -> String
    private var connection: Connection?
    /// A claim whose answer was lost, so that it may have taken deliveries.
    private var doubtful: (token: String, requests: [ClaimRequest])?

    /// What claims have seen of a notifier's due deliveries, since one has looked at all of them.
    private struct Look {
        /// When that was.
        var full: ContinuousClock.Instant
        /// When a claim took everything that was due; `nil` while there was more.
        var emptied: ContinuousClock.Instant?
        /// The newest one that was taken, by when it was made: microseconds since 1970 by the server's clock.
        var reached: Int64?
    }

    private var looks: [String: Look] = [:]

    /// After so long a claim looks at everything again.
    private static let fullPeriod = Duration.seconds(1)
    /// A delivery is due from the beginning of its transaction on, and seen at its end: usually within so long.
    private static let commitTime = Duration.seconds(5)

    /// - Parameter makeToken: makes a unique UUID.
    package init(options: ConnectionOptions, makeToken: @escaping @Sendable () -> String = UUIDText.random) {
        self.options = options
        self.makeToken = makeToken
    }

    /// Takes deliveries under leases: ``DeliveryStore/claim(_:token:by:on:)``.
    ///
    /// For a second after a claim that looked at everything, claims look only at what has become due since it took all,
    /// or, of a backlog, behind what was taken. The index begins with what was delivered since the last vacuum, which may
    /// be very much, and every claim would pass it.
    package func claim(_ requests: [ClaimRequest]) async throws -> DeliveryClaim {
        let now = ContinuousClock.now
        var requests = requests
        for index in requests.indices {
            guard let look = self.looks[requests[index].notifier], now - look.full < Self.fullPeriod else { continue }
            if let emptied = look.emptied {
                requests[index].scope = .dueWithin(now - emptied + Self.commitTime)
            } else if let reached = look.reached {
                requests[index].scope = .dueSince(reached - Self.commitTime.microseconds)
            }
        }
        let claim = try await self.take(requests)
        for request in requests { self.note(claim, for: request, at: now) }
        return claim
    }

    private func note(_ claim: DeliveryClaim, for request: ClaimRequest, at now: ContinuousClock.Instant) {
        let taken = claim.deliveries.lazy.filter { $0.notifier == request.notifier }.map(\.createdAt).max()
        let isFull = request.scope == .all
        var look = isFull ? Look(full: now) : self.looks[request.notifier] ?? Look(full: now)
        look.reached = [look.reached, taken].compactMap { $0 }.max()
        switch request.scope {
        case _ where claim.mayHaveMore: look.emptied = nil
        case .all, .dueSince: look.emptied = now
        case .dueWithin: break
        }
        // Nothing new: what has been due for longer is looked at before the relay waits.
        let isDoubtful = !isFull && claim.deliveries.isEmpty
        self.looks[request.notifier] = isDoubtful ? nil : look
    }

    private func take(_ requests: [ClaimRequest]) async throws -> DeliveryClaim {
        try await self.withConnection { connection in
            if let doubtful = self.doubtful {
                try await DeliveryStore.release(claim: doubtful.token, of: doubtful.requests, on: connection)
                self.doubtful = nil
            }
            let token = self.makeToken()
            self.doubtful = (token, requests)
            let claim = try await DeliveryStore.claim(
                requests,
                token: token,
                by: .prepared(DeliveryStore.claimName),
                on: connection
            )
            self.doubtful = nil
            return claim
        }
    }

    /// - Returns: the ranks of the deliveries whose results were written; the others' leases had ended.
    package func record(_ records: [DeliveryRecord]) async throws -> Set<Int64> {
        try await self.withConnection {
            try await DeliveryStore.record(records, by: .prepared(DeliveryStore.recordName), on: $0)
        }
    }

    package func release(_ deliveries: [ClaimedDelivery]) async throws {
        try await self.withConnection { try await DeliveryStore.release(deliveries, on: $0) }
    }

    package func countUntried(projections: [String], notifiers: [String]) async throws -> Int {
        try await self.withConnection {
            try await DeliveryStore.countUntried(projections: projections, notifiers: notifiers, on: $0)
        }
    }

    package func nextDue(notifiers: [String]) async throws -> Duration? {
        try await self.withConnection { try await DeliveryStore.nextDue(notifiers: notifiers, on: $0) }
    }

    /// Waits until there may be something new, at most that long. Ends early when the task is cancelled.
    package func idle(for duration: Duration) async throws {
        _ = try await self.withConnection { try await $0.notifications(timeout: duration) }
    }

    /// Whether a failed call may be retried.
    package nonisolated func isRetriable(_ error: any Error) -> Bool {
        (error as? PostgresError)?.isRetriable ?? false
    }

    package func close() async {
        await self.connection?.close()
        self.connection = nil
    }

    private func withConnection<R>(_ body: (Connection) async throws -> R) async throws -> R {
        let connection = try await self.connected()
        do {
            return try await body(connection)
        } catch {
            if await connection.isBroken { await self.close() }
            throw error
        }
    }

    private func connected() async throws -> Connection {
        if let connection { return connection }
        let connection = try await Connection.connect(self.options)
        do {
            try await DeliveryStore.prepare(connection)
            try await connection.execute("listen \(DeliveryStore.channel)")
        } catch {
            await connection.close()
            throw error
        }
        self.connection = connection
        return connection
    }
}

package enum UUIDText {
    /// Whether the text has the form of a UUID.
    package static func isUUID(_ text: String) -> Bool {
        text.wholeMatch(of: /[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}/) != nil
    }

    /// A random UUID (version 4).
    @Sendable
    package static func random() -> String {
        UUID().uuidString.lowercased()
    }
}
