/// One frame: a request, or the response to one.
package struct RemotingCommand: Sendable, Equatable {
    /// How the header is written.
    package enum Serialization: UInt8, Sendable, CaseIterable {
        case json = 0
        case rocketmq = 1

        package var name: String { self == .json ? "JSON" : "ROCKETMQ" }
    }

    package struct Field: Sendable, Equatable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// What a request asks for; of a response, its result: 0 is success.
    package var code: Int32
    package var language = "OTHER"
    /// The ordinal of the sender's release. 413 is 5.0.0, the least of which name servers write standard JSON.
    package var version: Int32 = 413
    /// Given back with the response.
    package var opaque: Int32 = 0
    package var flag: Int32 = 0
    package var remark: String?
    /// `extFields`, in their order.
    package var fields: [Field] = []
    package var body: [UInt8] = []
    package var serialization = Serialization.json

    package init(code: Int32, fields: [Field] = [], body: [UInt8] = []) {
        self.code = code
        self.fields = fields
        self.body = body
    }

    package var isResponse: Bool { self.flag & 1 != 0 }
    /// Not answered.
    package var isOneway: Bool { self.flag & 2 != 0 }

    package subscript(name: String) -> String? { self.fields.first { $0.name == name }?.value }

    /// - Throws: ``RocketMQDataError`` where it is missing or no number.
    package func number(_ name: String) throws(RocketMQDataError) -> Int64 {
        guard let text = self[name] else {
            throw RocketMQDataError("an answer with code \(self.code) has no field \(name)")
        }
        guard let value = Int64(text) else {
            throw RocketMQDataError(
                "an answer with code \(self.code) has \(name) \"\(text.prefix(40))\", which is no number"
            )
        }
        return value
    }

    /// The text that a peer sent with an error, on one line.
    package var remarkText: String {
        let text = self.remark ?? ""
        return text.isEmpty
            ? "without a text" : "\"\(text.prefix(300).split(whereSeparator: \.isNewline).joined(separator: " "))\""
    }
}

/// Codes of requests.
package enum RequestCode {
    package static let send: Int32 = 10
    package static let pull: Int32 = 11
    package static let readOffset: Int32 = 14
    package static let storeOffset: Int32 = 15
    package static let createTopic: Int32 = 17
    package static let offsetByTime: Int32 = 29
    package static let maxOffset: Int32 = 30
    package static let minOffset: Int32 = 31
    package static let heartbeat: Int32 = 34
    package static let leave: Int32 = 35
    package static let members: Int32 = 38
    package static let membersChanged: Int32 = 40
    package static let lock: Int32 = 41
    package static let unlock: Int32 = 42
    package static let checkSubscription: Int32 = 46
    package static let route: Int32 = 105
    package static let deleteTopic: Int32 = 215
    package static let sendShort: Int32 = 310
    package static let sendBatch: Int32 = 320
}

/// Codes of responses.
package enum ResponseCode {
    package static let success: Int32 = 0
    package static let systemError: Int32 = 1
    package static let busy: Int32 = 2
    package static let unsupported: Int32 = 3
    package static let messageIllegal: Int32 = 13
    package static let noPermission: Int32 = 16
    package static let topicMissing: Int32 = 17
    package static let pullNotFound: Int32 = 19
    package static let pullRetry: Int32 = 20
    package static let pullOffsetMoved: Int32 = 21
    package static let notFound: Int32 = 22
    package static let subscriptionInvalid: Int32 = 23
    package static let subscriptionMissing: Int32 = 24
    package static let subscriptionStale: Int32 = 25
    package static let groupMissing: Int32 = 26
    package static let queueIllegal: Int32 = 29
}
