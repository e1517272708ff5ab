package import LibPQ

extension Inspection {
    /// Runs a query whose cells are all texts.
    static func rows(_ sql: String, _ parameters: [Parameter] = [], on connection: Connection) async throws -> Rows {
        let result = try await connection.query(sql, parameters)
        let columns = (0..<result.columnCount).map { result.columnName($0) }
        let rows = try result.rows { row in try columns.indices.map { try result.text(row, $0) } }
        return Rows(columns: columns, rows: rows)
    }

    /// The name of a projection's column in messages, by the stored definition; else the column's own name.
    package static func sourceColumn(
        _ column: String,
        of projection: String,
        on connection: Connection
    ) async throws -> String {
        let found = try await connection.query(
            """
            select part ->> 'from'
            from tidemark.projections,
                jsonb_array_elements(coalesce(nullif(definition -> 'digest', 'null'::jsonb), '[]'::jsonb)) as part
            where projections.name = $1::text and part ->> 'name' = $2::text
            """,
            [.text(projection), .text(column)]
        )
        return found.rowCount > 0 ? try found.text(0, 0) ?? column : column
    }
}
