import Foundation
import Synchronization
import Testing

/// The built `tidemark`, run as users run it.
final class TidemarkProcess: Sendable {
    struct Result: Sendable {
        var status: Int32
        /// The signal that ended the process, if one did.
        var signal: Int32?
        var output: String
        var error: String

        /// Standard output as one JSON object.
        func json() throws -> [String: Any] {
            let object = try JSONSerialization.jsonObject(with: Data(self.output.utf8))
            return try #require(object as? [String: Any], "\(self.output)")
        }
    }

    private struct State {
        var isOver = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let process: Mutex<Process>
    private let folder: URL
    let identifier: Int32

    /// The executable that was built with these tests: it stands beside their bundle.
    static let executable: URL? = {
        var folders = Bundle.allBundles.map { $0.bundleURL.deletingLastPathComponent() }
        folders.append(Bundle.main.bundleURL)
        folders.append(URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent())
        return folders.map { $0.appendingPathComponent("tidemark") }
            .first { FileManager.default.isExecutableFile(atPath: $0.path) }
    }()

    /// Starts it.
    /// - Parameters:
    ///   - input: what it reads on standard input.
    ///   - environment: over this process's, without its database.
    ///   - openFiles: how many files it may have open; `nil` for as many as this process.
    ///   - output: where its standard output goes, to be looked at while it runs.
    ///   - executable: another program.
    ///   - onExit: called on some thread when it is over.
    init(
        _ arguments: [String],
        input: Data? = nil,
        environment: [String: String] = [:],
        directory: URL? = nil,
        openFiles: Int? = nil,
        output: URL? = nil,
        executable: URL? = nil,
        onExit: @escaping @Sendable () -> Void = {}
    ) throws {
        let executable = try #require(executable ?? Self.executable, "there is no tidemark beside the test bundle")
        self.folder = FileManager.default.temporaryDirectory.appendingPathComponent("tidemark-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        let process = Process()
        process.executableURL = executable
        process.arguments = arguments
        if let openFiles {
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", "ulimit -n \(openFiles); exec \"$0\" \"$@\"", executable.path] + arguments
        }
        var variables = ProcessInfo.processInfo.environment
        variables["DATABASE_URL"] = nil
        process.environment = variables.merging(environment) { $1 }
        process.currentDirectoryURL = directory ?? self.folder
        for name in ["input", "output", "error"] {
            let contents = name == "input" ? input ?? Data() : Data()
            try contents.write(to: self.folder.appendingPathComponent(name))
        }
        process.standardInput = try FileHandle(forReadingFrom: self.folder.appendingPathComponent("input"))
        process.standardOutput = try FileHandle(forWritingTo: self.folder.appendingPathComponent("output"))
        if let output {
            try Data().write(to: output)
            process.standardOutput = try FileHandle(forWritingTo: output)
        }
        process.standardError = try FileHandle(forWritingTo: self.folder.appendingPathComponent("error"))
        let exited = Mutex<(@Sendable () -> Void)?>(nil)
        let isEarly = Mutex(false)
        process.terminationHandler = { _ in
            if let handler = exited.withLock({ $0 }) { handler() } else { isEarly.withLock { $0 = true } }
        }
        try process.run()
        self.identifier = process.processIdentifier
        self.process = Mutex(process)
        exited.withLock {
            $0 = { [weak self] in
                self?.end(); onExit()
            }
        }
        if isEarly.withLock({ $0 }) {
            self.end()
            onExit()
        }
    }

    private func end() {
        let waiters = self.state.withLock { state in
            defer { state.waiters = [] }
            state.isOver = true
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    var isOver: Bool { self.state.withLock { $0.isOver } }

    /// `kill -9`.
    func kill() { Foundation.kill(self.identifier, SIGKILL) }

    func send(_ signal: Int32) { Foundation.kill(self.identifier, signal) }

    /// What it has written to standard error, while it runs.
    func errorSoFar() throws -> String {
        String(decoding: try Data(contentsOf: self.folder.appendingPathComponent("error")), as: UTF8.self)
    }

    /// Waits for the end.
    func result() async throws -> Result {
        await withCheckedContinuation { continuation in
            let isOver = self.state.withLock { state in
                if !state.isOver { state.waiters.append(continuation) }
                return state.isOver
            }
            if isOver { continuation.resume() }
        }
        func text(_ name: String) throws -> String {
            String(decoding: try Data(contentsOf: self.folder.appendingPathComponent(name)), as: UTF8.self)
        }
        let (status, reason) = self.process.withLock { ($0.terminationStatus, $0.terminationReason) }
        let isSignal = reason == .uncaughtSignal
        let result = Result(
            status: isSignal ? -1 : status,
            signal: isSignal ? status : nil,
            output: try text("output"),
            error: try text("error")
        )
        try? FileManager.default.removeItem(at: self.folder)
        return result
    }

    /// Has the service stop, and waits for its end.
    func stop(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        self.send(SIGTERM)
        let result = try await self.result()
        #expect(result.status == 0, "\(result)", sourceLocation: sourceLocation)
    }

    /// Runs it to its end.
    static func run(
        _ arguments: [String],
        input: Data? = nil,
        environment: [String: String] = [:],
        directory: URL? = nil
    ) async throws -> Result {
        try await TidemarkProcess(arguments, input: input, environment: environment, directory: directory).result()
    }
}
