import LibPQ
import TidemarkCore

/// Statements beside a batch's rows: truncates, dead letters, counters, progress.
extension LaneStore {
    func messageStatements(_ batch: LaneBatch) -> [Statement] {
        let tally = batch.tally
        var statements: [Statement] = []
        var letters: [DeadLetter] = []
        var truncates: [ItemReference] = []
        for item in batch.others {
            switch batch[item].kind {
            case .deadLetter: letters.append(batch.segments[Int(item.segment)].deadLetters[batch[item].deadLetter])
            case .truncate: truncates.append(item)
            case .change, .seen: break
            }
        }
        // In one order: several processes may read the same truncates.
        truncates.sort { left, right in
            let names = [left, right].map { self.writers[Int(batch[$0].projection)].plan.name }
            if names[0] != names[1] { return names[0] < names[1] }
            let tables = [left, right].map { batch.bytes(batch[$0].table, of: $0) }
            let order = LaneBatch.compare(tables[0], tables[1])
            return order == 0 ? batch.compareOrder(left, right) < 0 : order < 0
        }
        for item in truncates {
            statements.append(self.truncateStatement(batch, item))
            statements += self.writers[Int(batch[item].projection)].truncateStatements(item, batch)
        }
        if !letters.isEmpty, self.settings.keepsDeadLetters {
            statements.append(
                DeadLetterStatement.upsert(letters, isShared: self.writers.indices.contains(where: self.isShared))
            )
        }
        guard !tally.isEmpty || !letters.isEmpty else { return statements }
        statements.append(
            .prepared(
                "tm_tally",
                [
                    .int64(self.settings.pass), .int32(Int32(self.settings.lane)), .int64(Int64(tally.messages)),
                    .int64(Int64(tally.control)), .int64(Int64(tally.filtered)), .int64(Int64(letters.count)),
                ]
            )
        )
        return statements
    }

    private func truncateStatement(_ batch: LaneBatch, _ item: ItemReference) -> Statement {
        let event = batch[item]
        let plan = self.writers[Int(event.projection)].plan
        return .prepared(
            "tm_truncate",
            [
                .text(plan.name), .text(String(decoding: batch.bytes(event.table, of: item), as: UTF8.self)),
                .text(String(decoding: batch.bytes(event.sequence, of: item), as: UTF8.self)),
                .bytes(Array(batch.bytes(event.orderKey, of: item))), event.eventTime.map { .int64($0) } ?? .null,
                .bool(plan.truncatesDelete), .int64(self.settings.pass),
                .int64(batch.segments[Int(item.segment)].stream.rawValue), .bytes(event.offset.bytes),
            ]
        )
    }
}
