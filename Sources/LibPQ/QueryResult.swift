internal import CLibPQ

/// One statement's result. Rows and columns count from 0; asking for one that is not there is a bug of the caller and
/// stops the process.
package final class QueryResult: Sendable {
    let handle: ResultHandle
    package let rowCount: Int
    package let columnCount: Int

    init(taking result: OpaquePointer) {
        self.handle = ResultHandle(taking: result)
        self.rowCount = Int(PQntuples(result))
        self.columnCount = Int(PQnfields(result))
    }

    package func columnName(_ column: Int) -> String {
        self.check(column: column)
        return PQfname(self.handle.pointer, Int32(column)).map { String(cString: $0) } ?? ""
    }

    /// One value for each row, in their order.
    package func rows<Value, E: Error>(_ value: (_ row: Int) throws(E) -> Value) throws(E) -> [Value] {
        try (0..<self.rowCount).map(value)
    }

    /// The texts of the first column; SQL NULL is an empty one.
    package func texts() throws(PostgresError) -> [String] {
        try self.rows { row throws(PostgresError) in try self.text(row, 0) ?? "" }
    }

    package func columnOID(_ column: Int) -> UInt32 {
        self.check(column: column)
        return PQftype(self.handle.pointer, Int32(column))
    }

    package func columnFormat(_ column: Int) -> ResultFormat {
        self.check(column: column)
        return ResultFormat(rawValue: PQfformat(self.handle.pointer, Int32(column))) ?? .text
    }

    /// Rows that an INSERT, UPDATE, DELETE, MERGE, SELECT or COPY touched; 0 for other commands.
    package var affectedRows: Int {
        PQcmdTuples(self.handle.pointer).flatMap { Int(String(cString: $0)) } ?? 0
    }

    package func isNull(_ row: Int, _ column: Int) -> Bool {
        self.check(row: row, column: column)
        return PQgetisnull(self.handle.pointer, Int32(row), Int32(column)) != 0
    }

    /// Calls `body` with one cell's bytes: `nil` is SQL NULL, an empty buffer is an empty value. The buffer must not outlive `body`.
    package func withCell<R, E: Error>(
        _ row: Int,
        _ column: Int,
        _ body: (UnsafeRawBufferPointer?) throws(E) -> R
    ) throws(E) -> R {
        self.check(row: row, column: column)
        let (result, row, column) = (self.handle.pointer, Int32(row), Int32(column))
        guard PQgetisnull(result, row, column) == 0 else { return try body(nil) }
        let bytes = UnsafeRawBufferPointer(
            start: PQgetvalue(result, row, column),
            count: Int(PQgetlength(result, row, column))
        )
        return try withExtendedLifetime(self) { () throws(E) -> R in try body(bytes) }
    }

    // libpq would report a cell that is not there through the connection's notice processor, whose owner may be gone
    // by then. It never comes to that.
    private func check(column: Int) {
        precondition((0..<self.columnCount).contains(column), "no column \(column) among \(self.columnCount)")
    }

    private func check(row: Int, column: Int) {
        precondition((0..<self.rowCount).contains(row), "no row \(row) among \(self.rowCount)")
        self.check(column: column)
    }
}

/// Owns a `PGresult`.
///
/// Unchecked because of the pointer. It is safe because a result is complete when it gets here, and libpq only reads
/// it from then on (its manual: a `PGresult` may be passed around freely between threads); it is freed once, with the
/// last reference.
final class ResultHandle: @unchecked Sendable {
    let pointer: OpaquePointer

    init(taking pointer: OpaquePointer) {
        self.pointer = pointer
    }

    deinit {
        PQclear(self.pointer)
    }
}
