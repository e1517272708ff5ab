import Foundation
import Testing
import TidemarkCore

@testable import TidemarkConfiguration

@Suite("A time zone")
struct ZoneTests {
    /// The instant, in seconds, that a wall-clock time stands for.
    private func instant(_ text: String, _ zone: String) throws -> String {
        let rule = try #require(ZoneRule(configured: zone))
        let parsed = CalendarText.parseTimestamp(Array(text.utf8).span)
        let reading = try #require(parsed)
        var output: [UInt8] = []
        CalendarText.appendTimestamp(
            microseconds: rule.instant(ofLocal: reading.microseconds),
            hasZone: false,
            to: &output
        )
        return String(decoding: output, as: UTF8.self)
    }

    @Test(
        "gives the instant of a wall-clock time as PostgreSQL does",
        arguments: [
            ("2026-03-01T09:30:15.25", "UTC", "2026-03-01T09:30:15.25"),
            ("2026-03-01T09:30:15.25", "+08:00", "2026-03-01T01:30:15.25"),
            ("2026-03-01T09:30:15.25", "-03:30", "2026-03-01T13:00:15.25"),
            ("2026-03-01T09:30:15", "Asia/Shanghai", "2026-03-01T01:30:15"),
            ("2026-03-29T01:59:59.5", "Europe/Berlin", "2026-03-29T00:59:59.5"),
            // Skipped: read with the offset before the change.
            ("2026-03-29T02:30:00", "Europe/Berlin", "2026-03-29T01:30:00"),
            ("2026-03-29T03:00:00", "Europe/Berlin", "2026-03-29T01:00:00"),
            ("2026-10-25T01:59:59", "Europe/Berlin", "2026-10-24T23:59:59"),
            // Repeated: read with the offset after the change.
            ("2026-10-25T02:30:00", "Europe/Berlin", "2026-10-25T01:30:00"),
            ("2026-10-25T03:00:00", "Europe/Berlin", "2026-10-25T02:00:00"),
            ("2026-03-08T02:30:00", "America/New_York", "2026-03-08T07:30:00"),
            ("2026-11-01T01:30:00", "America/New_York", "2026-11-01T06:30:00"),
            ("2026-04-05T01:45:00", "Australia/Lord_Howe", "2026-04-04T15:15:00"),
            ("1960-07-01T12:00:00", "America/New_York", "1960-07-01T16:00:00"),
            ("2100-07-01T12:00:00", "Europe/Berlin", "2100-07-01T10:00:00"),
        ]
    )
    func instants(_ local: String, _ zone: String, _ expected: String) throws {
        #expect(try self.instant(local, zone) == expected)
    }

    @Test(
        "agrees with Foundation on every hour of its table",
        arguments: [
            "Europe/Berlin", "America/Sao_Paulo", "Asia/Shanghai", "Africa/Casablanca", "Pacific/Apia",
            "Asia/Kathmandu",
        ]
    )
    func agrees(_ name: String) throws {
        let zone = try #require(TimeZone(identifier: name))
        let table = ZoneTable(zone)
        var disagreements = 0
        for utc in stride(from: Int64(200_000_000), to: 3_000_000_000, by: 3600) {
            let offset = Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(utc))))
            let found = table.offset(ofLocal: utc + offset)
            guard found != offset else { continue }
            // Only a repeated hour may read otherwise, and then as the later of its two instants.
            let later = Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(utc + offset - found))))
            if later != found || found >= offset { disagreements += 1 }
        }
        #expect(disagreements == 0)
    }

    @Test(
        "has one name for each fixed offset, and its own where the offset changes",
        arguments: [
            ("UTC", "UTC"), ("GMT", "UTC"), ("Etc/UTC", "UTC"), ("+00:00", "UTC"), ("-00:00", "UTC"),
            ("+08:00", "+08:00"), ("Etc/GMT-8", "+08:00"), ("Etc/GMT+8", "-08:00"), ("-03:30", "-03:30"),
            ("Asia/Shanghai", "Asia/Shanghai"), ("US/Pacific", "US/Pacific"), ("EST5EDT", "EST5EDT"),
            // Constant since 1970, and not before.
            ("Asia/Dubai", "Asia/Dubai"), ("Africa/Abidjan", "Africa/Abidjan"),
        ]
    )
    func names(_ configured: String, _ expected: String) throws {
        #expect(try #require(ZoneRule(configured: configured)).name(configured: configured) == expected)
    }

    @Test(
        "that is none is refused",
        arguments: [
            "", "local", "+8", "+08", "+0800", "+16:00", "+08:60", "Mars/Base", "++8:00",
            // Read otherwise by PostgreSQL, or as other zones elsewhere.
            "GMT+8", "UTC+8", "UTC-3:30", "BST", "CST", "PST", "IST", "JST", "../zoneinfo/UTC", "Europe",
        ]
    )
    func refused(_ text: String) {
        #expect(ZoneRule(configured: text) == nil)
    }
}
