import Testing
import TidemarkCore

struct TidemarkFormatTests {
    @Test("All members of a line are read")
    func readsLine() throws {
        let (event, message) = try event(Samples.tidemark, settings(.tidemark, epoch: 2))
        #expect(message.text(event.table) == "shop.orders")
        #expect(event.operation == .update)
        #expect(message.row(event.after) == ["id=number:7", "status=string:shipped", "version=number:5"])
        #expect(message.row(event.before) == ["id=number:7"])
        #expect(event.eventTime == 1_772_357_415_000_000)
        #expect(event.position == Position(kind: .numbers, epoch: 2, 42, 1288, count: 2))
        #expect(message.text(event.positionText) == "42:1288")
        #expect(event.tag.map(message.text) == "shipped")
        #expect(!event.writesJSONAsText && !event.beforeHoldsChangesOnly && event.beforeTrust == .whole)
    }

    @Test(
        "Each operation takes its own images",
        arguments: [
            ("insert", Operation.insert, false, true), ("update", .update, true, true),
            ("delete", .delete, true, false),
            ("snapshot", .snapshot, false, true), ("truncate", .truncate, false, false),
        ]
    )
    func readsOperations(_ text: String, _ operation: TidemarkCore.Operation, _ before: Bool, _ after: Bool) throws {
        let (event, _) = try event(#"{"table":"t","op":"\#(text)","before":{"a":1},"after":{"a":2},"position":[1]}"#)
        #expect(event.operation == operation)
        #expect((event.before != nil) == before)
        #expect((event.after != nil) == after)
        #expect(event.position?.isSnapshot == (operation == .snapshot))
    }

    @Test("Optional members may be missing or null")
    func readsShortLine() throws {
        for text in [
            #"{"table":"t","op":"update"}"#,
            #"{"op":"update","table":"t","after":null,"before":null,"ts":null,"position":null,"tag":null}"#,
        ] {
            let (event, _) = try event(text)
            #expect(event.before == nil && event.after == nil && event.position == nil)
            #expect(event.eventTime == nil && event.tag == nil && event.positionText.isEmpty)
        }
    }

    @Test("No digit of a number is lost")
    func keepsNumbers() throws {
        let numbers = [
            "9007199254740993", "18446744073709551615", "0.10000000000000000000000000000001", "1E-400", "-0",
        ]
        for number in numbers {
            let (event, message) = try event(#"{"table":"t","op":"insert","after":{"n":\#(number)}}"#)
            #expect(message.row(event.after) == ["n=number:\(number)"])
        }
    }

    @Test("A time without a zone is of the source's zone")
    func readsLocalTime() throws {
        var source = settings()
        source.zone = .fixed(seconds: 8 * 3600)
        let (event, _) = try event(#"{"table":"t","op":"insert","ts":"2026-03-01 17:30:15"}"#, source)
        #expect(event.eventTime == 1_772_357_415_000_000)
    }

    @Test(
        "A member that is not as it should be is named, with its value and what would do",
        arguments: [
            (#""op":"upsert""#, #""op" is "upsert", expected insert, update, delete, snapshot or truncate"#),
            (#""op":1"#, #""op" is 1, expected insert, update, delete, snapshot or truncate"#),
            (
                #""op":"insert","ts":1772357415"#,
                #""ts" is 1772357415, expected a timestamp such as "2026-03-01T09:30:15Z""#
            ),
            (
                #""op":"insert","ts":"2026-02-30T00:00:00Z""#,
                #""ts" is "2026-02-30T00:00:00Z", expected a timestamp such as "2026-03-01T09:30:15Z""#
            ),
            (#""op":"insert","after":[1]"#, #""after" is [1], expected an object of columns"#),
            (#""op":"delete","before":"x""#, #""before" is "x", expected an object of columns"#),
            (#""op":"insert","tag":{"a":"\u0000"}"#, #""tag" is {"a":"\u0000"}, expected a string"#),
        ]
    )
    func namesWhatIsWrong(_ members: String, _ detail: String) {
        let message = decode(#"{"table":"shop.orders",\#(members)}"#)
        #expect(message.failure == Rejection(.valueInvalid, detail))
        #expect(message.events.isEmpty && !message.isControl)
    }

    @Test(
        "A position is one to four whole numbers",
        arguments: [
            "[]", "[1,2,3,4,5]", "[-1]", "[1.0]", "[1e3]", "[18446744073709551616]", #"["1"]"#, "[null]", "7", "{}",
            #""1:2""#,
        ]
    )
    func refusesPosition(_ position: String) {
        let failure = decode(#"{"table":"t","op":"insert","position":\#(position)}"#).failure
        #expect(failure?.reason == .valueInvalid)
        #expect(failure?.detail.contains("\"position\"") == true)
    }

    @Test("The greatest numbers fit a position")
    func readsGreatestPosition() throws {
        let max = "18446744073709551615"
        let (event, _) = try event(#"{"table":"t","op":"insert","position":[\#(max),0,\#(max),1]}"#)
        #expect(event.position == Position(kind: .numbers, .max, 0, .max, 1, count: 4))
    }

    @Test(
        "A declared format takes nothing else",
        arguments: [SourceSettings.Format.tidemark, .maxwell, .canal, .debezium]
    )
    func refusesOtherFormats(_ format: SourceSettings.Format) {
        let own: [SourceSettings.Format: [String]] = [
            .tidemark: [Samples.tidemark], .maxwell: [Samples.maxwellUpdate, Samples.maxwellDelete],
            .canal: [Samples.canalUpdate],
            .debezium: [Samples.debeziumMySQL, Samples.debeziumPostgresDelete, Samples.flattened],
        ]
        for sample in Samples.all {
            let message = decode(sample, settings(format))
            #expect((message.failure == nil) == own[format]!.contains(sample), "\(format): \(sample)")
        }
    }

    @Test(
        "A message of no known shape is refused with what it has and what would do",
        arguments: [
            (#"{"a":1,"b\u0000\n":2}"#, #"an object with "a", "b\u{0}\u{a}"; expected Tidemark"#),
            ("{}", "the message is an empty object; expected Tidemark"),
            ("[1]", "the message is [1]; expected Tidemark"), (#""x""#, #"the message is "x"; expected Tidemark"#),
            ("1", "the message is 1; expected Tidemark"),
        ]
    )
    func refusesUnknownShape(_ text: String, _ beginning: String) throws {
        let failure = try #require(decode(text).failure)
        #expect(failure.reason == .unknownFormat)
        #expect(failure.detail.hasPrefix(beginning), "\(failure.detail)")
        #expect(failure.detail.contains("Maxwell") && failure.detail.contains("Canal"))
    }
}
