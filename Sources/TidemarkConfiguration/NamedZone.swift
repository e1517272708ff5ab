import Foundation
import TidemarkCore

extension ZoneRule {
    /// Reads `UTC`, `+08:00` or the name of a zone in the IANA database.
    /// - Returns: `nil` for anything else; the host's own zone has no name.
    init?(configured text: String) {
        if text == "UTC" || text == "Z" || text == "Etc/UTC" {
            self = .utc
        } else if let seconds = Self.fixedOffset(text) {
            self = seconds == 0 ? .utc : .fixed(seconds: seconds)
        } else {
            guard Self.isNamed(text), let zone = TimeZone(identifier: text) else { return nil }
            let table = ZoneTable(zone)
            if let seconds = table.constantOffset {
                self = seconds == 0 ? .utc : .fixed(seconds: seconds)
            } else {
                self = .named { table.offset(ofLocal: $0) }
            }
        }
    }

    /// Whether the IANA database has the name. Foundation takes more: `GMT+8`, which PostgreSQL reads as eight hours
    /// west, and abbreviations such as `BST` and `CST`, which mean other zones elsewhere.
    private static func isNamed(_ text: String) -> Bool {
        if TimeZone.knownTimeZoneIdentifiers.contains(text) { return true }
        // Foundation's list lacks former names, such as US/Pacific.
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.allSatisfy({ $0.first?.isLetter == true }) else { return false }
        return ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/var/db/timezone/zoneinfo"].contains { folder in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(folder)/\(text)", isDirectory: &isFolder)
                && !isFolder.boolValue
        }
    }

    /// The name that is stored with rows: `UTC`, an offset such as `+08:00`, or the name of a zone whose offset
    /// changes. A fixed offset has one name, because `Etc/GMT-8` beside `+08:00` would require a needless rebuild.
    func name(configured text: String) -> String {
        switch self {
        case .utc: return "UTC"
        case .fixed(let seconds):
            let size = seconds.magnitude
            let parts = [size / 3600, size / 60 % 60] + (size % 60 == 0 ? [] : [size % 60])
            let digits = parts.map { $0 < 10 ? "0\($0)" : "\($0)" }
            return (seconds < 0 ? "-" : "+") + digits.joined(separator: ":")
        case .named: return text
        }
    }

    /// `+08:00`, as far as ±15:59.
    private static func fixedOffset(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count == 6, bytes[0] == UInt8(ascii: "+") || bytes[0] == UInt8(ascii: "-"),
            bytes[3] == UInt8(ascii: ":")
        else { return nil }
        let digits = [bytes[1], bytes[2], bytes[4], bytes[5]].map { Int64($0) - 0x30 }
        guard digits.allSatisfy({ (0...9).contains($0) }) else { return nil }
        let hours = digits[0] * 10 + digits[1]
        let minutes = digits[2] * 10 + digits[3]
        guard hours <= 15, minutes < 60 else { return nil }
        return (hours * 3600 + minutes * 60) * (bytes[0] == UInt8(ascii: "-") ? -1 : 1)
    }
}

/// The changes of a zone's offset, computed once, so that reading a timestamp is a binary search without a lock.
///
/// At a change a wall-clock time may have no instant or two. As in PostgreSQL, the skipped hour is read with the offset
/// before the change and the repeated one with the offset after it.
struct ZoneTable: Sendable {
    private struct Change {
        /// The local time, by the offset after the change, from which that offset applies.
        var localSeconds: Int64
        var offset: Int64
    }

    private let first: Int64
    private let changes: [Change]
    private let covered: Range<Int64>
    private let zone: TimeZone

    private static let day: Int64 = 86_400

    /// - Complexity: one look-up a day of the covered years, some milliseconds.
    init(_ zone: TimeZone, covering years: ClosedRange<Int> = 1970...2070) {
        func offset(_ utc: Int64) -> Int64 {
            Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(utc))))
        }
        let start = (CalendarText.days(year: years.lowerBound, month: 1, day: 1) ?? 0) * Self.day
        let end = (CalendarText.days(year: years.upperBound + 1, month: 1, day: 1) ?? 0) * Self.day
        var changes: [Change] = []
        var current = offset(start)
        self.first = current
        for noon in stride(from: start + Self.day, through: end, by: Int(Self.day)) {
            let next = offset(noon)
            guard next != current else { continue }
            var before = noon - Self.day
            var after = noon
            while after - before > 1 {
                let middle = before + (after - before) / 2
                if offset(middle) == current { before = middle } else { after = middle }
            }
            changes.append(Change(localSeconds: after + next, offset: next))
            current = next
        }
        self.changes = changes
        self.covered = (start + 2 * Self.day)..<(end - 2 * Self.day)
        self.zone = zone
    }

    /// The offset of a zone that never changes it, such as `GMT` and `Etc/GMT-8`. Before 1970 it samples one instant of
    /// each year since 1800: zones of cities begin with a local mean time that lasts for decades.
    var constantOffset: Int64? {
        let year = 365 * Self.day
        let isConstant = self.changes.isEmpty && (Int64(1)...170).allSatisfy { self.searched(-$0 * year) == self.first }
        return isConstant ? self.first : nil
    }

    /// The offset from UTC, in seconds, of a wall-clock time in seconds since 1970.
    func offset(ofLocal local: Int64) -> Int64 {
        guard self.covered.contains(local) else { return self.searched(local) }
        var low = 0
        var high = self.changes.count
        while low < high {
            let middle = (low + high) / 2
            if self.changes[middle].localSeconds <= local { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? self.first : self.changes[low - 1].offset
    }

    /// The offset of a time outside the table, which is rare.
    private func searched(_ local: Int64) -> Int64 {
        func offset(_ utc: Int64) -> Int64 {
            Int64(self.zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(utc))))
        }
        let before = offset(local - Self.day)
        let after = offset(local + Self.day)
        // Valid by the offset after the change: past it. Otherwise before it, or within the skipped hour.
        return before != after && offset(local - after) == after ? after : before
    }
}
