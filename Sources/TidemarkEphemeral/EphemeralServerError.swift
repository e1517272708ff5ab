/// Why a private server could not be started or stopped. The message names the folder or program, and a remedy.
package struct EphemeralServerError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        /// The folder is not a private server of ours. It was not changed.
        case foreignDirectory
        /// There is no private server in the folder, and none was to be made.
        case absent
        /// The folder cannot be made, entered or written by the account the server runs as.
        case directoryUnusable
        /// No PostgreSQL is installed, or none of the version that the folder was made with.
        case programsMissing
        /// Another Tidemark process is using the folder now.
        case inUse
        case startFailed
        case stopFailed
    }

    package let code: Code
    package let message: String

    package var description: String { self.message }

    /// The exit status that the command line ends with.
    package var exitCode: Int32 {
        switch self.code {
        case .foreignDirectory, .absent, .directoryUnusable, .programsMissing: 78
        case .startFailed: 69
        default: 1
        }
    }
}
