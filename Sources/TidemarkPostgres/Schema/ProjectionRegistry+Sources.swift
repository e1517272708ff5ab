import Foundation
package import LibPQ
package import TidemarkCore

/// The settings of the sources that a projection's rows came from.
extension ProjectionRegistry {
    /// A source that is about to be read, and the file that it is read from, if there is one that can be known again.
    package struct Reading: Sendable {
        var settings: SourceSettings
        var file: FileIdentity?

        package init(_ settings: SourceSettings, file: FileIdentity? = nil) {
            self.settings = settings
            self.file = file
        }
    }

    /// Makes sure that sources are read as they were when projections' rows were made, and stores the settings of those
    /// that are new. To be called before anything is read.
    package static func admit(
        _ readings: [Reading],
        to plans: [ProjectionPlan],
        on connection: Connection
    ) async throws {
        try await connection.execute("begin")
        do {
            for plan in plans { try await Self.admit(readings, to: plan, on: connection) }
            try await connection.execute("commit")
        } catch {
            try? await connection.execute("rollback")
            throw error
        }
    }

    private static func admit(
        _ readings: [Reading],
        to plan: ProjectionPlan,
        on connection: Connection
    ) async throws {
        let known = try await Self.sources(of: plan.name, on: connection)
        var all = known
        var changes: [String] = []
        for reading in readings {
            let name = reading.settings.name
            let now = SourceReading(reading.settings)
            let keepsWhole = plan.valueColumns == nil
            if let before = all[name] {
                changes += before.differences(from: now, keepsWhole: keepsWhole).map { "source \"\(name)\": \($0)" }
            } else if let (other, before) = known.sorted(by: { $0.key < $1.key }).first,
                !known.values.contains(where: { $0.differences(from: now, keepsWhole: keepsWhole).isEmpty }),
                try await Self.hasRead(reading.file, plan.name, on: connection)
            {
                // The file was read as of another source, such as the one of files that no source names.
                let differences = before.differences(from: now, keepsWhole: keepsWhole)
                changes += differences.map {
                    "source of \(reading.file?.path ?? "") (\"\(other)\", now \"\(name)\"): \($0)"
                }
            } else {
                all[name] = now
            }
        }
        guard changes.isEmpty else { throw Self.changed(changes, plan.name) }
        guard all != known else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let json = String(decoding: try encoder.encode(all), as: UTF8.self)
        _ = try await connection.query(
            "update tidemark_internal.projections set sources = $2::jsonb where name = $1::text",
            [.text(plan.name), .text(json)]
        )
    }

    static func sources(of projection: String, on connection: Connection) async throws -> [String: SourceReading] {
        let found = try await connection.query(
            "select sources::text from tidemark_internal.projections where name = $1::text",
            [.text(projection)]
        )
        guard found.rowCount == 1, let json = try found.text(0, 0) else { return [:] }
        return try JSONDecoder().decode([String: SourceReading].self, from: Data(json.utf8))
    }

    /// Whether an earlier replay of the projection has read the file, by its path or its beginning.
    private static func hasRead(
        _ file: FileIdentity?,
        _ projection: String,
        on connection: Connection
    ) async throws -> Bool {
        guard let file, !file.digest.isEmpty else { return false }
        let found = try await connection.query(
            """
            select exists (
                select from tidemark_internal.files as file
                join tidemark_internal.checkpoints as checkpoint on checkpoint.file_id = file.id
                join tidemark_internal.replays as replay on replay.id = checkpoint.replay_id
                where $1::text = any(replay.projections) and (file.path = $2::text or file.digest = $3::text)
            )
            """,
            [.text(projection), .text(file.path), .text(file.digest)]
        )
        return try found.bool(0, 0) == true
    }

    /// Settings that give a projection's rows another meaning.
    static func changed(_ changes: [String], _ projection: String) -> StoreError {
        StoreError(
            .configuration,
            "projection \(projection): \(changes.joined(separator: ", ")) changed since its rows were made, and "
                + "rows of two meanings do not go into one table; make them anew (tidemark rebuild \(projection)), "
                + "or give the new projection another name"
        )
    }
}
