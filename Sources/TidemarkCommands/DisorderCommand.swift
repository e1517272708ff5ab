import ArgumentParser
import Foundation
import TidemarkCore
import TidemarkDecoding
import TidemarkSources

struct DisorderCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "disorder",
        abstract: "Write a log as a bad day would have brought it: reordered, repeated, resent, with wrong clocks.",
        discussion: """
            Steps are applied in this order: --drop, --skew, --resend, --repeat, and
            then --window or --shuffle. The same seed, options and log give the
            same bytes; the seed is always printed on standard error, so that a case
            can be named. docs/disorder.md shows what each is like in practice.

              tidemark disorder --window 50 --repeat 20 orders.ndjson \\
                | tidemark replay --dry-run --from shop.orders --key id \\
                    --sequence version -
            """
    )

    enum Per: String, ExpressibleByArgument, CaseIterable {
        case message, key, server
    }

    @Argument(help: "Files, folders or globs to read, in this order, gzip or not; - for standard input.")
    var files: [String]

    @Option(help: ArgumentHelp("Move each message by at most so many places.", valueName: "places"))
    var window = 0

    @Flag(help: "Any order at all. Holds the whole log in memory.")
    var shuffle = false

    @Option(
        name: .customLong("repeat"),
        help: ArgumentHelp("How many of 100 messages come a second time, up to 100 places later.", valueName: "percent")
    )
    var repeatPercent = 0.0

    @Option(
        name: .customLong("drop"),
        help: ArgumentHelp("How many of 100 messages are lost.", valueName: "percent")
    )
    var dropPercent = 0.0

    @Option(
        name: .customLong("resend"),
        help: ArgumentHelp(
            "How many of 100 batches are sent again behind the next one: A B A C.",
            valueName: "percent"
        )
    )
    var resendPercent = 0.0

    @Option(help: ArgumentHelp("With --resend: how many messages a batch has.", valueName: "messages"))
    var batch = 50

    @Option(help: ArgumentHelp("Each producer's clock is off by up to this: 90s, 5min, 2h.", valueName: "duration"))
    var skew: String?

    @Option(help: "With --skew: how many producers there are.")
    var producers = 3

    @Option(help: "With --skew: who wrote a message. message: any of them; key: one for a row; server: its server_id.")
    var per = Per.message

    @Option(help: "With --per key: the column.")
    var key: String?

    @Option(help: "Repeats a run that printed it (default: a new one).")
    var seed: UInt64?

    @Option(help: ArgumentHelp("Write here instead of to standard output.", valueName: "file"))
    var output: String?

    /// Longer lines could not be held in a window of any size.
    private static let messageBytesMax = 1 << 30

    func validate() throws {
        guard (0...10_000_000).contains(self.window) else {
            throw ValidationError("--window takes a number of places, from 0 to 10000000")
        }
        for (name, percent) in [
            ("repeat", self.repeatPercent), ("drop", self.dropPercent), ("resend", self.resendPercent),
        ] where !(0...100).contains(percent) {
            throw ValidationError("--\(name) takes a percentage, from 0 to 100")
        }
        if self.shuffle, self.window > 0 { throw ValidationError("--shuffle is any order: it takes no --window") }
        guard (1...1_000_000).contains(self.batch) else { throw ValidationError("--batch takes 1 to 1000000 messages") }
        guard (1...1_000_000).contains(self.producers) else {
            throw ValidationError("--producers takes a number from 1 to 1000000")
        }
        if (self.per == .key) != (self.key != nil) {
            throw ValidationError("--per key and --key COLUMN go together, for example --per key --key id")
        }
        _ = try self.skewSeconds()
        if self.files.filter({ $0 == "-" }).count > 1 { throw ValidationError("standard input can be read once") }
    }

    private func skewSeconds() throws -> Int {
        guard let skew else { return 0 }
        guard let span = TimeSpan(argument: skew), span.seconds > 0, span.seconds <= 366 * 86_400 else {
            throw ValidationError("--skew takes whole seconds or more, up to a year: 90s, 5min, 2h, 1d")
        }
        return span.seconds
    }

    private func settings() throws -> DisorderSettings {
        var settings = DisorderSettings(seed: self.seed ?? UInt64.random(in: 0..<1_000_000_000))
        settings.window = self.window
        settings.isShuffled = self.shuffle
        settings.repeatPercent = self.repeatPercent
        settings.dropPercent = self.dropPercent
        settings.resendPercent = self.resendPercent
        settings.batchMessages = self.batch
        settings.skewSeconds = try self.skewSeconds()
        settings.producers = self.producers
        switch self.per {
        case .message: settings.producer = .message
        case .key: settings.producer = .key(column: self.key ?? "")
        case .server: settings.producer = .server
        }
        return settings
    }

    func perform() async throws {
        let settings = try self.settings()
        let files = try InputResolver.resolve(self.files)
        Terminal.printError("tidemark disorder --seed \(settings.seed)")
        var sink = try OutputSink(path: self.output, inputs: files)
        var disorder = Disorder(settings)
        for file in files {
            let reader = try LineReader(file, messageBytesMax: Self.messageBytesMax, interrupt: Interrupt())
            while let block = try reader.nextBlock() {
                for line in block.messages {
                    guard !line.isOversized else {
                        throw CommandFailure(
                            ExitStatus.badData,
                            "\(file.path): line \(line.ordinal) is \(line.length) bytes long, over 1 GiB"
                        )
                    }
                    try disorder.take(Array(block.bytes[line.range])) { try sink.write($0) }
                }
                try sink.flushIfLarge()
            }
        }
        try disorder.finish { try sink.write($0) }
        try sink.flush()
        Terminal.printError(Self.report(disorder.counts))
    }

    private static func report(_ counts: DisorderCounts) -> String {
        var parts = ["read \(Terminal.grouped(Int64(counts.read)))"]
        for (word, count) in [
            ("dropped", counts.dropped), ("clock shifted on", counts.skewed), ("sent again", counts.resent),
            ("repeated", counts.repeated),
        ] where count > 0 { parts.append("\(word) \(Terminal.grouped(Int64(count)))") }
        parts.append("wrote \(Terminal.grouped(Int64(counts.written))) messages")
        return parts.joined(separator: ", ")
    }
}

/// Writes lines to a file or to standard output, buffered.
private struct OutputSink {
    private let handle: FileHandle
    private let path: String
    private var buffer = Data()
    private static let bufferedBytes = 1 << 18

    init(path: String?, inputs: [InputFile]) throws {
        guard let path else {
            self.handle = .standardOutput
            self.path = "standard output"
            return
        }
        self.path = path
        // It would be empty before the first line of it is read.
        if let status = try? FileManager.default.attributesOfItem(atPath: path),
            let device = (status[.systemNumber] as? NSNumber)?.uint64Value,
            let inode = (status[.systemFileNumber] as? NSNumber)?.uint64Value,
            inputs.contains(where: { $0.identity == InputFile.Identity(device: device, inode: inode) })
        {
            throw CommandFailure("\(path) is one of the inputs; write to another file")
        }
        // What is there is written into, and not replaced: a pipe, a device or a link stays one.
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            throw CommandFailure("\(path) cannot be written: \(String(cString: strerror(errno)))")
        }
        self.handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }

    mutating func write(_ message: [UInt8]) throws {
        self.buffer.append(contentsOf: message)
        self.buffer.append(UInt8(ascii: "\n"))
        if self.buffer.count >= Self.bufferedBytes { try self.flush() }
    }

    /// Writes the lines of a pipe at once.
    mutating func flushIfLarge() throws {
        if self.buffer.count >= 1 << 12 { try self.flush() }
    }

    mutating func flush() throws {
        let code = Terminal.write(self.buffer, to: self.handle.fileDescriptor)
        self.buffer.removeAll(keepingCapacity: true)
        guard let code else { return }
        // The reader of a pipe that has left knows.
        guard code != EPIPE else { throw ExitCode(ExitStatus.failed) }
        throw CommandFailure("cannot write to \(self.path): \(String(cString: strerror(code)))")
    }
}
