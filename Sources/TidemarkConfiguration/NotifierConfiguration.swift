import Foundation
public import TidemarkCore

/// A configured notifier, which gets deliveries of milestones.
public struct NotifierConfiguration: Sendable {
    public enum NotifierType: String, Sendable, CaseIterable {
        case webhook, postgres, command, kafka, rocketmq, log
        /// Brought by the program that embeds Tidemark; `tidemark` itself leaves its deliveries due.
        case custom
    }

    /// A limit on attempts per time.
    public struct Rate: Sendable, Hashable {
        public var attempts: Int
        public var period: Duration
    }

    public struct Circuit: Sendable, Hashable {
        /// The number of failed attempts in a row that opens the circuit; 0 never opens it.
        public var failures = 10
        /// The first pause; it doubles with every failed probe, up to ten minutes.
        public var pause: Duration = .seconds(30)
    }

    public enum FailureRule: String, Sendable, CaseIterable {
        /// Later deliveries of the entity wait until an operator has delivered or cancelled the dead one.
        case hold
        /// Later deliveries are sent without it.
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
    /// All secrets sign, so that one can be replaced while receivers still know the other.
    public var secrets: [Secret] = []
    /// Delivers to loopback and private addresses too.
    public var allowPrivate = false
    /// A file of certificates in PEM that are trusted beside the system's.
    public var authorityFile: String?
    public var connectTimeout: Duration = .seconds(5)
    /// The time limit of an attempt.
    public var timeout: Duration = .seconds(15)
    /// The topic that deliveries are written to.
    public var kafka = KafkaTarget()
    /// The topic of RocketMQ that deliveries are written to.
    public var rocketmq = RocketMQTarget()
    /// The channel of `NOTIFY`.
    public var channel = ""
    /// The database of `NOTIFY`, if not Tidemark's own.
    public var database: Secret?
    /// A program's path, and its arguments.
    public var command: [String] = []
    /// Names of environment variables that the program may see.
    public var environment: [String] = []

    /// The most attempts under way at once.
    public var concurrency = 16
    public var rate: Rate?
    public var circuit = Circuit()
    /// The delay before each attempt, from the first; `nil` is the schedule of Standard Webhooks.
    public var schedule: [Duration]?
    /// After so many failed attempts a delivery is `dead`; `nil` is the length of the schedule.
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
