/// Why a private server could not be started or stopped. The message names the folder or program, and a remedy.
package struct EphemeralServerError: Error, Sendable, CustomStringConvertible {
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Base: String {
            case foreignDirectory, directoryUnusable, programsMissing, inUse, startFailed, stopFailed
        }

        private let base: Base

        private init(_ base: Base) { self.base = base }

        /// The folder is not a private server of ours. It was not changed.
        package static let foreignDirectory = Self(.foreignDirectory)
        /// The folder cannot be made, entered or written by the account the server runs as.
        package static let directoryUnusable = Self(.directoryUnusable)
        /// No PostgreSQL is installed, or none of the version that the folder was made with.
        package static let programsMissing = Self(.programsMissing)
        /// Another Tidemark process is using the folder now.
        package static let inUse = Self(.inUse)
        package static let startFailed = Self(.startFailed)
        package static let stopFailed = Self(.stopFailed)

        package var description: String { self.base.rawValue }
    }

    package let code: Code
    package let message: String

    package var description: String { self.message }

    /// The exit status that the command line ends with.
    package var exitCode: Int32 {
        switch self.code {
        case .foreignDirectory, .directoryUnusable, .programsMissing: 78
        case .startFailed: 69
        default: 1
        }
    }
}
