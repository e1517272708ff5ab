/// Delivers milestones: a webhook, a program, or a type of a program that embeds Tidemark. It needs one method:
///
///     struct Pager: Notifier {
///         func deliver(_ delivery: Delivery) async -> DeliveryResult {
///             do {
///                 try await page("\(delivery.projection) \(delivery.keyJSON): \(delivery.milestone)")
///                 return .delivered
///             } catch {
///                 return .retry(reason: "the pager does not answer")
///             }
///         }
///     }
///
/// The relay calls ``deliver(_:)`` for several deliveries at once, but never for two of one entity at a time. It does
/// not cancel calls: each must return within ``attemptTimeout``. The relay handles order, retries, limits and the
/// record of attempts.
public protocol Notifier: Sendable {
    /// The longest that a call of ``deliver(_:)`` takes. Leases are longer, and no call begins that could outlast its
    /// lease.
    var attemptTimeout: Duration { get }

    /// Delivers once. A receiver gets the same delivery again, with the same ``Delivery/id``, if its answer was lost or
    /// this process died.
    func deliver(_ delivery: Delivery) async -> DeliveryResult

    /// Called once, after the last delivery.
    func shutdown() async
}

extension Notifier {
    public var attemptTimeout: Duration { .seconds(30) }
    public func shutdown() async {}
}

/// A delivery as notifiers get it.
public struct Delivery: Sendable, Hashable {
    /// A UUID, the same for each attempt, by which a receiver drops repeats.
    public var id: String
    public var projection: String
    /// The key's values as a JSON array.
    public var keyJSON: String
    public var milestone: String
    public var notifier: String
    /// Counted from 1.
    public var attempt: Int
    /// JSON, the same bytes for each attempt.
    public var body: [UInt8]
    /// When the milestone was reached, in microseconds since 1970.
    public var createdAt: Int64

    public init(
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

/// An error in a notifier's configuration. It repeats neither the secret nor the URL.
package struct NotifierError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Code: Sendable { case invalidSecret, invalidURL, invalidAuthority }

    package let code: Code
    package let message: String
    /// The notifier's name, where it has one.
    package var notifier: String?

    package var description: String { self.notifier.map { "notifier \($0): \(self.message)" } ?? self.message }

    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }
}
