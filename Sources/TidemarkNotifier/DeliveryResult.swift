internal import Synchronization

/// How an attempt ended, and what the receiver said.
public struct DeliveryResult: Sendable, Hashable {
    public enum Outcome: Sendable, Hashable {
        case delivered
        /// To be tried again, not before that time if there is one.
        case retry(after: Duration?)
        /// Trying again will not help.
        case dead
        /// Nobody is there any more, for this delivery or any other. It stays due, and nothing more is delivered there
        /// until the notifier is enabled again by hand.
        case gone
    }

    public var outcome: Outcome
    /// Why it was not delivered, in our own words. It is stored, logged and shown: it holds no secrets and nothing that
    /// the receiver wrote.
    public var reason: String?
    /// A number that the receiver gave: a webhook's status, a program's exit code.
    public var status: Int?
    /// The beginning of what the receiver said. It is stored and shown with the attempt, and never logged.
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

    /// The same with what the receiver said.
    public func answered(status: Int?, excerpt: String?) -> Self {
        Self(self.outcome, reason: self.reason, status: status, excerpt: excerpt)
    }

    /// Of an excerpt, in bytes; the rest is left out.
    public static let excerptBytesMax = 1024
}

/// Gathers the beginning of what a receiver sends, chunk by chunk.
final class ExcerptBuffer: Sendable {
    private let bytes = Mutex<[UInt8]>([])

    func append(_ chunk: some Collection<UInt8>) {
        self.bytes.withLock { bytes in
            let missing = DeliveryResult.excerptBytesMax - bytes.count
            if missing > 0 { bytes += chunk.prefix(missing) }
        }
    }

    var text: String? { LogSafeText.excerpt(self.bytes.withLock { $0 }) }
}

/// Text that goes to terminals and into a database that stores no NUL.
enum LogSafeText {
    /// Without what could move a cursor or turn the direction of writing; line ends stay where they are asked for.
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

    /// The beginning of what a receiver sent, if it sent anything.
    static func excerpt(_ bytes: some Sequence<UInt8>) -> String? {
        let text = Self.plain(
            String(decoding: Array(bytes.prefix(DeliveryResult.excerptBytesMax)), as: UTF8.self),
            scalarsMax: DeliveryResult.excerptBytesMax,
            keepsLines: true
        )
        return text.isEmpty ? nil : text
    }
}
