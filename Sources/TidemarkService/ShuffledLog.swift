package import Foundation
package import TidemarkConfiguration
package import TidemarkCore
package import TidemarkSources

/// A permutation of logs, with repeats, as files that a replay can read: each line once at least, some twice or thrice.
///
/// Lines are dealt at random to buckets of bounded size on disk, and each bucket is shuffled in memory, so that a log
/// of any size is permuted as a whole. A file of the result has lines of one source, since what is known of a source
/// goes by the file.
package struct ShuffledLog {
    private static let bucketBytes: Int64 = 64 << 20
    private static let segments = 8
    private static let repeatPercent = 30

    private let folder: URL
    private let sources: [SourceSettings]
    private var generator: SplitMix64

    /// - Parameters:
    ///   - folder: empty, and for this permutation alone.
    ///   - seed: makes the same permutation of the same lines again.
    package init(in folder: URL, sources: [SourceSettings], seed: UInt64) {
        self.folder = folder
        self.sources = sources
        self.generator = SplitMix64(seed: seed)
    }

    /// The source settings of a configuration for the files that ``write(_:messageBytes:)`` makes.
    package static func configurations(_ sources: [SourceSettings], in folder: URL) -> [SourceConfiguration] {
        sources.enumerated().map { index, settings in
            SourceConfiguration(
                name: settings.name,
                paths: [folder.path + "/*.\(index).ndjson"],
                settings: settings
            )
        }
    }

    /// Writes the permutation.
    /// - Parameter files: what to read, each with the place of its source among `sources`.
    /// - Returns: the files, in the order in which they are to be read.
    package mutating func write(_ files: [(file: InputFile, source: Int)], messageBytes: Int) throws -> [String] {
        let bytes = files.reduce(Int64(0)) { $0 + $1.file.size * ($1.file.isCompressed ? 12 : 1) }
        var buckets: [FileHandle] = []
        let names = (0..<max(1, Int(bytes / Self.bucketBytes) + 1)).map {
            self.folder.appendingPathComponent("bucket-\($0)")
        }
        for name in names {
            guard FileManager.default.createFile(atPath: name.path, contents: nil) else {
                throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: name.path])
            }
            buckets.append(try FileHandle(forWritingTo: name))
        }
        try self.deal(files, to: buckets, messageBytes)
        for bucket in buckets { try bucket.close() }
        var written: [String] = []
        for (number, name) in names.shuffled(using: &self.generator).enumerated() {
            written += try self.shuffle(name, number)
            try FileManager.default.removeItem(at: name)
        }
        return written
    }

    /// A line in a bucket stands behind its length and its source.
    private mutating func deal(
        _ files: [(file: InputFile, source: Int)],
        to buckets: [FileHandle],
        _ messageBytes: Int
    ) throws {
        var pending = [Data](repeating: Data(), count: buckets.count)
        for (file, source) in files {
            let reader = try LineReader(file, messageBytesMax: messageBytes, interrupt: Interrupt())
            while let block = try reader.nextBlock() {
                for line in block.messages where !line.isOversized {
                    var copies = 1
                    while copies < 3, Int.random(in: 0..<100, using: &self.generator) < Self.repeatPercent {
                        copies += 1
                    }
                    for _ in 0..<copies {
                        let bucket = Int.random(in: 0..<buckets.count, using: &self.generator)
                        var header: [UInt8] = []
                        header.appendBigEndian(UInt32(line.range.count))
                        header.appendBigEndian(UInt16(source))
                        pending[bucket].append(contentsOf: header)
                        pending[bucket].append(contentsOf: block.bytes[line.range])
                        guard pending[bucket].count > 1 << 18 else { continue }
                        try buckets[bucket].write(contentsOf: pending[bucket])
                        pending[bucket].removeAll(keepingCapacity: true)
                    }
                }
            }
        }
        for (bucket, rest) in zip(buckets, pending) { try bucket.write(contentsOf: rest) }
    }

    private mutating func shuffle(_ bucket: URL, _ number: Int) throws -> [String] {
        let data = [UInt8](try Data(contentsOf: bucket))
        var lines: [(range: Range<Int>, source: Int)] = []
        var offset = 0
        while offset + 6 <= data.count {
            let count = data[offset..<(offset + 4)].reduce(0) { $0 << 8 | Int($1) }
            let source = Int(data[offset + 4]) << 8 | Int(data[offset + 5])
            lines.append(((offset + 6)..<(offset + 6 + count), source))
            offset += 6 + count
        }
        lines.shuffle(using: &self.generator)
        let isMixed = Set(lines.map(\.source)).count > 1
        let size = max(1, isMixed ? lines.count / Self.segments : lines.count)
        var written: [String] = []
        for (segment, start) in stride(from: 0, to: lines.count, by: size).enumerated() {
            let part = lines[start..<min(start + size, lines.count)]
            for source in Set(part.map(\.source)).sorted().shuffled(using: &self.generator) {
                var output = Data()
                for line in part where line.source == source {
                    output.append(contentsOf: data[line.range])
                    output.append(0x0A)
                }
                let path = self.folder.path + "/\(number)-\(segment).\(source).ndjson"
                try output.write(to: URL(fileURLWithPath: path))
                written.append(path)
            }
        }
        return written
    }
}
