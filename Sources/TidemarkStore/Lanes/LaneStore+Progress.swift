import LibPQ
import TidemarkCore

/// The lane's own progress, as it is stored.
extension LaneStore {
    /// Moves the lane's progress in each of a batch's streams.
    func progressStatements(_ advances: [(key: ProgressKey, to: StreamProgress)]) -> [Statement] {
        let own: [Parameter] = [
            .int64(self.settings.pass), .int32(Int32(self.settings.lanes)), .int32(Int32(self.settings.lane)),
        ]
        let types = [OID.text, OID.int8, OID.bytea, OID.int8, OID.bytea]
        var known = ArrayParameters(types + [OID.bytea], rows: advances.count)
        var new = ArrayParameters(types, rows: advances.count)
        func append(_ key: ProgressKey, _ to: StreamProgress, to rows: inout ArrayParameters) {
            rows.append(self.name(of: key), to: 0)
            rows.append(key.stream.rawValue, to: 1)
            rows.append(to.offset.bytes[...], to: 2)
            rows.append(to.ordinal, to: 3)
            rows.append(to.resume[...], to: 4)
        }
        var (knownCount, newCount) = (0, 0)
        for (key, to) in advances {
            if let from = self.knownProgress(of: key) {
                append(key, to, to: &known)
                known.append(from.offset.bytes[...], to: 5)
                knownCount += 1
            } else {
                append(key, to, to: &new)
                newCount += 1
            }
        }
        var statements: [Statement] = []
        if knownCount > 0 { statements.append(.prepared("tm_move_progress", own + known.parameters)) }
        if newCount > 0 { statements.append(.prepared("tm_insert_progress", own + new.parameters)) }
        return statements
    }

    /// The lane's stored progress in a stream; `nil` before its first commit.
    func knownProgress(of key: ProgressKey) -> StreamProgress? {
        let entry = self.settings.progress.entry(of: key, self.settings.lane, known: self.progress[key])
        self.progress[key] = entry
        return entry.progress
    }

    /// The lane has committed this far.
    func note(_ advances: [(key: ProgressKey, to: StreamProgress)]) {
        for (key, to) in advances {
            _ = self.knownProgress(of: key)
            self.progress[key]?.progress = to
        }
    }

    /// The stored name of a reading; empty for the projections that are read together.
    func name(of key: ProgressKey) -> String {
        key.projection == ProgressKey.together ? "" : self.writers[Int(key.projection)].plan.name
    }

    func storedProgress(of keys: [ProgressKey]) async throws -> [ProgressKey: StreamProgress] {
        let connection = try await self.connected()
        var asked = ArrayParameters([OID.int8, OID.text], rows: keys.count)
        for key in keys {
            asked.append(key.stream.rawValue, to: 0)
            asked.append(self.name(of: key), to: 1)
        }
        let result: QueryResult
        do {
            result = try await connection.query(
                """
                select number, "offset", message_ordinal, resume
                from unnest($4::bigint[], $5::text[]) with ordinality as asked (stream_id, projection, number)
                join tidemark_internal.progress using (stream_id, projection)
                where pass_id = $1::bigint and lanes = $2::integer and lane = $3::integer
                """,
                [
                    .int64(self.settings.pass), .int32(Int32(self.settings.lanes)),
                    .int32(Int32(self.settings.lane)),
                ] + asked.parameters
            )
        } catch {
            await self.dropIfBroken(connection)
            throw error
        }
        var found: [ProgressKey: StreamProgress] = [:]
        for row in 0..<result.rowCount {
            found[keys[Int(try result.int64(row, 0) ?? 1) - 1]] = StreamProgress(
                offset: StreamOffset(bytes: try result.bytes(row, 1) ?? []) ?? .start,
                ordinal: try result.int64(row, 2) ?? 0,
                resume: try result.bytes(row, 3) ?? []
            )
        }
        return found
    }
}
