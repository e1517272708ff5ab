import Testing
import TidemarkCore

/// In which unit the numbers of a column count time.
struct UnitTallyTests {
    private static func tally(_ literals: [String], _ type: ColumnType = .timestamptz) -> UnitTally {
        var tally = UnitTally(type)
        for literal in literals { tally.count(Array(literal.utf8).span) }
        return tally
    }

    @Test(arguments: [
        ("1772357415", ValueEncoding.epochSeconds), ("1772357415.25", .epochSeconds), ("1.772357415e9", .epochSeconds),
        ("1772357415123", .epochMilliseconds), ("1772357415123456", .epochMicroseconds),
        ("1772357415123456789", .epochNanoseconds),
        // 1990-01-01 and the last second before 2100.
        ("631152000", .epochSeconds), ("4102444799", .epochSeconds), ("4102444799999", .epochMilliseconds),
    ])
    func `a number from 1990 to 2100 in one unit tells it`(_ literal: String, _ unit: ValueEncoding) {
        #expect(Self.tally([literal]).unit == unit)
    }

    @Test(arguments: [
        "0", "-1", "28800", "20513", "631151999", "4102444800", "-1772357415", "1e400", "0.5", "1e-5", "253402300799",
        "253402300799000", "253402300799000000", "9223372036825200", "-9223372036832400",
        "9223372036825200000", "-9223372036832400000", "9223372036854775807", "-9223372036854775808",
        "99999999999999999999",
    ])
    func `sentinels, infinities and times close to 1970 tell none`(_ literal: String) {
        let tally = Self.tally([literal])
        #expect(tally.unit == nil)
        #expect(tally.ambiguous == 1)
    }

    @Test func `only a date's numbers can count days, and a time of day tells nothing`() {
        #expect(Self.tally(["20513"], .date).unit == .epochDays)
        #expect(Self.tally(["7305"], .date).unit == .epochDays)
        #expect(Self.tally(["7304"], .date).unit == nil)
        #expect(Self.tally(["1772323200000"], .date).unit == .epochMilliseconds)
        #expect(Self.tally(["20513"], .timestamp).unit == nil)
        #expect(Self.tally(["1772357415123"], .time).unit == nil)
    }

    @Test func `one odd number in ten does not hide the unit, two do, whatever the order`() {
        let seconds = Array(repeating: "1772357415", count: 9)
        let odd = "1772357415000"
        for index in 0...9 {
            var literals = seconds
            literals.insert(odd, at: index)
            #expect(Self.tally(literals).unit == .epochSeconds)
            #expect(Self.tally(literals + [odd]).unit == nil)
        }
        #expect(Self.tally([odd, "1772357415"]).unit == nil)
    }

    @Test func `the ranges of two units have no number in common`() {
        var number: Int64 = 1
        while number < Int64.max / 3 {
            #expect(Self.tally(["\(number)"], .date).counts.count <= 1)
            number += number / 20 + 1
        }
    }
}
