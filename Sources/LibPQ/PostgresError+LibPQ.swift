internal import CLibPQ

extension PostgresError {
    /// The fields of an error message, by the characters that the protocol gives them (`PG_DIAG_…` in C, which Swift
    /// does not see because they are character macros).
    private enum Field: Unicode.Scalar {
        case severity = "V"
        case sqlState = "C"
        case message = "M"
        case detail = "D"
        case hint = "H"
        case schema = "s"
        case table = "t"
        case column = "c"
        case constraint = "n"
    }

    /// Reads a failed result. The result stays the caller's.
    init(result: OpaquePointer, statementIndex: Int? = nil) {
        func field(_ field: Field) -> String? {
            PQresultErrorField(result, Int32(field.rawValue.value)).map { String(cString: $0) }
        }
        let sqlState = field(.sqlState)
        let whole = PQresultErrorMessage(result).map { String(cString: $0) } ?? ""
        let code: Code =
            switch (sqlState, field(.severity)) {
            case (_, "FATAL"), (_, "PANIC"): .connectionLost
            case ("57014", _): .cancelled
            // Made by libpq itself: the server has gone, or what it said could not be understood.
            case (nil, _): .connectionLost
            default: .serverError
            }
        self.init(code, sqlState: sqlState, field(.message) ?? Self.oneLine(whole))
        self.detail = field(.detail)
        self.hint = field(.hint)
        self.schema = field(.schema)
        self.table = field(.table)
        self.column = field(.column)
        self.constraint = field(.constraint)
        self.statementIndex = statementIndex
    }

    /// libpq's own account of what is wrong with a connection, on one line.
    init(_ code: Code, connection: OpaquePointer) {
        let text = PQerrorMessage(connection).map { String(cString: $0) } ?? ""
        self.init(code, text.isEmpty ? "the connection is unusable" : Self.oneLine(text))
    }

    /// Why connecting failed. The messages of a connection attempt come as text only; with `PQERRORS_VERBOSE` it has
    /// the SQLSTATE in it ("FATAL:  28P01: password …"), without which a wrong password and a server that is starting
    /// up could not be told apart.
    init(verboseFailureOf connection: OpaquePointer) {
        let text = PQerrorMessage(connection).map { String(cString: $0) } ?? ""
        var sqlState: String?
        let lines = text.split(separator: "\n").filter { !$0.hasPrefix("LOCATION:") }
            .map { line in
                guard let found = line.firstMatch(of: #/:  ([0-9A-Z]{5}): /#) else { return line }
                sqlState = String(found.1)
                return line[..<found.1.startIndex] + line[found.range.upperBound...]
            }
        let message = Self.oneLine(lines.joined(separator: "\n"))
        let isRefusal = sqlState == nil && Self.isAboutSetting(message)
        self.init(isRefusal ? .invalidOptions : .connectionFailed, sqlState: sqlState, message)
    }

    /// Whether libpq refused a setting before it connected anywhere: trying again would change nothing. It gives no code
    /// for that; the texts are those of `connectOptions2` and of its service files (PostgreSQL 14 to 18, fe-connect.c).
    private static func isAboutSetting(_ message: String) -> Bool {
        message.firstMatch(of: #/^invalid (?:\w+ value: |port number: |integer value )/#) != nil
            || message.hasPrefix("definition of service ") || message.hasPrefix("could not match ")
    }

    static func oneLine(_ text: String) -> String {
        text.split(whereSeparator: { $0.isNewline || $0 == "\t" }).joined(separator: " ")
    }
}
