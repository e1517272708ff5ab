package import Foundation

/// Whole messages to start from: the lines of every log under a folder, and the finds of earlier runs.
package enum FuzzCorpus {
    private static let lineBytesMax = 1 << 16

    /// In the order of names and lines, so that one seed makes the same inputs everywhere.
    package static func messages(under folder: URL) throws -> [[UInt8]] {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: folder.path).sorted()
        var messages: [[UInt8]] = []
        for path in paths where path.hasSuffix(".ndjson") {
            let data = try Data(contentsOf: folder.appendingPathComponent(path))
            messages += data.split(separator: 0x0A).filter { $0.count <= Self.lineBytesMax }.map { Array($0) }
        }
        return messages
    }

    /// Frames of RocketMQ to start from, as inputs.
    package static func frames(under folder: URL) throws -> [[UInt8]] {
        let folder = folder.appendingPathComponent("rocketmq")
        return try Self.finds(in: folder).map { Array(FuzzFrames.marker.utf8) + $0.bytes }
    }

    /// Inputs that were trouble once, each in a file of its own.
    package static func finds(in folder: URL) throws -> [(name: String, bytes: [UInt8])] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().filter { $0.hasSuffix(".bin") }
            .map { ($0, Array(try Data(contentsOf: folder.appendingPathComponent($0)))) }
    }
}
