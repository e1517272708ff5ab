/// Somebody who delivers: a webhook, and what is to come beside it. A program that embeds Tidemark adds its own by this
/// one method.
///
/// The relay calls `deliver` for several deliveries at once, but never for two of one entity at a time. It does not
/// cancel: each call comes to an end by itself, within ``attemptTimeout``.
package protocol Notifier: Sendable {
    /// The most that one call of ``deliver(_:)`` takes. A delivery stays with this process a good deal longer, and no
    /// call is begun that could outlast that.
    var attemptTimeout: Duration { get }

    func deliver(_ delivery: Delivery) async -> DeliveryResult

    /// Called once when nothing will be delivered any more.
    func shutdown() async
}

extension Notifier {
    package var attemptTimeout: Duration { .seconds(30) }
    package func shutdown() async {}
}

/// What is delivered.
package struct Delivery: Sendable, Hashable {
    /// A UUID, the same for each attempt, by which a receiver drops repeats.
    package var id: String
    package var projection: String
    /// The key's values as a JSON array.
    package var keyJSON: String
    package var milestone: String
    package var notifier: String
    /// Counted from 1.
    package var attempt: Int
    /// JSON, the same bytes for each attempt.
    package var body: [UInt8]
    /// When the milestone was reached, in microseconds since 1970.
    package var createdAt: Int64

    package init(
        id: String,
        projection: String,
        keyJSON: String,
        milestone: String,
        notifier: String,
        attempt: Int = 1,
        body: [UInt8],
        createdAt: Int64 = 0
    ) {
        self.id = id
        self.projection = projection
        self.keyJSON = keyJSON
        self.milestone = milestone
        self.notifier = notifier
        self.attempt = attempt
        self.body = body
        self.createdAt = createdAt
    }
}

/// How an attempt ended. A reason is stored and shown: it holds no secrets and nothing that the receiver wrote.
package enum DeliveryResult: Sendable, Hashable {
    case delivered
    /// To be tried again, not before that time if there is one.
    case retry(after: Duration?, reason: String)
    /// Trying again will not help.
    case dead(reason: String)
    /// Nobody is there any more, for this delivery or any other. It stays due, and nothing more is delivered there until
    /// the notifier is enabled again.
    case gone(reason: String)
}

/// What is wrong with a notifier's configuration. It repeats neither the secret nor the URL.
package struct NotifierError: Error, Sendable, Hashable, CustomStringConvertible {
    package struct Code: Sendable, Hashable {
        private enum Base { case invalidSecret, invalidURL }
        private let base: Base
        package static let invalidSecret = Self(base: .invalidSecret)
        package static let invalidURL = Self(base: .invalidURL)
    }

    package let code: Code
    package let message: String

    package var description: String { self.message }
}
