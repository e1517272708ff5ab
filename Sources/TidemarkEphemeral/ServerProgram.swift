import PlatformC
import Subprocess
import SystemPackage

/// Runs PostgreSQL's own programs to their end: without a shell, in a session of their own, which Ctrl-C at the
/// terminal does not reach, under the server's account, with a fixed environment.
struct ServerProgram: Sendable {
    struct Outcome: Sendable {
        /// `nil` when a signal ended it.
        let exitCode: Int32?
        let output: String
        let errors: String

        var isSuccess: Bool { self.exitCode == 0 }
    }

    let account: ServerAccount
    var workingDirectory = "/"

    /// From util-linux, which every Linux distribution has.
    private static let setpriv = "/usr/bin/setpriv"

    /// - Parameter endsOnCancel: whether cancelling the task kills the program. Otherwise it always ends by itself,
    ///   because a half-made data folder or a half-stopped server is worse than a short wait.
    func run(
        _ program: String,
        _ arguments: [String],
        input: String = "",
        endsOnCancel: Bool = false
    ) async throws -> Outcome {
        var options = PlatformOptions()
        options.createSession = true
        var command = [program] + arguments
        if self.account.isBorrowed {
            // Not by the options of Subprocess: between fork and exec, setgroups(2) of glibc may wait for ever for a
            // lock that another thread held at the fork.
            command =
                [
                    Self.setpriv, "--reuid=\(self.account.userID)", "--regid=\(self.account.groupID)", "--clear-groups",
                    "--",
                ] + command
        }
        let configuration = Subprocess.Configuration(
            executable: .path(FilePath(command[0])),
            arguments: Arguments(Array(command.dropFirst())),
            environment: .custom(Self.environment),
            workingDirectory: FilePath(self.workingDirectory),
            platformOptions: options
        )
        let task = Task<Outcome, any Error> {
            let result = try await Subprocess.run(
                configuration,
                input: .string(input),
                output: .string(limit: 1 << 20),
                error: .string(limit: 1 << 20)
            )
            var exitCode: Int32?
            if case .exited(let code) = result.terminationStatus { exitCode = code }
            return Outcome(
                exitCode: exitCode,
                output: result.standardOutput,
                errors: result.standardError
            )
        }
        guard endsOnCancel else { return try await task.value }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }

    /// `LC_ALL=C` keeps messages in English, because one of them is matched.
    private static let environment: [Environment.Key: String] = [
        "PATH": getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C",
    ]
}
