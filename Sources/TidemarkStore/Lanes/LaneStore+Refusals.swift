import LibPQ
import TidemarkCore

/// Handles values that pass the decoder's check and that the database refuses.
extension LaneStore {
    /// The outcome of a batch.
    enum Outcome {
        case committed
        /// The database refused a value: the caller commits the two halves one after the other.
        case halves(LaneBatch, LaneBatch)
        /// The refused rows have become dead letters.
        case withDeadLetters(LaneBatch)
    }

    /// Tries to commit a batch.
    /// - Throws: `PostgresError` for anything else, a connection lost while the refused row was looked for included.
    func attemptOrRefusal(_ batch: LaneBatch) async throws -> Outcome {
        do {
            try await self.attempt(batch)
            return .committed
        } catch let error as PostgresError where error.refusesRow && !batch.changes.isEmpty {
            if let (first, second) = batch.halves { return .halves(first, second) }
            return .withDeadLetters(try await self.deadLettering(batch, because: error))
        }
    }

    /// Makes dead letters of the changes that the database refuses, in a batch whose items share one offset. Progress
    /// cannot point between them, so each is tried, after those before it that were not refused, in a transaction that
    /// is rolled back.
    /// - Returns: the batch with at least one change fewer.
    private func deadLettering(_ batch: LaneBatch, because error: PostgresError) async throws -> LaneBatch {
        let changes = batch.changes
        var refused: [(item: ItemReference, error: PostgresError)] = []
        if changes.count > 1 {
            var accepted: [ItemReference] = []
            for item in changes {
                do {
                    try await self.tryOut(batch.with(accepted + [item]))
                    accepted.append(item)
                } catch let error as PostgresError where error.refusesRow {
                    refused.append((item, error))
                }
            }
        }
        // The changes are refused only together, so none of them can be singled out.
        if refused.isEmpty { refused = changes.map { ($0, error) } }
        var batch = batch
        for (item, error) in refused { batch = await self.deadLetter(item, of: batch, because: error) }
        return batch
    }

    /// Finds the projection without which the batch could be written, and that an operator has to mend.
    /// - Returns: the error of the first one whose own part fails; the given one where none does.
    func blaming(for error: PostgresError, in batch: LaneBatch) async -> any Error {
        for index in self.writtenProjections(of: batch) {
            let items = batch.items.filter { batch[$0].kind != .deadLetter && Int(batch[$0].projection) == index }
            do {
                try await self.tryOut(batch.with(items))
            } catch let failure as PostgresError where !failure.isRetriable {
                return StoreError.projection(self.writers[index].plan.name, failure)
            } catch {
                return error
            }
        }
        return error
    }

    /// Writes items as a commit would, constraints that wait for the COMMIT included, and rolls back.
    private func tryOut(_ batch: LaneBatch) async throws {
        _ = try await self.write(batch, closing: [.sql("set constraints all immediate"), .sql("rollback")])
    }

    /// The row of an event as JSON: its image, or what the database makes of its columns; of a value that it cannot read
    /// either, the key alone.
    private func row(_ item: ItemReference, of batch: LaneBatch) async -> [UInt8] {
        let event = batch[item]
        guard event.image.isEmpty else { return Array(batch.bytes(event.image, of: item)) }
        let plan = self.writers[Int(event.projection)].plan
        let values = event.valueFields.isEmpty ? [] : plan.valueList
        let names = plan.keyList + values.map { SQLText.identifier($0.name) }
        let types = plan.keyColumns.map(\.type) + values.map(\.type)
        var rows = ArrayParameters(types.map(\.oid), rows: 1)
        batch.withBytes(of: item) { bytes in
            let column = rows.append(fields: event.keyFields, of: bytes, from: 0)
            if !values.isEmpty { _ = rows.append(fields: event.valueFields, of: bytes, from: column) }
        }
        let columns = zip(names, types).map { (name: $0, type: $1.baseSQL) }
        let sql = "select to_jsonb(batch)::text from \(ProjectionStatements.rows(columns))"
        if let connection = try? await self.connected(),
            let text = try? await connection.query(sql, rows.parameters).text(0, 0)
        {
            return Array(text.utf8.prefix(DeadLetter.rawBytesMax))
        }
        return Array(KeyText(plan, batch.bytes(event.key, of: item)).json.utf8)
    }

    /// The batch with a dead letter instead of a change.
    private func deadLetter(_ item: ItemReference, of batch: LaneBatch, because error: PostgresError) async -> LaneBatch
    {
        var batch = batch
        let event = batch[item]
        let plan = self.writers[Int(event.projection)].plan
        let segment = batch.segments[Int(item.segment)]
        let ordinal = segment.start.ordinal + Int64(event.ordinal)
        let message = self.settings.message(segment.stream, event.offset, ordinal)
        // The message may not be available: the letter holds the row then, identified by the order key.
        let raw: [UInt8]
        if let message {
            raw = Array(message.prefix(DeadLetter.rawBytesMax))
        } else {
            raw = await self.row(item, of: batch)
        }
        var letter = DeadLetter(
            projection: plan.name,
            source: self.settings.sources[Int(event.source)],
            position: "\(segment.name):\(ordinal)",
            rejection: Rejection(.valueInvalid, "the database refused the row: \(error.message)"),
            row: event.row,
            raw: raw,
            digest: message.map { DeadLetter.digest(of: $0[...], oversizedLength: nil) }
                ?? Array(batch.bytes(event.orderKey, of: item)),
            reading: DeadLetter.Reading(stream: segment.stream, offset: event.offset, ordinal: ordinal)
        )
        // A letter that is retried keeps its number.
        if let retried = segment.retried {
            letter.projection = retried.projection
            letter.row = retried.row
            (letter.position, letter.reading) = (retried.position, retried.reading)
            (letter.raw, letter.digest, letter.isWhole) = (retried.raw, retried.digest, retried.isWhole)
            letter.record = retried.record
        }
        batch.segments[Int(item.segment)].deadLetters.append(letter)
        var replaced = EncodedChange(kind: .deadLetter, offset: event.offset)
        replaced.deadLetter = segment.deadLetters.count
        replaced.tally = event.tally
        replaced.ordinal = event.ordinal
        batch.segments[Int(item.segment)].items[Int(item.index)] = replaced
        return batch.with(batch.items)
    }
}
