/// A location in the configuration.
public struct ConfigurationLocation: Sendable, Hashable, CustomStringConvertible {
    public var file: String
    /// From 1; `nil` without lines, as on the command line.
    public var line: Int?
    /// From 1, counted in Unicode scalars.
    public var column: Int?

    public var description: String {
        guard let line = self.line else { return self.file }
        return "\(self.file):\(line)"
    }
}

/// One error or warning: its location, its key, and what would be right.
public struct ConfigurationIssue: Sendable, Hashable, CustomStringConvertible {
    public var location: ConfigurationLocation
    /// As in `projections[0].sequence`; empty for the file as a whole.
    public var path: String
    /// Free of secrets: an environment variable is shown as in the file, `${NAME}`.
    public var message: String

    public init(location: ConfigurationLocation, path: String, message: String) {
        self.location = location
        self.path = path
        self.message = message
    }

    /// `tidemark.yaml:14: projections[0].sequence: "$postion" is not a sequence part; …`
    public var description: String {
        self.path.isEmpty ? "\(self.location): \(self.message)" : "\(self.location): \(self.path): \(self.message)"
    }
}

/// A configuration that is refused, with all of its errors in the order of the file.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    public enum Code: Sendable {
        /// The file does not exist.
        case notFound
        /// The file cannot be read.
        case notReadable
        case invalid
    }

    /// The most errors to list: about a screen.
    public static let issuesMax = 20

    public let code: Code
    /// At most ``issuesMax``.
    public let issues: [ConfigurationIssue]
    /// The number of errors beyond those.
    public let omittedCount: Int

    public init(_ code: Code, issues: [ConfigurationIssue]) {
        self.code = code
        self.issues = Array(issues.prefix(Self.issuesMax))
        self.omittedCount = max(0, issues.count - Self.issuesMax)
    }

    /// One error of the file as a whole.
    init(_ code: Code, _ message: String, at location: ConfigurationLocation) {
        self.init(code, issues: [ConfigurationIssue(location: location, path: "", message: message)])
    }

    public var description: String {
        var lines = self.issues.map(\.description)
        if self.omittedCount > 0 { lines.append("and \(self.omittedCount) more") }
        return lines.joined(separator: "\n")
    }
}
