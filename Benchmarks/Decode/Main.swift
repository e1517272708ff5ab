import Foundation
import TidemarkCore
import TidemarkDecoding
import TidemarkSources

/// `decode-benchmark [EVENTS] [KIND…]`: how fast lines become change events, on one core and without a database.
///
/// Rates are by processor time of the one thread that reads and decodes, so that what else the machine does counts for
/// little; the median of the rounds is printed.
@main
enum Main {
    private static let rounds = 5

    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        let count = arguments.first.flatMap { Int($0) } ?? 500_000
        let kinds = arguments.compactMap { Messages.Kind(rawValue: $0) }
        for kind in kinds.isEmpty ? Messages.Kind.allCases : kinds {
            let log = Messages.log(kind, count: count)
            let path = NSTemporaryDirectory() + "/decode-benchmark-\(ProcessInfo.processInfo.processIdentifier).ndjson"
            try Data(log).write(to: URL(fileURLWithPath: path))
            defer { try? FileManager.default.removeItem(atPath: path) }
            for format in [SourceSettings.Format.auto] {
                let seconds = try (0..<Self.rounds).map { _ in try Self.decode(path, format, count) }.sorted()
                let median = seconds[Self.rounds / 2]
                print(
                    "\(kind): \(Int(Double(count) / median)) events/s, \(log.count / count) bytes each, "
                        + "\(Int(Double(log.count) / median / 1e6)) MB/s, best \(Int(Double(count) / seconds[0]))"
                )
            }
        }
    }

    /// - Returns: processor seconds.
    private static func decode(_ path: String, _ format: SourceSettings.Format, _ count: Int) throws -> Double {
        let file = try InputResolver.resolve([path])[0]
        let reader = try LineReader(file, messageBytesMax: 1 << 24, interrupt: Interrupt())
        var decoder = MessageDecoder(settings: SourceSettings(name: "benchmark", format: format))
        var message = DecodedMessage()
        var events = 0
        var fields = 0
        let start = Self.processorSeconds()
        while let block = try reader.nextBlock() {
            block.bytes.withUnsafeBytes { bytes in
                for line in block.messages {
                    decoder.decode(UnsafeRawBufferPointer(rebasing: bytes[line.range]), into: &message)
                    events += message.events.count
                    fields += message.fields.count
                }
            }
            reader.reuse(block)
        }
        let elapsed = Self.processorSeconds() - start
        precondition(events == count && fields > count, "\(events) events of \(count)")
        return elapsed
    }

    private static func processorSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
