import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Runs the comparison, and prints it as Markdown on standard output and its progress on standard error.
@main
enum Main {
    private static let isInterrupted = Atomic<Bool>(false)

    static func main() {
        signal(SIGPIPE, SIG_IGN)
        // What is under way ends, and then the comparison does, by an error like any other: the server is stopped.
        for number in [SIGINT, SIGTERM] {
            signal(number) { _ in
                Self.isInterrupted.store(true, ordering: .sequentiallyConsistent)
                let process = ChildProcess.current.load(ordering: .sequentiallyConsistent)
                if process > 0 { kill(process, SIGTERM) }
            }
        }
        for name in ["PGOPTIONS", "PGSERVICE", "PGDATABASE", "PGUSER", "PGHOST", "PGPORT"] { unsetenv(name) }
        do {
            if CommandLine.arguments.dropFirst().contains(where: { ["-h", "--help"].contains($0) }) {
                print(Options.usage, terminator: "")
                exit(0)
            }
            var options = try Options(CommandLine.arguments.dropFirst())
            // PostgreSQL's account may not enter the folder this was started in.
            options.benchmarks = try Self.absolute(options.benchmarks)
            options.programs = try Self.absolute(options.programs)
            options.before = try options.before.map(Self.absolute)
            chdir("/")
            exit(try Comparison.run(options) ? 0 : 1)
        } catch {
            Self.say("bench: \(error)")
            exit(1)
        }
    }

    /// - Throws: when a signal asked for the end.
    static func checkInterrupt() throws {
        guard !Self.isInterrupted.load(ordering: .sequentiallyConsistent) else { throw BenchmarkError("interrupted") }
    }

    /// Tells whoever waits.
    static func say(_ text: String) {
        var line = text + "\n"
        line.withUTF8 { bytes in _ = write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }

    private static func absolute(_ path: String) throws -> String {
        guard let real = realpath(path, nil) else { throw BenchmarkError("there is no \(path)") }
        defer { free(real) }
        return String(cString: real)
    }
}
