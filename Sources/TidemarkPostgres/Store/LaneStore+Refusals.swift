import LibPQ
import TidemarkCore

/// What the database refuses in spite of the check.
extension LaneStore {
    /// The database refused a value in spite of the check: the batch is split until the row is found.
    func commitHalves(
        _ batch: LaneBatch,
        from before: Checkpoint,
        to after: Checkpoint
    ) async throws -> Checkpoint {
        var middle = batch.items.count / 2
        // Items of one place stay together: a checkpoint cannot stand between them.
        while middle < batch.items.count,
            batch[batch.items[middle]].isAtPlace(of: batch[batch.items[middle - 1]])
        {
            middle += 1
        }
        guard middle < batch.items.count else {
            return try await self.commitWithoutPlace(batch, from: before, to: after)
        }
        let (first, second) = (batch.with(batch.items[..<middle]), batch.with(batch.items[middle...]))
        let last = batch[first.items[middle - 1]]
        let between = Checkpoint(
            file: before.file,
            offset: last.offset,
            row: last.row + (last.isMark ? 0 : 1),
            line: before.line
        )
        let reached = try await self.commit(first, from: before, to: between)
        return try await self.commit(second, from: reached, to: after)
    }

    /// All items stand at one place, so they are tried one by one and the refused ones set aside together.
    private func commitWithoutPlace(
        _ batch: LaneBatch,
        from before: Checkpoint,
        to after: Checkpoint
    ) async throws -> Checkpoint {
        var batch = batch
        for index in batch.items.indices {
            do {
                try await self.attempt(batch, from: before, to: after)
                return after
            } catch let error as PostgresError where error.isDataException {
                batch = self.setAside(batch, batch.items[index], because: error)
            }
        }
        try await self.attempt(batch, from: before, to: after)
        return after
    }

    func setAside(_ batch: LaneBatch, _ item: ItemReference, because error: PostgresError) -> LaneBatch {
        var batch = batch
        let event = batch[item]
        guard event.kind == .change else { return batch }
        let plan = self.writers[Int(event.projection)].plan
        let file = batch.runs[Int(item.run)].file
        let message = self.settings.message(file, event.offset, event.line)
        let letter = DeadLetter(
            projection: plan.name,
            source: self.settings.sources[Int(event.source)],
            position: "\(batch.runs[Int(item.run)].path):\(event.line)",
            rejection: Rejection(.valueInvalid, "the database refused the row: \(error.message)"),
            row: event.row,
            // Without its message there is the row's image, which is known by the order key.
            raw: message.map { Array($0.prefix(DeadLetter.rawBytesMax)) } ?? Array(batch.bytes(event.image, of: item)),
            digest: message.map { DeadLetter.digest(of: $0[...], oversizedLength: nil) }
                ?? Array(batch.bytes(event.orderKey, of: item)),
            reading: DeadLetter.Reading(
                place: Place(file: file, offset: event.offset, row: event.row),
                line: event.line,
                sourceIndex: Int(event.source)
            )
        )
        batch.runs[Int(item.run)].deadLetters.append(letter)
        var replaced = StagedEvent(kind: .deadLetter, offset: event.offset, row: event.row)
        replaced.deadLetter = batch.runs[Int(item.run)].deadLetters.count - 1
        replaced.tally = event.tally
        replaced.line = event.line
        batch.runs[Int(item.run)].items[Int(item.index)] = replaced
        return batch.with(batch.items)
    }
}
