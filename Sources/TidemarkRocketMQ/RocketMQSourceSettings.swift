import RocketMQCodec
package import TidemarkCore

/// What a source of RocketMQ needs beside its own settings.
package struct RocketMQSourceSettings: Sendable {
    package var source: SourceSettings
    package var rocketmq: RocketMQSettings
    /// In bytes; of a longer message only the beginning is kept.
    package var messageBytesMax: Int
    /// How long a queue that is given up may take until what was read of it is committed.
    package var drainTimeout: Duration
    /// Entities are ordered by the offsets of their messages.
    package var ordersByOffset: Bool
    package var timing = Timing()

    /// How often things are done, as official clients do them; tests have them done more often.
    package struct Timing: Sendable {
        package var heartbeat = Duration.seconds(30)
        package var rebalance = Duration.seconds(20)
        package var route = Duration.seconds(30)
        package var suspend = Duration.seconds(15)
        package init() {}
    }

    /// Whether offsets may start at 0 again: no entity is ordered by them, or `added_partitions: earliest` says that the
    /// operator has raised the source's epoch.
    var mayBeginAnew: Bool { !self.ordersByOffset || self.rocketmq.addedPartitions == .earliest }

    package init(
        _ source: SourceSettings,
        _ rocketmq: RocketMQSettings,
        messageBytesMax: Int,
        drainTimeout: Duration,
        ordersByOffset: Bool = false
    ) {
        self.source = source
        self.rocketmq = rocketmq
        self.messageBytesMax = messageBytesMax
        self.drainTimeout = drainTimeout
        self.ordersByOffset = ordersByOffset
    }

    /// What is asked for of a topic.
    var filter: MessageFilter { MessageFilter(self.rocketmq) }
}

/// Which messages of a queue are read.
struct MessageFilter: Sendable, Equatable {
    enum Kind: Sendable, Equatable {
        case tags(TagExpression)
        case sql(String)
    }

    let kind: Kind

    init(_ settings: RocketMQSettings) {
        if let expression = settings.expression {
            self.kind = .sql(expression)
        } else {
            // The configuration refuses what names no tag.
            self.kind = TagExpression(settings.tags).map { .tags($0) } ?? .sql("FALSE")
        }
    }

    /// Every message, as it takes one to compare one.
    static let all = MessageFilter(RocketMQSettings())

    var isAll: Bool { if case .tags(let tags) = self.kind { tags.isAll } else { false } }

    var text: String {
        switch self.kind {
        case .tags(let tags): tags.text
        case .sql(let text): text
        }
    }

    var type: String { if case .tags = self.kind { "TAG" } else { "SQL92" } }
    var tags: [String] { if case .tags(let tags) = self.kind { tags.tags } else { [] } }

    /// The broker compares hashes of tags alone, so messages of other tags with the same hash come too.
    func takes(_ message: StoredMessage, of bytes: UnsafeRawBufferPointer) -> Bool {
        guard case .tags(let tags) = self.kind, !tags.isAll else { return true }
        let tag = MessageProperties.value(of: "TAGS", bytes, in: message.properties)
        return tags.takes(tag.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) })
    }
}
