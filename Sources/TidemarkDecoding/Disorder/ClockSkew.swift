import TidemarkCore

/// Shifts the timestamps that messages carry, each producer's by an amount of its own, and leaves every other byte as it
/// was: a number stays a number with as many digits as it needs, a text keeps its separators, fraction and zone.
struct ClockSkew: ~Copyable {
    private let settings: DisorderSettings
    private var decoder = MessageDecoder(settings: SourceSettings(name: ""))

    init(_ settings: DisorderSettings) {
        self.settings = settings
    }

    /// The message with its timestamps shifted; `nil` when it carries none, or its producer's clock is right.
    mutating func shifted(_ message: [UInt8]) -> [UInt8]? {
        let clocks = message.withUnsafeBytes { self.decoder.clocks(of: $0, keyColumn: self.keyColumn) }
        guard !clocks.stamps.isEmpty else { return nil }
        let seconds = self.seconds(of: message, clocks)
        guard seconds != 0 else { return nil }
        var output: [UInt8] = []
        output.reserveCapacity(message.count + 8)
        var copied = 0
        var isShifted = false
        for stamp in clocks.stamps.sorted(by: { $0.range.start < $1.range.start }) {
            let text = message[stamp.range.range]
            guard let shifted = stamp.unit.shift(text, bySeconds: seconds) else { continue }
            output.append(contentsOf: message[copied..<text.startIndex])
            output.append(contentsOf: shifted)
            copied = text.endIndex
            isShifted = true
        }
        guard isShifted else { return nil }
        output.append(contentsOf: message[copied...])
        return output
    }

    private var keyColumn: String? {
        if case .key(let column) = self.settings.producer { return column }
        return nil
    }

    /// How far the producer's clock is off: the same for all of its messages.
    private func seconds(of message: [UInt8], _ clocks: MessageClocks) -> Int {
        let producer: UInt64
        switch self.settings.producer {
        case .server:
            guard let server = clocks.server else { return 0 }
            producer = Self.hash(server)
        case .key:
            guard let key = clocks.key else { return 0 }
            producer = self.dealt(Self.hash(key))
        case .message:
            producer = self.dealt(Self.hash(message))
        }
        var generator = SplitMix64(seed: SplitMix64.mix(self.settings.seed ^ 0x5EED_C10C) ^ SplitMix64.mix(producer))
        return generator.below(2 * self.settings.skewSeconds + 1) - self.settings.skewSeconds
    }

    private func dealt(_ hash: UInt64) -> UInt64 {
        SplitMix64.mix(hash ^ self.settings.seed) % UInt64(self.settings.producers)
    }

    /// FNV-1a, 64 bits.
    private static func hash(_ bytes: [UInt8]) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return hash
    }
}

/// What one message says of clocks.
struct MessageClocks {
    struct Stamp {
        enum Unit: Int {
            case seconds = 1
            case milliseconds = 1_000
            case microseconds = 1_000_000
            case nanoseconds = 1_000_000_000
            /// `2026-03-01T09:30:15Z`.
            case text = 0
        }

        /// Where it stands in the message: a number's digits, or what is between a string's quotes.
        var range: ByteRange
        var unit: Unit
    }

    var stamps: [Stamp] = []
    /// The server that wrote the message.
    var server: [UInt8]?
    /// The value of the column asked for.
    var key: [UInt8]?
}

extension MessageClocks.Stamp.Unit {
    /// The text of the shifted timestamp; `nil` for one that is not understood, or would leave what can be written.
    func shift(_ text: ArraySlice<UInt8>, bySeconds seconds: Int) -> [UInt8]? {
        guard self == .text else {
            let bytes = Array(text)
            guard let value = bytes.integer(in: ByteRange(start: 0, end: bytes.count)) else { return nil }
            let (delta, isTooFar) = Int64(seconds).multipliedReportingOverflow(by: Int64(self.rawValue))
            let (shifted, isTooLarge) = value.addingReportingOverflow(delta)
            return isTooFar || isTooLarge ? nil : Array("\(shifted)".utf8)
        }
        // What follows the seconds stays: a shift by whole seconds changes neither fraction nor zone.
        let bytes = Array(text)
        guard let separator = bytes.firstIndex(where: { $0 == UInt8(ascii: "T") || $0 == UInt8(ascii: " ") }),
            bytes.count >= separator + 9
        else { return nil }
        let time = (separator + 1)..<(separator + 9)
        guard let days = CalendarText.parseDate(bytes.span.extracting(0..<separator)),
            let clock = CalendarText.parseTime(bytes.span.extracting(time))
        else { return nil }
        let second = CalendarText.microsecondsPerSecond
        let local = days * (CalendarText.microsecondsPerDay / second) + clock / second + Int64(seconds)
        let secondsPerDay = CalendarText.microsecondsPerDay / second
        let day = local.dividedRoundingDown(by: secondsPerDay)
        guard (1...9999).contains(CalendarText.date(days: day).year) else { return nil }
        var output: [UInt8] = []
        CalendarText.appendDate(days: day, to: &output)
        output.append(bytes[separator])
        CalendarText.appendTime(microseconds: (local - day * secondsPerDay) * second, to: &output)
        output.append(contentsOf: bytes[time.upperBound...])
        return output
    }
}
