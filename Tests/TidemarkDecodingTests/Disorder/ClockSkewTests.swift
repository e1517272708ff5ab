import Foundation
import Testing
import TidemarkCore
import TidemarkDecoding

/// One message under a skew whose seed is looked for, so that the clock is off by a known number of seconds.
private func skewed(
    _ text: String,
    by wanted: Int,
    _ producer: DisorderSettings.Producer = .message
) throws -> String {
    for seed in 0..<UInt64(400) {
        var settings = DisorderSettings(seed: seed)
        settings.skewSeconds = abs(wanted)
        settings.producer = producer
        let output = run([text], settings)[0]
        if wanted == 0 { return output }
        let before = decode(text).events.first?.eventTime ?? 0
        let after = decode(output).events.first?.eventTime ?? 0
        if after - before == Int64(wanted) * 1_000_000 { return output }
    }
    Issue.record("no seed shifts by \(wanted) s")
    return ""
}

private func run(_ lines: [String], _ settings: DisorderSettings) -> [String] {
    var disorder = Disorder(settings)
    var output: [String] = []
    func emit(_ message: [UInt8]) { output.append(String(decoding: message, as: UTF8.self)) }
    for line in lines { disorder.take(Array(line.utf8), emit) }
    disorder.finish(emit)
    return output
}

@Suite
struct ClockSkewTests {
    private static let cases: [(String, String)] = [
        (
            #"{"table":"s.o","op":"insert","after":{"id":1,"ts":"x"},"ts":"2026-03-01 23:59:58.120+08:00"}"#,
            #"{"table":"s.o","op":"insert","after":{"id":1,"ts":"x"},"ts":"2026-03-02 00:00:01.120+08:00"}"#
        ),
        (
            #"{"database":"s","table":"o","type":"insert","ts":1772357415,"data":{"id":18446744073709551615,"ts":1}}"#,
            #"{"database":"s","table":"o","type":"insert","ts":1772357418,"data":{"id":18446744073709551615,"ts":1}}"#
        ),
        (
            #"{"id":1,"database":"s","table":"o","isDdl":false,"type":"INSERT","es":999000,"ts":999344,"data":[{"id":"1"}]}"#,
            #"{"id":1,"database":"s","table":"o","isDdl":false,"type":"INSERT","es":1002000,"ts":1002344,"data":[{"id":"1"}]}"#
        ),
        (
            #"{"after":{"ts_ms":5},"source":{"table":"o","db":"s","ts_ms":"1000","ts_us":1000000},"op":"c","ts_ms":2000}"#,
            #"{"after":{"ts_ms":5},"source":{"table":"o","db":"s","ts_ms":"4000","ts_us":4000000},"op":"c","ts_ms":5000}"#
        ),
        (
            #"{"schema":{"ts_ms":1},"payload":{"after":{"id":1},"source":{"table":"o","ts_ms":{"long":7}},"op":"c"}}"#,
            #"{"schema":{"ts_ms":1},"payload":{"after":{"id":1},"source":{"table":"o","ts_ms":{"long":3007}},"op":"c"}}"#
        ),
        (
            #"{"id":1,"ts_ms":1,"__table":"o","__op":"u","__source_ts_ms":-1000,"__ts_ms":null}"#,
            #"{"id":1,"ts_ms":1,"__table":"o","__op":"u","__source_ts_ms":2000,"__ts_ms":null}"#
        ),
    ]

    @Test(arguments: cases)
    func theProducersTimestampsAreShiftedAndNoOtherByte(_ text: String, _ expected: String) throws {
        #expect(try skewed(text, by: 3) == expected)
    }

    @Test(arguments: [
        "not JSON", "null", "[1]", #"{"ts_ms":1}"#, #"{"table":"s.o","op":"insert","after":{"id":1}}"#,
        #"{"table":"s.o","op":"insert","after":{"id":1},"ts":"some day"}"#,
        #"{"table":"s.o","op":"insert","after":{"id":1},"ts":"2026\u002d03-01T09:30:15Z"}"#,
        #"{"database":"s","table":"o","type":"insert","ts":1.5e9,"data":{"id":1}}"#,
    ])
    func whatCannotBeShiftedStaysAsItIs(_ text: String) {
        for seed in 0..<UInt64(20) {
            var settings = DisorderSettings(seed: seed)
            settings.skewSeconds = 100
            #expect(run([text], settings) == [text])
        }
    }

    @Test
    func aProducersClockIsOffByOneAmountForAllItsMessages() throws {
        var settings = DisorderSettings(seed: 3)
        settings.skewSeconds = 3600
        func offsets(_ lines: [String]) -> [Int64] {
            zip(lines, run(lines, settings)).map { before, after in
                ((decode(after).events.first?.eventTime ?? 0) - (decode(before).events.first?.eventTime ?? 0))
                    / 1_000_000
            }
        }
        func message(_ id: Int, _ ts: Int, server: Int) -> String {
            #"{"database":"s","table":"o","type":"insert","ts":\#(ts),"server_id":\#(server),"data":{"id":\#(id)}}"#
        }
        let lines = (0..<300).map { message($0 % 10, 1_772_357_000 + $0, server: 1 + $0 % 2) }

        settings.producer = .message
        #expect(Set(offsets(lines)).count == 3)

        settings.producer = .server
        let byServer = offsets(lines)
        #expect(Set(byServer.enumerated().map { [Int64($0.offset % 2), $0.element] }).count == 2)
        #expect(byServer.allSatisfy { abs($0) <= 3600 })

        settings.producer = .key(column: "id")
        settings.producers = 4
        let byKey = offsets(lines)
        #expect(Set(byKey.enumerated().map { [Int64($0.offset % 10), $0.element] }).count == 10)
        #expect(Set(byKey).count > 1)

        settings.producer = .key(column: "none")
        #expect(offsets(lines).allSatisfy { $0 == 0 })
    }
}
