import Foundation
import Testing

/// The frames of real brokers in `fixtures/rocketmq`, each with the fields that its README says it has.
struct RecordedFrame: Sendable, CustomTestStringConvertible {
    let name: String
    let bytes: [UInt8]
    /// JSON.
    private let description: Data

    var testDescription: String { self.name }
    var isRequest: Bool { self.name.hasSuffix(".req.bin") }

    func fields() throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: self.description) as? [String: Any])
    }

    private static let folder: URL = {
        var folder = URL(fileURLWithPath: #filePath)
        while !FileManager.default.fileExists(atPath: folder.appendingPathComponent("Package.swift").path) {
            folder.deleteLastPathComponent()
        }
        return folder.appendingPathComponent("fixtures/rocketmq")
    }()

    static let all: [RecordedFrame] = {
        guard let readme = try? String(contentsOf: Self.folder.appendingPathComponent("README.md"), encoding: .utf8)
        else {
            return []
        }
        var frames: [RecordedFrame] = []
        var name: String?
        var isJSON = false
        for line in readme.split(separator: "\n") {
            if line.hasPrefix("## ") { name = String(line.dropFirst(3)) }
            if line.hasPrefix("```") { isJSON = line == "```json" }
            guard isJSON, line.hasPrefix("{"), let named = name,
                let data = try? Data(contentsOf: Self.folder.appendingPathComponent(named))
            else { continue }
            frames.append(RecordedFrame(name: named, bytes: Array(data), description: Data(line.utf8)))
            name = nil
        }
        return frames
    }()

    static func named(_ name: String) throws -> RecordedFrame { try #require(Self.all.first { $0.name == name }) }

    static func fileCount() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: Self.folder.path).count { $0.hasSuffix(".bin") }
    }
}
