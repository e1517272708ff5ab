import Foundation
import Testing
import TidemarkCore
import TidemarkDecoding

/// Decodes one message with a decoder of its own.
func decode(_ text: String, _ settings: SourceSettings = SourceSettings(name: "test")) -> DecodedMessage {
    decode(Array(text.utf8), settings)
}

func decode(_ bytes: [UInt8], _ settings: SourceSettings = SourceSettings(name: "test")) -> DecodedMessage {
    var decoder = MessageDecoder(settings: settings)
    var message = DecodedMessage()
    bytes.withUnsafeBytes { decoder.decode($0, into: &message) }
    return message
}

/// The only event of a message that has to have one.
func event(
    _ text: String,
    _ settings: SourceSettings = SourceSettings(name: "test"),
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> (ChangeEvent, DecodedMessage) {
    let message = decode(text, settings)
    try #require(message.failure == nil, sourceLocation: sourceLocation)
    try #require(message.events.count == 1, sourceLocation: sourceLocation)
    return (message.events[0], message)
}

func settings(
    _ format: SourceSettings.Format = .auto,
    epoch: UInt32 = 0,
    gtidOrder: [String] = [],
    full: Bool = false
) -> SourceSettings {
    var settings = SourceSettings(name: "test", format: format)
    settings.epoch = epoch
    settings.gtidOrder = gtidOrder
    settings.replicaIdentities = ReplicaIdentities(rest: full ? .full : .default)
    return settings
}

extension DecodedMessage {
    /// A row image as text: `name=kind:bytes`, in the message's order.
    func row(_ range: Range<Int>?) -> [String]? {
        range.map { $0.map { self.fields[$0] }.filter { !$0.isMeta }.map(self.describe) }
    }

    func describe(_ field: Field) -> String {
        var text = "\(self.text(field.name))=\(field.kind)"
        switch field.kind {
        case .number, .string, .json, .bytes, .textOrBytes: text += ":" + self.text(field.value)
        case .unavailable, .null, .true, .false: break
        }
        if field.encoding != .none { text += " [\(field.encoding.rawValue)]" }
        if field.scale != 0, !field.isWallClock { text += " scale \(field.scale)" }
        return text
    }

    /// What holds of any message, however broken it came in.
    func expectConsistent(sourceLocation: SourceLocation = #_sourceLocation) {
        let outcomes = [self.failure != nil, self.isControl, !self.events.isEmpty || !self.rowFailures.isEmpty]
        #expect(outcomes.count(where: { $0 }) == 1, sourceLocation: sourceLocation)
        func isInside(_ range: ByteRange) -> Bool { range.range.upperBound <= self.bytes.count }
        for field in self.fields {
            #expect(isInside(field.name) && isInside(field.value), sourceLocation: sourceLocation)
        }
        for event in self.events {
            #expect(isInside(event.table) && isInside(event.positionText), sourceLocation: sourceLocation)
            #expect(event.tag.map(isInside) ?? true, sourceLocation: sourceLocation)
            for image in [event.before, event.after].compactMap({ $0 }) {
                #expect(image.upperBound <= self.fields.count, sourceLocation: sourceLocation)
            }
            if let time = event.eventTime {
                #expect(CalendarText.timestampRange.contains(time), sourceLocation: sourceLocation)
            }
        }
    }
}

/// Samples beside the checkout, which are no part of it.
enum SharedData {
    static let folder: URL? = {
        var candidates: [URL] = []
        if let path = ProcessInfo.processInfo.environment["TIDEMARK_SHARED"] {
            candidates.append(URL(fileURLWithPath: path))
        }
        var folder = URL(fileURLWithPath: #filePath)
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            candidates.append(folder.appendingPathComponent("shared"))
        }
        return candidates.first { FileManager.default.fileExists(atPath: $0.appendingPathComponent("data").path) }
    }()

    static func lines(_ path: String) throws -> [[UInt8]] {
        let folder = try #require(self.folder)
        let data = try Data(contentsOf: folder.appendingPathComponent(path))
        return data.split(separator: 0x0A).map { Array($0) }
            .filter { !$0.allSatisfy { [0x20, 0x09, 0x0D].contains($0) } }
    }

    static func files(in path: String) throws -> [String] {
        let folder = try #require(self.folder).appendingPathComponent(path)
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map { "\(path)/\($0)" }
    }
}
