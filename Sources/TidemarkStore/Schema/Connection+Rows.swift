import Foundation
import LibPQ

extension Connection {
    /// The rows of a query, decoded by the names of its columns: `next_attempt_at` becomes `nextAttemptAt`.
    nonisolated func decode<Row: Decodable>(
        _ sql: String,
        _ parameters: [Parameter] = [],
        as row: Row.Type = Row.self
    ) async throws -> [Row] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let found = try await self.query("select to_json(decoded) from (\(sql)) as decoded", parameters)
        return try found.texts().map { try decoder.decode(row, from: Data($0.utf8)) }
    }

    /// The number that a query of one row has in its first column; 0 for null.
    nonisolated func number(_ sql: String, _ parameters: [Parameter] = []) async throws(PostgresError) -> Int64 {
        try await self.query(sql, parameters).int64(0, 0) ?? 0
    }
}
