import RocketMQCodec

/// What the answer to a pull means, by its code, its text and its fields. A code that is not known is no success.
enum PullVerdict: Equatable {
    /// Messages, and where to go on.
    case found(PullPosition)
    /// Nothing behind the offset that was asked for.
    case nothing(PullPosition)
    /// Nothing that was asked for up to there.
    case skipped(PullPosition)
    /// The offset is below the least that there is.
    case belowLeast(PullPosition)
    /// The offset is above the queue's end.
    case aboveEnd(PullPosition)
    /// A slave has not got as far, or the broker is in trouble.
    case later(reason: String)
    /// The queue is not there.
    case routeAgain(reason: String)
    /// A right or a setting of the broker is missing.
    case refused(reason: String, remedy: String)
    /// Not expected: it is logged with code and text, and asked again.
    case unexpected(reason: String)

    init(_ answer: RemotingCommand, asked: Int64, filter: MessageFilter, isMaster: Bool) throws(RocketMQDataError) {
        let text = "code \(answer.code), \(answer.remarkText)"
        switch answer.code {
        case ResponseCode.success: self = .found(try PullPosition(answer))
        case 19: self = .nothing(try PullPosition(answer))
        case 20:
            let position = try PullPosition(answer)
            if position.next > asked {
                self = .skipped(position)
            } else {
                self = .later(
                    reason: "\(isMaster ? "the broker" : "the slave") has nothing at offset \(asked) yet (\(text))"
                )
            }
        case 21:
            let position = try PullPosition(answer)
            // Its text says which end was passed; where it does not, the offsets do.
            let isBelow = answer.remark.map { $0 == "OFFSET_TOO_SMALL" } ?? (asked < position.least)
            self = isBelow ? .belowLeast(position) : .aboveEnd(position)
        case ResponseCode.noPermission:
            self = .refused(
                reason: "the broker refuses it (\(text))",
                remedy: "have the topic readable, and give the access key the right to subscribe to topic and group"
            )
        case ResponseCode.topicMissing: self = .routeAgain(reason: "the broker does not have the topic (\(text))")
        case ResponseCode.queueIllegal: self = .routeAgain(reason: "the broker does not have the queue (\(text))")
        case ResponseCode.systemError: self = Self.systemError(answer.remark ?? "", text, filter)
        case ResponseCode.busy: self = .later(reason: "the broker is in trouble (\(text))")
        case ResponseCode.subscriptionInvalid:
            self = .refused(
                reason: "the broker cannot read the expression \(filter.text) (\(text))",
                remedy: "correct tags or expression"
            )
        case 24, 25, 26: self = .later(reason: "the broker does not have the subscription yet (\(text))")
        default: self = .unexpected(reason: "the broker answered a pull with \(text)")
        }
    }

    /// Code 1 says many things, which only the text tells apart.
    private static func systemError(_ remark: String, _ text: String, _ filter: MessageFilter) -> PullVerdict {
        if filter.type == "SQL92", remark.contains("SQL92") {
            return .refused(
                reason: "the broker does not filter by SQL92 (\(text))",
                remedy: "write enablePropertyFilter=true for the broker, or tags in place of expression"
            )
        }
        if remark.contains("AclException") {
            return .refused(
                reason: "the broker refuses the access key (\(text))",
                remedy: "correct access_key and secret_key, and give it SUB on topic and group"
            )
        }
        if remark.contains("queueId["), remark.contains("illegal") {
            return .routeAgain(reason: "the broker does not have the queue (\(text))")
        }
        return .unexpected(reason: "the broker answered a pull with \(text)")
    }
}

/// The offsets that each answer to a pull carries.
struct PullPosition: Equatable {
    /// Where to go on.
    var next: Int64
    /// The first message that there is.
    var least: Int64
    /// The offset that the next message gets.
    var end: Int64

    init(next: Int64, least: Int64, end: Int64) { (self.next, self.least, self.end) = (next, least, end) }

    init(_ answer: RemotingCommand) throws(RocketMQDataError) {
        self.next = try answer.number("nextBeginOffset")
        self.least = try answer.number("minOffset")
        self.end = try answer.number("maxOffset")
        guard self.next >= 0 else { throw RocketMQDataError("an answer to a pull has nextBeginOffset \(self.next)") }
    }
}

/// A pull of one queue.
struct PullRequest {
    var group: String
    var queue: MessageQueueName
    var offset: Int64
    var count = 32
    /// How long the broker waits for a message; none does not wait.
    var suspend: Duration?
    var filter: MessageFilter

    /// The filter is in each request (4), so neither group nor heartbeat is needed for it; 2 has the broker wait.
    var command: RemotingCommand {
        RemotingCommand(
            code: RequestCode.pull,
            fields: [
                .init("consumerGroup", self.group), .init("topic", self.queue.topic),
                .init("queueId", "\(self.queue.id)"),
                .init("queueOffset", "\(self.offset)"), .init("maxMsgNums", "\(self.count)"),
                .init("sysFlag", self.suspend == nil ? "4" : "6"), .init("commitOffset", "0"),
                .init("suspendTimeoutMillis", "\(Int(self.suspend.map { $0 / .milliseconds(1) } ?? 0))"),
                .init("subscription", self.filter.text), .init("subVersion", "0"),
                .init("expressionType", self.filter.type),
            ]
        )
    }
}
