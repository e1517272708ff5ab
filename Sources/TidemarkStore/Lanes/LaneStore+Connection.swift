import LibPQ
import Logging
import TidemarkCore

extension LaneStore.Settings {
    /// The process that counts; 0 in a pass of one process.
    var countingAs: Int32 { self.isService ? self.process?.id ?? 0 : 0 }
}

/// The lane's connection, and what is loaded with each new one.
extension LaneStore {
    /// Connects ahead of the first batch, so that it does not wait. Failures are ignored here; the first commit
    /// retries.
    package func open() async {
        do {
            _ = try await self.connected()
        } catch {
            self.logger.debug(
                "not connected yet",
                metadata: ["lane": "\(self.settings.lane)", "error": "\(error)"]
            )
        }
    }

    package func close() async {
        guard let connection else { return }
        self.settings.process?.dismiss(connection)
        await connection.close()
        self.connection = nil
    }

    func connected() async throws -> Connection {
        if let connection { return connection }
        let connection = try await Connection.connect(self.settings.options)
        do {
            try await self.prepare(connection)
        } catch {
            self.settings.process?.dismiss(connection)
            await connection.close()
            throw error
        }
        self.formerBackend = connection.backendPID
        self.connection = connection
        return connection
    }

    private func prepare(_ connection: Connection) async throws {
        if let process = self.settings.process {
            try await process.admit(connection, replacing: self.formerBackend)
            // While this lane was away another process may have taken itself for alone.
            if self.formerBackend != nil { try await process.enter(on: connection, wait: self.settings.databaseWait) }
        }
        if self.formerBackend != nil {
            // A batch may have been committed without an answer.
            for index in self.writers.indices { self.writers[index].initialLoad = .none }
        }
        self.origins.removeAll()
        try await LaneSession.prepare(connection, countingAs: self.settings.countingAs, with: [])
        for index in self.writers.indices { try await self.prepareStatements(of: index, on: connection) }
        for index in self.writers.indices { try await self.loadBoundaries(index, on: connection) }
    }

    private func prepareStatements(of index: Int, on connection: Connection) async throws {
        do {
            _ = try await connection.pipeline(self.writers[index].preparations)
        } catch {
            guard self.settings.isService, !error.isRetriable else { throw error }
            throw StoreError.projection(self.writers[index].plan.name, error)
        }
    }

    /// Loads what applies to all of a projection's events: truncates, and how far tombstones were pruned.
    func loadBoundaries(_ index: Int, on connection: Connection) async throws {
        let plan = self.writers[index].plan
        if plan.truncatesDelete { try await self.loadTruncates(index, on: connection) }
        self.writers[index].prunedBefore = try await Pruning.prunedBefore(plan.name, on: connection)
    }

    func numberOrigins(of batch: LaneBatch, on connection: Connection) async throws {
        let isKept = self.writers.map(\.plan.keepsTimeline)
        guard isKept.contains(true) else { return }
        try await self.origins.number(batch, of: self.settings.sources, where: { isKept[$0] }, on: connection)
    }

    /// A broken connection is replaced by the next call that needs one.
    func dropIfBroken(_ connection: Connection) async {
        guard await connection.isBroken else { return }
        self.settings.process?.dismiss(connection)
        self.connection = nil
    }

    /// Loads the truncates before the lane's progress, and those of streams that other processes read. Later ones of the
    /// process's own streams are read again.
    private func loadTruncates(_ index: Int, on connection: Connection) async throws {
        let result = try await connection.query(
            """
            select t.source_table, t.order_key, t.position
            from tidemark_internal.truncates as t
            -- The projection's own reading, up to the offset at which it joined the others.
            left join tidemark_internal.leases as detached
                on detached.pass_id = t.pass_id and detached.stream_id = t.stream_id
                    and detached.projection = t.projection
                    and (detached.joined_at is null or t."offset" < detached.joined_at)
            left join tidemark_internal.leases as l
                on l.pass_id = t.pass_id and l.stream_id = t.stream_id
                    and l.projection = coalesce(detached.projection, '')
            left join tidemark_internal.progress as p
                on p.pass_id = t.pass_id and p.stream_id = t.stream_id and p.lanes = $3::integer
                    and p.lane = $4::integer and p.projection = coalesce(detached.projection, '')
            where t.projection = $1::text and t.order_key is not null
                and (
                    t.pass_id is distinct from $2::bigint or l."offset" > t."offset"
                    or p."offset" > t."offset" or l.process_id is distinct from $5::integer
                )
            """,
            [
                .text(self.writers[index].plan.name), .int64(self.settings.pass),
                .int32(Int32(self.settings.lanes)), .int32(Int32(self.settings.lane)),
                self.settings.process.map { .int32($0.id) } ?? .null,
            ]
        )
        for row in 0..<result.rowCount {
            self.writers[index].truncates.add(
                TruncateLog.Entry(
                    table: Array((try result.text(row, 0) ?? "").utf8),
                    orderKey: try result.bytes(row, 1) ?? [],
                    sequence: Array((try result.text(row, 2) ?? "").utf8)
                )
            )
        }
    }
}
