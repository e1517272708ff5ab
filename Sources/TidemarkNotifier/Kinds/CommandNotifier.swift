internal import Foundation
internal import PlatformC
internal import Subprocess
internal import SystemPackage

/// The settings of a program.
package struct CommandSettings: Sendable {
    /// An absolute path.
    package var program: String
    package var arguments: [String]
    /// The time limit of a run, after which the program and its children are killed.
    package var timeout: Duration = .seconds(30)
    /// The program's environment, beside the variables about the delivery.
    package var environment: [String: String] = [:]

    package init(program: String, arguments: [String] = []) {
        self.program = program
        self.arguments = arguments
    }

    /// The variables of this process that any program may see. Others may hold credentials.
    package static let inherited = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR"]
}

/// Runs a program for each delivery: the body on standard input, and in the environment `TIDEMARK_ID`,
/// `TIDEMARK_PROJECTION`, `TIDEMARK_MILESTONE` and `TIDEMARK_ATTEMPT`. It runs without a shell, so no value of a row is
/// interpreted as a command.
///
/// Exit code 0 is delivered. 75 (`EX_TEMPFAIL` of `sysexits.h`), a time-out, a signal and a program that cannot be
/// started are retried; any other code is dead.
package struct CommandNotifier: Notifier {
    private let settings: CommandSettings

    package init(_ settings: CommandSettings) {
        _ = Self.ignoresBrokenPipes
        self.settings = settings
    }

    /// Ignores SIGPIPE: a program that ends before it has read its input must not end this process.
    private static let ignoresBrokenPipes: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

    /// The time that killing and reaping take.
    public var attemptTimeout: Duration { self.settings.timeout + .seconds(5) }

    private static let tryAgain: Int32 = 75

    public func deliver(_ delivery: Delivery) async -> DeliveryResult {
        let output = ExcerptBuffer()
        let outcome = await withTaskGroup(of: Ending.self) { group in
            group.addTask { await self.run(delivery, keeping: output) }
            group.addTask {
                try? await Task.sleep(for: self.settings.timeout)
                return .timedOut
            }
            let first = await group.next() ?? .timedOut
            // Cancellation kills the program and waits for its end.
            group.cancelAll()
            return first
        }
        let excerpt = output.text
        switch outcome {
        case .exited(0):
            return DeliveryResult.delivered.answered(status: 0, excerpt: excerpt)
        case .exited(Self.tryAgain):
            return .retry(reason: "exit code 75, try again").answered(status: 75, excerpt: excerpt)
        case .exited(let code):
            return .dead(reason: "exit code \(code)").answered(status: Int(code), excerpt: excerpt)
        case .signaled(let signal):
            return .retry(reason: "ended by signal \(signal)").answered(status: nil, excerpt: excerpt)
        case .notStarted:
            return .retry(reason: Self.obstacle(to: self.settings.program) ?? "\(self.settings.program): not started")
        case .noInput(let reason):
            return .retry(reason: reason)
        case .timedOut:
            return .retry(reason: "no end within \(self.settings.timeout)").answered(status: nil, excerpt: excerpt)
        }
    }

    /// Why a program cannot be started; `nil` where nothing is known against it.
    package static func obstacle(to program: String) -> String? {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: program, isDirectory: &isFolder) else {
            return "\(program): there is no such program"
        }
        if isFolder.boolValue { return "\(program): is a folder, and no program" }
        if !FileManager.default.isExecutableFile(atPath: program) {
            return "\(program): this account may not execute it (chmod +x)"
        }
        return nil
    }

    private enum Ending {
        case exited(Int32), signaled(Int32), notStarted, timedOut
        /// The temporary folder takes no file with what the program is to read.
        case noInput(reason: String)
    }

    private func run(_ delivery: Delivery, keeping kept: ExcerptBuffer) async -> Ending {
        // A file instead of a pipe, so that a program that does not read its input blocks neither side.
        let input: FileDescriptor
        do throws(NoTemporaryFile) {
            input = try Self.unnamedFile(holding: delivery.body)
        } catch {
            return .noInput(reason: error.description)
        }
        var variables = self.settings.environment
        variables["TIDEMARK_ID"] = delivery.id
        variables["TIDEMARK_PROJECTION"] = delivery.projection
        variables["TIDEMARK_MILESTONE"] = delivery.milestone
        variables["TIDEMARK_ATTEMPT"] = String(delivery.attempt)
        var options = PlatformOptions()
        options.createSession = true
        options.teardownSequence = [
            .gracefulShutDown(toProcessGroup: true, allowedDurationToNextStep: .seconds(1)),
            .send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .seconds(1)),
        ]
        let configuration = Subprocess.Configuration(
            executable: .path(FilePath(self.settings.program)),
            arguments: Arguments(self.settings.arguments),
            environment: .custom(
                Dictionary(uniqueKeysWithValues: variables.map { (Environment.Key(stringLiteral: $0), $1) })
            ),
            workingDirectory: FilePath("/"),
            platformOptions: options
        )
        do {
            let result = try await Subprocess.run(
                configuration,
                input: .fileDescriptor(input, closeAfterSpawningProcess: true),
                output: .sequence,
                error: .combinedWithOutput
            ) { execution in
                for try await chunk in execution.standardOutput {
                    chunk.withUnsafeBytes { kept.append($0) }
                }
            }
            return switch result.terminationStatus {
            case .exited(let code): .exited(code)
            case .signaled(let signal): .signaled(signal)
            }
        } catch {
            return .notStarted
        }
    }

    private struct NoTemporaryFile: Error, CustomStringConvertible {
        var folder: String
        var reason: String

        var description: String {
            "the temporary folder \(self.folder) takes no file for the program's standard input (\(self.reason)); have TMPDIR "
                + "name one that this account may write to"
        }
    }

    /// An unlinked file with the body, positioned at its beginning.
    private static func unnamedFile(holding bytes: [UInt8]) throws(NoTemporaryFile) -> FileDescriptor {
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(folder)/tidemark-delivery-XXXXXX".utf8CString)
        let number = template.withUnsafeMutableBufferPointer { $0.baseAddress.map { mkstemp($0) } ?? -1 }
        guard number >= 0 else { throw NoTemporaryFile(folder: folder, reason: String(cString: strerror(errno))) }
        unlink(template)
        let file = FileDescriptor(rawValue: number)
        do {
            try file.writeAll(bytes)
            _ = try file.seek(offset: 0, from: .start)
            return file
        } catch {
            try? file.close()
            throw NoTemporaryFile(folder: folder, reason: "\(error)")
        }
    }
}
