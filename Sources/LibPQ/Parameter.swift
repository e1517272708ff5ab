/// One value that goes with a statement.
///
/// All but `.text` and `.null` are sent in binary and say their type, so where a *prepared* statement has `$1` as
/// another type the server refuses them (22P03): declare the types, or write `$1::bigint`.
package enum Parameter: Sendable, Hashable {
    case null
    /// Goes as text of no type in particular, and is read as whatever the statement needs in its place, as a quoted
    /// literal is. Where nothing there tells the type, write `$1::text`. A NUL in it is refused (`.invalidParameter`
    /// with SQLSTATE 22021, what the server would have said).
    case text(String)
    case int64(Int64)
    case int32(Int32)
    case bool(Bool)
    case double(Double)
    /// A `bytea`.
    case bytes([UInt8])
    /// Any type's binary format; 0 leaves the type to the statement.
    case binary(oid: UInt32, [UInt8])
}

/// The form in which the server sends values.
package enum ResultFormat: Int32, Sendable {
    case text = 0
    case binary = 1
}

/// One statement of a pipeline.
package struct Statement: Sendable {
    package enum Command: Sendable, Hashable {
        case sql(String)
        /// The name of a statement that was prepared on the same connection.
        case prepared(String)
        /// Gives SQL a name, as ``Connection/prepare(_:_:types:)`` does. It has no parameters of its own.
        case preparing(String, as: String)
        /// COPY … FROM STDIN, with what is sent as its only parameter.
        case copying(String)
    }

    package var command: Command
    package var parameters: [Parameter]
    package var resultFormat: ResultFormat

    package init(_ command: Command, _ parameters: [Parameter] = [], resultFormat: ResultFormat = .binary) {
        self.command = command
        self.parameters = parameters
        self.resultFormat = resultFormat
    }

    package static func sql(_ sql: String, _ parameters: [Parameter] = []) -> Self {
        Self(.sql(sql), parameters)
    }

    package static func preparing(_ sql: String, as name: String) -> Self {
        Self(.preparing(sql, as: name))
    }

    /// - Parameter rows: in the form that the COPY names.
    package static func copying(_ sql: String, _ rows: [UInt8]) -> Self {
        Self(.copying(sql), [.binary(oid: OID.bytea, rows)])
    }

    var isCopy: Bool { if case .copying = self.command { true } else { false } }

    package static func prepared(_ name: String, _ parameters: [Parameter] = []) -> Self {
        Self(.prepared(name), parameters)
    }
}
