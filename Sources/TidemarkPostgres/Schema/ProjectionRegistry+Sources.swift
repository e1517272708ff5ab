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
    /// - Parameter claimant: the configured source whose `paths` name a file.
    package static func admit(
        _ readings: [Reading],
        to plans: [ProjectionPlan],
        claimant: @Sendable (_ path: String) -> String? = { _ in nil },
        on connection: Connection
    ) async throws {
        try await connection.execute("begin")
        do {
            for plan in plans { try await Self.admit(readings, to: plan, claimant: claimant, on: connection) }
            try await connection.execute("commit")
        } catch {
            try? await connection.execute("rollback")
            throw error
        }
    }

    private static func admit(
        _ readings: [Reading],
        to plan: ProjectionPlan,
        claimant: @Sendable (_ path: String) -> String?,
        on connection: Connection
    ) async throws {
        let known = try await Self.sources(of: plan.name, on: connection)
        var all = known
        var changes: [String] = []
        var seen: Set<String> = []
        let keepsWhole = plan.valueColumns == nil
        for reading in readings where seen.insert(reading.settings.name).inserted {
            let name = reading.settings.name
            let now = SourceReading(reading.settings)
            func differences(from before: SourceReading) -> String {
                before.differences(from: now, keepsWhole: keepsWhole).joined(separator: ", ")
            }
            if let before = known[name] {
                let found = differences(from: before)
                if !found.isEmpty { changes.append("source \"\(name)\": \(found)") }
                continue
            }
            all[name] = now
            // A file may have been read as of another source, such as the one of files that no source names.
            guard let (other, before) = known.min(by: { $0.key < $1.key }),
                !known.values.contains(where: { differences(from: $0).isEmpty })
            else { continue }
            for file in readings.filter({ $0.settings.name == name }).compactMap(\.file) {
                let paths = try await Self.pathsRead(of: file, plan.name, on: connection)
                // A copy of a file that another source still names is a file of its own.
                guard paths.contains(where: { $0 == file.path || (claimant($0) ?? name) == name }) else { continue }
                changes.append("source of \(file.path) (\"\(other)\", now \"\(name)\"): \(differences(from: before))")
                break
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

    /// The paths at which earlier replays of the projection have read the file. It is known again by its path, else by its
    /// size together with the digest of its beginning: empty files, and long ones that begin alike, are different files.
    private static func pathsRead(
        of file: FileIdentity,
        _ projection: String,
        on connection: Connection
    ) async throws -> [String] {
        guard !file.digest.isEmpty else { return [] }
        let found = try await connection.query(
            """
            select distinct file.path
            from tidemark_internal.files as file
            join tidemark_internal.checkpoints as checkpoint on checkpoint.file_id = file.id
            join tidemark_internal.replays as replay on replay.id = checkpoint.replay_id
            where $1::text = any(replay.projections)
                and (
                    file.path = $2::text
                    or (file.digest = $3::text and file.size = $4::bigint and file.size > 0)
                )
            """,
            [.text(projection), .text(file.path), .text(file.digest), .int64(file.size)]
        )
        return try (0..<found.rowCount).map { try found.text($0, 0) ?? "" }
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
