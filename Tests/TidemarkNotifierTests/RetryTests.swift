import Testing

@testable import TidemarkNotifier

@Suite struct RetryTests {
    @Test func followsStandardWebhooks() {
        let schedule = RetrySchedule()
        let waits = (1...10).map { schedule.delay(afterAttempt: $0, chance: 0.5) }
        let expected: [Duration?] = [
            .seconds(5), .seconds(300), .seconds(1800), .seconds(7200), .seconds(18_000), .seconds(36_000),
            .seconds(50_400), .seconds(72_000), .seconds(86_400), nil,
        ]
        #expect(waits == expected)
    }

    @Test(arguments: [0.0, 0.25, 0.5, 0.999_999])
    func staysWithinAFifthOfTheDelay(_ chance: Double) throws {
        let delay = try #require(RetrySchedule().delay(afterAttempt: 1, chance: chance))
        #expect(delay >= .seconds(4) && delay <= .seconds(6))
        #expect(abs(delay / .seconds(1) - (4 + 2 * chance)) < 1e-6)
    }

    @Test func goesOnWithTheLastDelayWhenMoreAttemptsAreAllowed() {
        let schedule = RetrySchedule(attemptsMax: 12)
        #expect(schedule.delay(afterAttempt: 11, chance: 0.5) == .seconds(86_400))
        #expect(schedule.delay(afterAttempt: 12, chance: 0.5) == nil)
        #expect(RetrySchedule(attemptsMax: 1).delay(afterAttempt: 1, chance: 0.5) == nil)
    }

    @Test func aReceiverMayPutAnAttemptOffButNotHurryIt() {
        let schedule = RetrySchedule()
        #expect(schedule.delay(afterAttempt: 1, wish: .seconds(90), chance: 0.5) == .seconds(90))
        #expect(schedule.delay(afterAttempt: 2, wish: .seconds(1), chance: 0.5) == .seconds(300))
        #expect(schedule.delay(afterAttempt: 1, wish: .seconds(1_000_000), chance: 0.5) == .seconds(86_400))
        #expect(schedule.delay(afterAttempt: 10, wish: .seconds(1), chance: 0.5) == nil)
    }

    /// 784111777 is Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    @Test(arguments: [
        ("120", 120), (" 0 ", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 37), ("Sunday, 06-Nov-94 08:49:37 GMT", 37),
        ("Sun Nov  6 08:49:37 1994", 37), ("Sun, 06 Nov 1994 08:48:00 GMT", 0), ("Sun, 06 Nov 1994 09:49:00 GMT", 3600),
        ("99999999999999999999", 315_360_000),
    ])
    func readsRetryAfter(_ value: String, _ seconds: Int) {
        #expect(RetryAfter.parse(value, now: 784_111_740) == .seconds(seconds))
    }

    @Test(arguments: ["", "-5", "1.5", "soon", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "١٢"])
    func takesNothingElseForRetryAfter(_ value: String) {
        #expect(RetryAfter.parse(value, now: 784_111_740) == nil)
    }
}
