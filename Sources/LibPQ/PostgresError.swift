/// Why a command on a PostgreSQL connection failed.
///
/// `description` is fit for logs: it holds neither values of rows nor passwords. What the server said in full, its
/// DETAIL included, is in `debugDescription`.
package struct PostgresError: Error, Sendable {
    package enum Code: Sendable {
        /// The connection string cannot be read. Nothing was tried.
        case invalidOptions
        /// No connection came about: the server was not reached, or refused it (then there is a SQLSTATE).
        case connectionFailed
        /// The connection broke during a command. Whether a commit in that command took effect is unknown.
        case connectionLost
        /// The connection was closed, or was lost earlier. The command was not sent.
        case connectionClosed
        /// The server refused a command; see ``PostgresError/sqlState``. The connection goes on.
        case serverError
        /// The server cancelled the command (SQLSTATE 57014: on request, or by a timeout), or connecting was cancelled.
        case cancelled
        /// A parameter cannot be sent: a NUL in a text, or too many of them. The command was not sent.
        case invalidParameter
        /// Server and client do not agree on what comes next, or a value is not of the type that was asked for.
        case protocolViolation
    }

    package var code: Code
    /// The server's five characters; `nil` when the failure is not the server's.
    package var sqlState: String?
    /// For operators. The server's own message may quote values, so it is no part of `description` in class 22.
    package var message: String
    package var detail: String?
    package var hint: String?
    package var schema: String?
    package var table: String?
    package var column: String?
    package var constraint: String?
    /// Which statement of a pipeline failed, from 0; `nil` outside pipelines and when the final commit failed.
    package var statementIndex: Int?

    package init(_ code: Code, sqlState: String? = nil, _ message: String) {
        self.code = code
        self.sqlState = sqlState
        self.message = message
    }
}

extension PostgresError {
    /// The first two characters of the SQLSTATE.
    package var sqlStateClass: Substring? { self.sqlState?.prefix(2) }

    /// The connection is gone, or never was.
    package var isConnectionLoss: Bool {
        self.code == .connectionLost || self.code == .connectionFailed || self.code == .connectionClosed
            || self.sqlStateClass == "08" && self.sqlState != Self.misunderstood
    }

    /// The server does not understand a message. Class 08 all the same, and trouble of the line only where it hangs up,
    /// as poolers do.
    private static let misunderstood = "08P01"

    /// The server found a value unfit for its type (class 22).
    package var isDataException: Bool { self.sqlStateClass == "22" }

    /// The server found a row unfit: a value for its type, or more bytes than a row, an index or a `jsonb` can have (54000).
    package var refusesRow: Bool { self.isDataException || self.sqlState == "54000" }

    /// The role lacks a right (42501).
    package var isMissingRight: Bool { self.sqlState == "42501" }

    /// The relation that is not there (42P01), where the server's message names it.
    package var missingRelation: Substring? {
        guard self.sqlState == "42P01" else { return nil }
        let parts = self.message.split(separator: "\"", omittingEmptySubsequences: false)
        return parts.count == 3 ? parts[1] : nil
    }

    /// A row is there already (23505).
    package var isUniqueViolation: Bool { self.sqlState == "23505" }

    /// The same command may succeed later, on this or a new connection: connection trouble (class 08, and any loss),
    /// serialization failures and deadlocks (40), lack of resources (53), an operator's intervention (57; a cancelled
    /// command is one). A refused log-in is not.
    package var isRetriable: Bool {
        switch self.sqlStateClass {
        case "08": self.isConnectionLoss
        case "40", "53", "57": true
        case nil: self.isConnectionLoss
        default: self.code == .connectionLost
        }
    }
}

extension PostgresError: CustomStringConvertible, CustomDebugStringConvertible {
    package var description: String {
        var text = "\(self.heading): "
        text += self.isDataException ? Self.condition(self.sqlState ?? "") : self.message
        if let constraint, !self.message.contains(constraint) { text += " (constraint \(constraint))" }
        if let column, self.isDataException || !self.message.contains(column) { text += " (column \(column))" }
        return text
    }

    package var debugDescription: String {
        var text = "\(self.heading): \(self.message)"
        let fields = [
            ("detail", self.detail), ("hint", self.hint), ("schema", self.schema), ("table", self.table),
            ("column", self.column), ("constraint", self.constraint),
        ]
        for case (let name, let value?) in fields { text += "; \(name): \(value)" }
        if let statementIndex { text += "; statement: \(statementIndex)" }
        return text
    }

    /// What failed, in words, with the SQLSTATE where there is one.
    private var heading: String {
        let words =
            switch self.code {
            case .invalidOptions: "invalid connection string"
            case .connectionFailed: "cannot connect"
            case .connectionLost: "connection lost"
            case .connectionClosed: "connection closed"
            case .serverError: "PostgreSQL reports"
            case .cancelled: "cancelled"
            case .invalidParameter: "cannot be sent"
            case .protocolViolation: "unexpected answer"
            }
        return self.sqlState.map { "\(words) (SQLSTATE \($0))" } ?? words
    }

    /// What a data exception is called, for where its message must not be shown: that message quotes the value.
    private static func condition(_ sqlState: String) -> String {
        switch sqlState {
        case "22001": "a text is too long for its type"
        case "22003": "a number is out of range for its type"
        case "22007", "22008": "a date or time is invalid or out of range"
        case "22012": "division by zero"
        case "22021": "a character is not in the repertoire of the encoding"
        case "22P02": "a text is not a representation of its type"
        case "22P03": "a binary value is not a representation of its type"
        case "22P05": "a character cannot be translated"
        default: "data exception"
        }
    }
}
