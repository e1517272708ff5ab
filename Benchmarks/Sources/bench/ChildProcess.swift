import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What a program took from its start to its end.
struct Usage {
    var seconds: Double
    /// Processor time of the program and of what it started and waited for.
    var processorSeconds: Double
    /// The most memory it held at once.
    var peakBytes: Int
}

/// A program under way.
struct ChildProcess {
    /// Which one a signal is passed on to; 0 for none.
    static let current = Atomic<Int32>(0)

    private let process: pid_t
    private let words: [String]
    private let output: String
    private let start: ContinuousClock.Instant

    /// - Parameters:
    ///   - input: a file, or a descriptor's other end.
    ///   - output: the file that takes what it says on both outputs.
    static func start(_ words: [String], input: Input = .file("/dev/null"), output: String) throws -> ChildProcess {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        switch input {
        case .file(let path): posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, path, O_RDONLY, 0)
        case .descriptor(let descriptor): posix_spawn_file_actions_adddup2(&actions, descriptor, STDIN_FILENO)
        }
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)

        // This program does without SIGPIPE; others expect it.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigemptyset(&defaults)
        sigaddset(&defaults, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))

        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        var process: pid_t = 0
        let start = ContinuousClock.now
        let status = posix_spawnp(&process, words[0], &actions, &attributes, arguments, environ)
        guard status == 0 else {
            throw BenchmarkError("\(words[0]) cannot be started: \(String(cString: strerror(status)))")
        }
        Self.current.store(process, ordering: .sequentiallyConsistent)
        return ChildProcess(process: process, words: words, output: output, start: start)
    }

    enum Input {
        case file(String)
        case descriptor(Int32)
    }

    /// Waits until the program has ended well.
    func wait() throws -> Usage {
        var status: Int32 = 0
        var usage = rusage()
        while wait4(self.process, &status, 0, &usage) < 0 {
            guard errno == EINTR else { throw BenchmarkError("wait4: \(String(cString: strerror(errno)))") }
        }
        let elapsed = ContinuousClock.now - self.start
        Self.current.store(0, ordering: .sequentiallyConsistent)
        guard status == 0 else {
            try Main.checkInterrupt()
            let said = TextFile.read(self.output).suffix(2_000)
            throw BenchmarkError("\(self.words.joined(separator: " "))\nended with status \(status):\n\(said)")
        }
        #if canImport(Darwin)
            let unit = 1
        #else
            let unit = 1_024
        #endif
        return Usage(
            seconds: elapsed / .seconds(1),
            processorSeconds: Self.seconds(usage.ru_utime) + Self.seconds(usage.ru_stime),
            peakBytes: Int(usage.ru_maxrss) * unit
        )
    }

    @discardableResult
    static func run(_ words: [String], input: Input = .file("/dev/null"), output: String) throws -> Usage {
        try Self.start(words, input: input, output: output).wait()
    }

    private static func seconds(_ time: timeval) -> Double {
        Double(time.tv_sec) + Double(time.tv_usec) / 1e6
    }
}

/// Whole files, as this program needs them: small, and read for a person.
enum TextFile {
    static func read(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer[..<count]
        }
    }

    static func write(_ text: String, to path: String) throws {
        guard let file = fopen(path, "w") else { throw BenchmarkError("\(path) cannot be written") }
        fputs(text, file)
        guard fclose(file) == 0 else { throw BenchmarkError("\(path) cannot be written") }
    }
}
