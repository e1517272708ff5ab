package import LibPQ

extension TestDatabase {
    package func connect(_ role: String = "tests") async throws -> Connection {
        let connection = try await Connection.connect(ConnectionOptions(self.url, applicationName: role))
        // Tests query as users do.
        try await connection.execute("set search_path = public; set client_min_messages = warning")
        return connection
    }
}

extension Connection {
    /// A query's rows, each column as text, null as "∅".
    package func rows(_ sql: String, _ parameters: [Parameter] = []) throws -> [[String]] {
        let result = try self.query(Statement(.sql(sql), parameters, resultFormat: .text))
        var rows: [[String]] = []
        for row in 0..<result.rowCount {
            var cells: [String] = []
            for column in 0..<result.columnCount { cells.append(try result.text(row, column) ?? "∅") }
            rows.append(cells)
        }
        return rows
    }

    /// The single value that a query gives, as text.
    package func value(_ sql: String) throws -> String { try self.rows(sql).first?.first ?? "∅" }

    package func number(_ sql: String) throws -> Int { Int(try self.value(sql)) ?? .min }
}
