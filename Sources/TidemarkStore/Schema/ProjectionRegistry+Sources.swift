import Foundation
package import LibPQ
package import TidemarkCore

/// Stores the settings of the sources that a projection's rows came from.
extension ProjectionRegistry {
    /// A source that is about to be read, and its stream, if it can be resumed.
    package struct Reading: Sendable {
        var settings: SourceSettings
        var stream: (id: StreamID, name: String)?

        package init(_ settings: SourceSettings, stream: (id: StreamID, name: String)? = nil) {
            self.settings = settings
            self.stream = stream
        }
    }

    /// Checks that sources are read with the settings that projections' rows were made with, and stores those of new
    /// ones. To be called before anything is read.
    /// - Parameter claimant: the source that the configuration assigns to a stream's name.
    package static func admit(
        _ readings: [Reading],
        to plans: [ProjectionPlan],
        claimant: @Sendable (_ name: String) -> String? = { _ in nil },
        on connection: Connection
    ) async throws {
        try await connection.transaction {
            for plan in plans { try await Self.admit(readings, to: plan, claimant: claimant, on: connection) }
        }
    }

    private static func admit(
        _ readings: [Reading],
        to plan: ProjectionPlan,
        claimant: @Sendable (_ name: String) -> String?,
        on connection: Connection
    ) async throws {
        let known = try await Self.sources(of: plan.name, on: connection)
        try Self.requireUnchanged(readings.map(\.settings), since: known, of: plan)
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
            guard known[name] == nil else { continue }
            all[name] = now
            // A stream may have been read under another source, such as that of files that no source names.
            guard let (other, before) = known.min(by: { $0.key < $1.key }),
                !known.values.contains(where: { differences(from: $0).isEmpty })
            else { continue }
            for stream in readings.filter({ $0.settings.name == name }).compactMap(\.stream) {
                let names = try await Self.namesRead(of: stream, plan.name, on: connection)
                // A copy of a stream that another source still names is another stream.
                guard names.contains(where: { $0 == stream.name || (claimant($0) ?? name) == name }) else { continue }
                changes.append("source of \(stream.name) (\"\(other)\", now \"\(name)\"): \(differences(from: before))")
                break
            }
        }
        guard changes.isEmpty else { throw Self.changed(changes, plan.name) }
        guard all != known else { return }
        _ = try await connection.query(
            "update tidemark_internal.projections set sources = $2::jsonb where name = $1::text",
            [.text(plan.name), .text(try Self.json(all))]
        )
    }

    /// Compares settings with those that a projection's rows were made with, by the source's name.
    /// - Throws: `.configuration`, naming what differs.
    static func requireUnchanged(
        _ sources: [SourceSettings],
        since known: [String: SourceReading],
        of plan: ProjectionPlan
    ) throws {
        var changes: [String] = []
        var seen: Set<String> = []
        for settings in sources where seen.insert(settings.name).inserted {
            guard let before = known[settings.name] else { continue }
            let found = before.differences(from: SourceReading(settings), keepsWhole: plan.valueColumns == nil)
            guard !found.isEmpty else { continue }
            changes.append("source \"\(settings.name)\": \(found.joined(separator: ", "))")
        }
        guard changes.isEmpty else { throw Self.changed(changes, plan.name) }
    }

    static func sources(of projection: String, on connection: Connection) async throws -> [String: SourceReading] {
        let found = try await connection.query(
            "select sources::text from tidemark_internal.projections where name = $1::text",
            [.text(projection)]
        )
        guard found.rowCount == 1, let json = try found.text(0, 0) else { return [:] }
        return try JSONDecoder().decode([String: SourceReading].self, from: Data(json.utf8))
    }

    /// The names under which earlier passes of the projection have read the stream. It is identified by its number, its
    /// name, or its prefix, unless that is empty or fills 64 KiB, which longer files may share.
    private static func namesRead(
        of stream: (id: StreamID, name: String),
        _ projection: String,
        on connection: Connection
    ) async throws -> [String] {
        let found = try await connection.query(
            """
            select distinct s.name
            from tidemark_internal.streams as now
            join tidemark_internal.streams as s
                on s.id = now.id or s.name = now.name
                    or s.incarnation = now.incarnation and s.incarnation !~ '^[a-z0-9]+:(0|65536):'
            join tidemark_internal.leases as l on l.stream_id = s.id
            join tidemark_internal.passes as p on p.id = l.pass_id
            where now.id = $2::bigint and now.incarnation <> '' and $1::text = any(p.projections)
            """,
            [.text(projection), .int64(stream.id.rawValue)]
        )
        return try found.texts()
    }

    /// The changed settings that give a projection's rows another meaning.
    static func changed(_ changes: [String], _ projection: String) -> StoreError {
        StoreError(
            .configuration,
            "projection \(projection): \(changes.joined(separator: ", ")) changed since its rows were made, and "
                + "rows of two meanings do not go into one table; rebuild them (tidemark rebuild \(projection)), "
                + "or give the new projection another name"
        )
    }
}
