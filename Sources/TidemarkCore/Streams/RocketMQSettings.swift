/// How name servers and brokers of RocketMQ are reached.
public struct RocketMQAccess: Sendable {
    /// Files in PEM, by absolute paths.
    public struct TLS: Sendable, Hashable {
        /// Authorities that are trusted in place of the system's.
        public var authorities: String?
        /// Whether the broker's certificate is verified. Brokers make one of their own at each start unless they are given one.
        public var verifies = true
        public var certificate: String?
        public var key: String?
        public init() {}
    }

    /// What requests are signed with. Descriptions leave it out. `debugDescription` has a hash of it: a service that reads its
    /// configuration again compares the sources by their `debugDescription`.
    public struct Credentials: Sendable, Hashable, CustomReflectable, CustomStringConvertible,
        CustomDebugStringConvertible
    {
        public let accessKey: String
        package let secretKey: String
        package let securityToken: String?

        public init(accessKey: String, secretKey: String, securityToken: String? = nil) {
            (self.accessKey, self.secretKey, self.securityToken) = (accessKey, secretKey, securityToken)
        }

        public var description: String { "(secret)" }
        /// The seed of the hash is random, and another one in each process.
        public var debugDescription: String { "(secret, hash \(self.hashValue))" }
        public var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// `host:port`, one or more.
    public var nameServers: [String] = []
    public var tls: TLS?
    public var credentials: Credentials?
    public init() {}
}

/// What a source of RocketMQ reads, and how.
public struct RocketMQSettings: Sendable {
    public var access = RocketMQAccess()
    public var topics: [String] = []
    /// The consumer group: its members share the queues.
    public var group = ""
    public var start = KafkaSettings.Start.earliest
    public var lostHistory = KafkaSettings.LostHistory.stop
    public var addedPartitions = KafkaSettings.AddedPartitions.stop
    /// `a || b`, or `*` for all.
    public var tags = "*"
    /// A condition of SQL92 in place of tags.
    public var expression: String?
    /// Queues are locked at the broker, as consumers that keep the order do.
    public var isOrdered = false
    public init() {}

    /// Whether the source reads the topic that is written to.
    public func reads(_ target: RocketMQTarget) -> Bool {
        !Set(target.access.nameServers).isDisjoint(with: self.access.nameServers) && self.topics.contains(target.topic)
    }

    /// - Returns: what is wrong with a name, as the end of a sentence; `nil` for a name of a topic.
    public static func mistake(inTopic text: String) -> String? {
        // Brokers check new topics by `^[%|a-zA-Z0-9_-]+$`.
        let isName = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "%"), UInt8(ascii: "|"), UInt8(ascii: "_"),
                UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isName, (1...255).contains(text.utf8.count) else {
            return "is no name of a topic: those have 1 to 255 letters, digits, hyphens, underscores, % and |"
        }
        return nil
    }
}

/// A topic of RocketMQ that is written to.
public struct RocketMQTarget: Sendable {
    public var access = RocketMQAccess()
    public var topic = ""
    public init() {}
}
