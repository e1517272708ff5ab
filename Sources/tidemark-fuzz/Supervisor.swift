import Foundation
import TidemarkFuzzing

/// Starts the worker, watches it, and keeps what it dies of.
struct Supervisor {
    /// An input that takes longer hangs; decoding one takes well below a millisecond.
    private static let hangSeconds = 10.0
    private static let residentBytesMax: UInt64 = 512 << 20
    /// Beyond what the buffers of one large input explain.
    private static let growthBytesMax: UInt64 = 64 << 20
    private static let findsMax = 20

    private let options: Options
    private let shared: SharedInput
    private let sharedPath: String
    private var next: UInt64
    private var finds = 0
    /// Memory over time, one value for each look at a worker that has warmed up.
    private var resident: [UInt64] = []

    init(options: Options) throws {
        self.options = options
        self.sharedPath = NSTemporaryDirectory() + "/tidemark-fuzz-\(ProcessInfo.processInfo.processIdentifier)"
        guard let shared = SharedInput(path: self.sharedPath) else { throw Failure("cannot map \(self.sharedPath)") }
        self.shared = shared
        self.next = options.number
    }

    /// - Returns: whether all went well.
    mutating func run() throws -> Bool {
        defer { unlink(self.sharedPath) }
        print("seed \(self.options.seed), \(self.options.seconds) seconds")
        let start = Date()
        let deadline = start.addingTimeInterval(Double(self.options.seconds))
        while Date() < deadline, self.finds < Self.findsMax { try self.supervise(until: deadline) }
        let elapsed = max(Date().timeIntervalSince(start), 0.001)
        let inputs = self.next - self.options.number
        let isGrowing = self.isGrowing
        print(
            "\(inputs) inputs, \(Int(Double(inputs) / elapsed)) a second, \(self.finds) finds, "
                + "memory \((self.resident.first ?? 0) >> 20) to \((self.resident.last ?? 0) >> 20) MiB"
                + (isGrowing ? ": it grows" : "")
        )
        return self.finds == 0 && !isGrowing
    }

    /// One life of the worker.
    private mutating func supervise(until deadline: Date) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
        process.arguments = [
            "--worker", self.sharedPath, "--seed", "\(self.options.seed)", "--number", "\(self.next)", "--corpus",
            self.options.corpus.path,
        ]
        let output = Pipe()
        process.standardOutput = output
        self.shared.number = self.next
        self.shared.residentBytes = 0
        try process.run()
        defer {
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
            process.waitUntilExit()
        }
        var seen = (number: self.next, at: Date())
        while process.isRunning {
            Thread.sleep(forTimeInterval: 0.1)
            let number = self.shared.number
            if number != seen.number { seen = (number, Date()) }
            let resident = self.shared.residentBytes
            if resident > 0 { self.resident.append(resident) }
            if resident > Self.residentBytesMax { return try self.keep("memory", "holds \(resident >> 20) MiB") }
            if Date().timeIntervalSince(seen.at) > Self.hangSeconds {
                return try self.keep("hang", "takes over \(Int(Self.hangSeconds)) s")
            }
            if Date() >= deadline {
                self.next = number
                return
            }
        }
        process.waitUntilExit()
        if process.terminationReason == .uncaughtSignal {
            try self.keep("crash", "ends in signal \(process.terminationStatus)")
        } else if process.terminationStatus == Worker.foundStatus {
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            try self.keep("wrong", text.split(separator: "\n").first.map(String.init) ?? "")
        } else {
            throw Failure("the worker ended with \(process.terminationStatus)")
        }
    }

    private mutating func keep(_ kind: String, _ what: String) throws {
        let number = self.shared.number
        let file = self.options.finds.appendingPathComponent("\(kind)-\(self.options.seed)-\(number).bin")
        try FileManager.default.createDirectory(at: self.options.finds, withIntermediateDirectories: true)
        try Data(self.shared.bytes).write(to: file)
        print("input \(number) \(what)\n  kept as \(file.path)")
        self.finds += 1
        self.next = number + 1
    }

    /// The last quarter holds more than the second one did.
    private var isGrowing: Bool {
        guard self.resident.count >= 40 else { return false }
        let quarter = self.resident.count / 4
        let early = self.resident[quarter..<(2 * quarter)].sorted()[quarter / 2]
        let late = self.resident.suffix(quarter).sorted()[quarter / 2]
        return late > early + Self.growthBytesMax
    }
}
