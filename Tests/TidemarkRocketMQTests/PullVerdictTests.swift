import RocketMQCodec
import Testing
import TidemarkCore
@testable import TidemarkRocketMQ

struct PullVerdictTests {
    private static func verdict(
        _ code: Int32,
        _ remark: String?,
        next: Int64 = 5,
        isMaster: Bool = true,
        sql: Bool = false
    ) throws -> PullVerdict {
        var answer = RemotingCommand(
            code: code,
            fields: [.init("nextBeginOffset", "\(next)"), .init("minOffset", "0"), .init("maxOffset", "9")]
        )
        answer.remark = remark
        var settings = RocketMQSettings()
        if sql { settings.expression = "a > 1" }
        return try PullVerdict(answer, asked: 5, filter: MessageFilter(settings), isMaster: isMaster)
    }

    @Test func codesMeanWhatWasSeenOnTheWire() throws {
        func at(_ next: Int64) -> PullPosition { PullPosition(next: next, least: 0, end: 9) }
        #expect(try Self.verdict(0, "FOUND", next: 7) == .found(at(7)))
        #expect(try Self.verdict(19, "OFFSET_OVERFLOW_ONE") == .nothing(at(5)))
        #expect(try Self.verdict(20, "NO_MATCHED_MESSAGE", next: 8) == .skipped(at(8)))
        #expect(try Self.verdict(21, "OFFSET_TOO_SMALL", next: 7) == .belowLeast(at(7)))
        #expect(try Self.verdict(21, "OFFSET_OVERFLOW_BADLY", next: 3) == .aboveEnd(at(3)))
        #expect(try Self.verdict(21, "NO_MESSAGE_IN_QUEUE", next: 0) == .aboveEnd(at(0)))
        // A slave beyond its range would be asked for ever at once.
        guard case .later(let reason) = try Self.verdict(20, "OFFSET_OVERFLOW_BADLY", isMaster: false) else {
            Issue.record("a slave that is behind is not waited for")
            return
        }
        #expect(reason.contains("slave"))
    }

    @Test func errorsHaveTheCodeAndTheText() throws {
        func expect(_ verdict: PullVerdict, _ kind: String, _ text: String) {
            let shown = "\(verdict)"
            #expect(shown.hasPrefix(kind) && shown.contains(text), "\(shown)")
        }
        expect(try Self.verdict(16, "forbidden"), "refused", "code 16, \\\"forbidden\\\"")
        expect(try Self.verdict(17, "topic[t] not exist"), "routeAgain", "code 17")
        expect(try Self.verdict(29, "queueId[9] is illegal"), "routeAgain", "code 29")
        expect(try Self.verdict(1, "queueId[9] is illegal, topic:[t]"), "routeAgain", "code 1")
        expect(try Self.verdict(1, "AclException: no"), "refused", "AclException")
        expect(try Self.verdict(1, "does not support SQL92", sql: true), "refused", "enablePropertyFilter")
        expect(try Self.verdict(1, "NullPointerException"), "unexpected", "NullPointerException")
        expect(try Self.verdict(2, "busy"), "later", "code 2")
        for code in [24, 25, 26] as [Int32] { expect(try Self.verdict(code, "x"), "later", "code \(code)") }
        expect(try Self.verdict(23, "x"), "refused", "code 23")
        expect(try Self.verdict(777, "new"), "unexpected", "code 777, \\\"new\\\"")
    }

    @Test func anAnswerWithoutItsOffsetsIsNone() {
        #expect(throws: RocketMQDataError.self) {
            try PullVerdict(RemotingCommand(code: 0), asked: 0, filter: .all, isMaster: true)
        }
    }
}
