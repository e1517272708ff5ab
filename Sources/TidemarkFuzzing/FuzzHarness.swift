import TidemarkCore
import TidemarkDecoding

/// Takes one message through every format's decoder and on into encoded events, and says what must not be.
///
/// That it returns at all is the first thing it shows. The decoders are used again from message to message, as a reader
/// uses them; what they make of one must not depend on those before it, so each is decoded afresh now and then.
package struct FuzzHarness: ~Copyable {
    private var readers = FuzzSettings.all
    private var decoders: [DecoderBox]
    private var message = DecodedMessage()
    private var other = DecodedMessage()
    private var canonical: [UInt8] = []
    private var count = 0
    /// Every so many messages come the checks that cost more than decoding does.
    private static let freshEvery = 16

    /// Arrays hold no noncopyable elements.
    private final class DecoderBox {
        var decoder: MessageDecoder
        init(_ settings: SourceSettings) { self.decoder = MessageDecoder(settings: settings) }
    }

    package init() {
        self.decoders = self.readers.map { DecoderBox($0) }
    }

    /// - Returns: what is wrong, and under which settings; `nil` when nothing is.
    package mutating func check(_ input: [UInt8]) -> String? {
        self.count += 1
        let isThorough = self.count % Self.freshEvery == 0
        if input.starts(with: FuzzConfiguration.marker.utf8) { return FuzzConfigured.problem(in: input) }
        if input.starts(with: FuzzFrames.marker.utf8) { return FuzzFrames.problem(in: input) }
        for (settings, box) in zip(self.readers, self.decoders) {
            input.withUnsafeBytes { box.decoder.decode($0, into: &self.message) }
            let problem =
                Self.problem(in: self.message) ?? self.disagreement(on: input, dumped: box.decoder.dumpedMessage)
                ?? (isThorough ? self.difference(from: input, settings) : nil)
                ?? FuzzStaging.problem(in: self.message, settings, isThorough: isThorough)
            if let problem { return "\(settings.name): \(problem)" }
        }
        return nil
    }

    // MARK: What holds of every message

    private static func problem(in message: DecodedMessage) -> String? {
        let outcomes = [
            message.failure != nil, message.isControl, !message.events.isEmpty || !message.rowFailures.isEmpty,
        ]
        guard outcomes.count(where: { $0 }) == 1 else { return "is not exactly one of rows, control and failure" }
        if let failure = message.failure {
            return Self.problem(in: failure) ?? (message.events.isEmpty ? nil : "a failure with rows")
        }
        let rows = (message.events.map(\.row) + message.rowFailures.map(\.row)).sorted()
        guard rows == Array(rows.indices) else { return "rows \(rows) are not each there once" }
        for failure in message.rowFailures {
            if let problem = Self.problem(in: failure.rejection) { return problem }
        }
        guard String(validating: message.bytes, as: UTF8.self) != nil else { return "bytes are not UTF-8" }
        func isInside(_ range: ByteRange) -> Bool { range.range.upperBound <= message.bytes.count }
        for field in message.fields where !isInside(field.name) || !isInside(field.value) { return "a field outside" }
        for event in message.events {
            guard isInside(event.table), !event.table.isEmpty, isInside(event.positionText),
                event.tag.map(isInside) ?? true
            else { return "a name outside" }
            for image in [event.before, event.after].compactMap({ $0 }) where image.upperBound > message.fields.count {
                return "an image outside"
            }
            if let time = event.eventTime, !CalendarText.timestampRange.contains(time) { return "a time outside" }
            if event.position == nil, event.positionGap == nil, event.operation != .snapshot {
                return "no position, and nothing says why"
            }
        }
        return nil
    }

    static func problem(in rejection: Rejection) -> String? {
        guard !rejection.detail.isEmpty else { return "a dead letter says nothing" }
        guard rejection.detail.utf8.count < 4096 else { return "a dead letter's sentence has no end" }
        return nil
    }

    // MARK: Against other readings

    /// The core has a JSON reader of its own, which shares no code with the decoders'. What the decoder says of the line
    /// of a dump is about the message in it, and the line itself was taken.
    private mutating func disagreement(on input: [UInt8], dumped: (value: [UInt8]?, record: StoredRecord)?) -> String? {
        guard let dumped else { return self.disagreement(on: input, self.message.failure) }
        return self.disagreement(on: input, nil)
            ?? dumped.value.flatMap { self.disagreement(on: $0, self.message.failure) }
    }

    private mutating func disagreement(on text: [UInt8], _ failure: Rejection?) -> String? {
        let isAccepted = failure?.reason != .malformedJSON && failure?.reason != .tooLarge
        let isJudgedByOthers = failure.map { failure in
            ["UTF-8", "twice", "deep"].contains { failure.detail.contains($0) }
        }
        if isJudgedByOthers == true { return nil }
        self.canonical.removeAll(keepingCapacity: true)
        let body: [UInt8]? = text.withUnsafeBytes { bytes in
            WireFrame.begins(bytes) ? WireFrame.body(of: bytes).map { Array($0) } : text
        }
        guard let body else { return failure != nil ? nil : "a frame without JSON is taken" }
        do throws(JSONText.Failure) {
            try JSONText.appendCanonical(body.span, to: &self.canonical)
            return isAccepted ? nil : "refused as no JSON (\(failure?.detail ?? "")), which another reader takes"
        } catch {
            return error == .malformed && isAccepted ? "taken as JSON, which another reader refuses" : nil
        }
    }

    /// The same message, decoded by a decoder that has seen no other.
    private mutating func difference(from input: [UInt8], _ settings: SourceSettings) -> String? {
        var fresh = MessageDecoder(settings: settings)
        input.withUnsafeBytes { fresh.decode($0, into: &self.other) }
        let (left, right) = (self.message, self.other)
        guard left.failure == right.failure, left.isControl == right.isControl, left.bytes == right.bytes,
            left.rowFailures == right.rowFailures, left.fields.count == right.fields.count,
            left.events.count == right.events.count, left.primaryKey == right.primaryKey
        else { return "depends on the messages before it" }
        for (one, two) in zip(left.events, right.events)
        where one.position != two.position || one.operation != two.operation
            || one.before != two.before || one.after != two.after
        {
            return "an event depends on the messages before it"
        }
        for (one, two) in zip(left.fields, right.fields)
        where one.name != two.name || one.value != two.value || one.kind != two.kind || one.encoding != two.encoding
            || one.scale != two.scale
        {
            return "a field depends on the messages before it"
        }
        return nil
    }
}

/// Sources that differ in all that a decoder looks at.
enum FuzzSettings {
    private static let servers = ["3e11fa47-71ca-11e1-9e33-c80aa9429562", "0", "uuid:tag"]

    static let all: [SourceSettings] = [
        make("auto", .auto), make("auto by GTID", .auto) { $0.gtidOrder = servers },
        make("tidemark", .tidemark) { $0.epoch = .max },
        make("debezium", .debezium) { $0.replicaIdentities = ReplicaIdentities(rest: .full) },
        make("maxwell", .maxwell) { $0.absent = .null }, make("maxwell by GTID", .maxwell) { $0.gtidOrder = servers },
        make("canal", .canal) { $0.zone = .fixed(seconds: -7 * 3600) },
        make("canal by GTID", .canal) {
            $0.gtidOrder = servers
            $0.sendsMinimalImages = true
        },
    ]

    private static func make(
        _ name: String,
        _ format: SourceSettings.Format,
        _ change: (inout SourceSettings) -> Void = { _ in }
    ) -> SourceSettings {
        var settings = SourceSettings(name: name, format: format)
        change(&settings)
        return settings
    }
}
