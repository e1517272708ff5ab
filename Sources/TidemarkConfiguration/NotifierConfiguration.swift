import Foundation
import TidemarkCore

/// Somebody who wants to be told about milestones.
public struct NotifierConfiguration: Sendable {
    public enum NotifierType: String, Sendable, CaseIterable {
        case webhook, postgres, command, log
        /// Brought by the program that embeds Tidemark; `tidemark` itself leaves its deliveries due.
        case custom
    }

    /// At most so many attempts in so long.
    public struct Rate: Sendable, Hashable {
        public var attempts: Int
        public var period: Duration
    }

    public struct Circuit: Sendable, Hashable {
        /// So many failed attempts in a row stop delivering for a while; 0 never does.
        public var failures = 10
        /// The first while; it doubles with every try that fails, up to ten minutes.
        public var pause: Duration = .seconds(30)
    }

    public enum FailureRule: String, Sendable, CaseIterable {
        /// Behind a delivery that is dead, those of its entity wait until somebody has seen to it.
        case hold
        /// They go on without it.
        case skip
    }

    public enum Body: String, Sendable, CaseIterable {
        /// The kept columns.
        case full
        /// The key alone.
        case thin
    }

    public var name: String
    public var type: NotifierType
    /// A webhook's. May carry a token, so that descriptions and dumps show no more than the host.
    public var url = ""
    /// All sign, so that one can be replaced while receivers still know the other.
    public var secrets: [Secret] = []
    /// Delivers to loopback and private addresses too.
    public var allowPrivate = false
    /// A file of certificates in PEM that are trusted beside the system's.
    public var authorityFile: String?
    public var connectTimeout: Duration = .seconds(5)
    /// For one whole attempt.
    public var timeout: Duration = .seconds(15)
    /// Where a `NOTIFY` goes.
    public var channel = ""
    /// Where else than in Tidemark's own database.
    public var database: Secret?
    /// A program's path, and its arguments.
    public var command: [String] = []
    /// Names of environment variables that the program may see.
    public var environment: [String] = []

    /// Attempts under way at once.
    public var concurrency = 16
    public var rate: Rate?
    public var circuit = Circuit()
    /// Before each attempt, from the first; `nil` is Standard Webhooks' own.
    public var schedule: [Duration]?
    /// The last failed one leaves the delivery `dead`; `nil` is as many as the schedule has.
    public var maxAttempts: Int?
    public var onFailure = FailureRule.hold
    public var body = Body.full

    public init(name: String, type: NotifierType = .webhook) {
        self.name = name
        self.type = type
    }
}

extension NotifierConfiguration: CustomReflectable {
    public var customMirror: Mirror {
        Mirror(
            self,
            children: [
                "name": self.name, "type": self.type, "host": URLComponents(string: self.url)?.host ?? "(none)",
                "secrets": self.secrets, "allowPrivate": self.allowPrivate, "connectTimeout": self.connectTimeout,
                "timeout": self.timeout, "maxAttempts": self.maxAttempts as Any,
            ],
            displayStyle: .struct
        )
    }
}
