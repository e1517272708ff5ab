internal import Synchronization

/// The result of an attempt, with the receiver's answer.
public struct DeliveryResult: Sendable, Hashable {
    public enum Outcome: Sendable, Hashable {
        case delivered
        /// Retry, not before that time if there is one.
        case retry(after: Duration?)
        /// Do not retry: the next attempt would fail in the same way.
        case dead
        /// The endpoint is gone for all deliveries. This one stays due, and the notifier is disabled until it is
        /// enabled by hand.
        case gone
    }

    public var outcome: Outcome
    /// Why it was not delivered, in our own words. It is stored, logged and shown, so it holds no secrets and no text
    /// of the receiver.
    public var reason: String?
    /// A number that the receiver gave: a webhook's status, a program's exit code.
    public var status: Int?
    /// The beginning of the receiver's answer. It is stored and shown with the attempt, and never logged.
    public var excerpt: String?

    public init(_ outcome: Outcome, reason: String? = nil, status: Int? = nil, excerpt: String? = nil) {
        self.outcome = outcome
        self.reason = reason
        self.status = status
        self.excerpt = excerpt
    }

    public static let delivered = Self(.delivered)

    public static func retry(after wish: Duration? = nil, reason: String) -> Self {
        Self(.retry(after: wish), reason: reason)
    }

    public static func dead(reason: String) -> Self { Self(.dead, reason: reason) }

    public static func gone(reason: String) -> Self { Self(.gone, reason: reason) }

    /// The same result with the receiver's answer.
    public func answered(status: Int?, excerpt: String?) -> Self {
        Self(self.outcome, reason: self.reason, status: status, excerpt: excerpt)
    }

    /// The most bytes of an excerpt.
    public static let excerptBytesMax = 1024
}

/// Collects the beginning of a receiver's answer, chunk by chunk.
final class ExcerptBuffer: Sendable {
    private let storage = Mutex<[UInt8]>([])
    private let bytesMax: Int

    init(bytesMax: Int = DeliveryResult.excerptBytesMax) { self.bytesMax = bytesMax }

    func append(_ chunk: some Collection<UInt8>) {
        self.storage.withLock { bytes in
            let missing = self.bytesMax - bytes.count
            if missing > 0 { bytes += chunk.prefix(missing) }
        }
    }

    var bytes: [UInt8] { self.storage.withLock { $0 } }
    var text: String? { LogSafeText.excerpt(self.bytes) }
}

/// Sanitizes text for terminals and for PostgreSQL, which stores no NUL.
enum LogSafeText {
    /// The text without control characters and bidirectional overrides; line ends stay on request.
    static func plain(_ text: String, scalarsMax: Int, keepsLines: Bool = false) -> String {
        var plain = String.UnicodeScalarView()
        for scalar in text.unicodeScalars.prefix(scalarsMax) {
            switch scalar.properties.generalCategory {
            case .control where keepsLines && (scalar == "\n" || scalar == "\t"): plain.append(scalar)
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: plain.append("\u{FFFD}")
            default: plain.append(scalar)
            }
        }
        return String(plain)
    }

    /// The beginning of a receiver's answer; `nil` if it is empty.
    static func excerpt(_ bytes: some Sequence<UInt8>) -> String? {
        let text = Self.plain(
            String(decoding: Array(bytes.prefix(DeliveryResult.excerptBytesMax)), as: UTF8.self),
            scalarsMax: DeliveryResult.excerptBytesMax,
            keepsLines: true
        )
        return text.isEmpty ? nil : text
    }
}
