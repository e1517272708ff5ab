import Foundation
package import LibPQ
package import TidemarkCore

/// Position kinds and units that were found in the messages of projections.
extension PassStore {
    package static func readings(
        of projections: [String],
        on connection: Connection
    ) async throws -> DetectedReadings {
        let rows = try await connection.query(
            """
            select name, position_kind, units::text from tidemark_internal.projections
            where name = any($1::text[])
            """,
            [.texts(projections)]
        )
        var readings = DetectedReadings()
        for row in 0..<rows.rowCount {
            let name = try rows.text(row, 0) ?? ""
            readings.positionKinds[name] = Position.Kind(rawValue: try rows.text(row, 1) ?? "")
            let units = try Self.units(json: try rows.text(row, 2) ?? "{}")
            if !units.isEmpty { readings.units[name] = units }
        }
        return readings
    }

    /// Stores findings. A stored one is never replaced.
    package static func save(_ found: DetectedReadings, on connection: Connection) async throws {
        for (name, kind) in found.positionKinds {
            _ = try await connection.query(
                """
                update tidemark_internal.projections set position_kind = $2::text
                where name = $1::text and position_kind is null
                """,
                [.text(name), .text(kind.rawValue)]
            )
        }
        for (name, units) in found.units {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            let json = String(decoding: try encoder.encode(units.mapValues(\.rawValue)), as: UTF8.self)
            _ = try await connection.query(
                "update tidemark_internal.projections set units = $2::jsonb || units where name = $1::text",
                [.text(name), .text(json)]
            )
        }
    }

    static func units(json: String) throws -> ColumnUnits {
        try JSONDecoder().decode([String: String].self, from: Data(json.utf8))
            .compactMapValues(ValueEncoding.init(rawValue:))
    }
}

extension DetectedReadings {
    /// Whether findings about a projection are among these.
    func holds(_ found: DetectedReadings, of projection: String) -> Bool {
        if let kind = found.positionKinds[projection], self.positionKinds[projection] != kind { return false }
        let units = self.units[projection] ?? [:]
        return found.units[projection, default: [:]].allSatisfy { units[$0.key] == $0.value }
    }
}
