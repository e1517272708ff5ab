import RocketMQCodec
import TidemarkCore

extension QueuePuller {
    func begin() async throws -> Position {
        switch self.beginning {
        case .at(let offset, let token):
            return Position(next: offset, reached: offset, last: token, isVerified: token == nil, mayJump: false)
        case .earliest: return Position(next: 0, reached: 0, isVerified: true, mayJump: true)
        case .latest: break
        }
        var position = Position(next: 0, reached: 0, isVerified: true, mayJump: true)
        while true {
            do {
                if let end = try await self.findEnd(&position) { return end }
            } catch let error as BrokerError {
                throw error
            } catch let error as CancellationError {
                throw error
            } catch {
                try await self.interrupt(&position, "\(error)")
            }
        }
    }

    /// Where the queue ends, with the last message before it. By pulls, because asking for the end needs another right.
    private func findEnd(_ position: inout Position) async throws -> Position? {
        var offset: Int64 = 0
        var isAtEnd = false
        while true {
            let (answer, verdict) = try await self.ask([offset], count: 1, .all, suspend: nil)[0]
            switch verdict {
            case .found(let found), .nothing(let found), .belowLeast(let found), .aboveEnd(let found):
                let message = try Self.firstMessage(of: answer)
                // More may have come since the end was told: they are behind it.
                let isLast = isAtEnd && message?.queueOffset == offset
                guard isLast || found.end <= found.least else {
                    (offset, isAtEnd) = (found.end - 1, true)
                    continue
                }
                let reached = isLast ? offset + 1 : found.end
                var end = Position(next: reached, reached: reached, isVerified: true, mayJump: false)
                end.last = message.flatMap { message in
                    isLast ? answer.body.withUnsafeBytes { RocketMQToken(message, of: $0) } : nil
                }
                self.hand(PulledMessages(reached: reached, token: end.last))
                self.note(found)
                self.queue.wakeup.signal()
                return end
            case .skipped(let found) where found.next > offset: offset = found.next
            default:
                try await self.handle(verdict, &position)
                return nil
            }
        }
    }

    /// Reads the last message again, and compares it.
    func verify(_ position: inout Position) async throws {
        guard let expected = position.last else {
            position.isVerified = true
            return
        }
        let (answer, verdict) = try await self.ask([expected.offset], count: 1, .all, suspend: nil)[0]
        switch verdict {
        case .found:
            let message = try Self.firstMessage(of: answer)
            guard let message, message.queueOffset == expected.offset else {
                self.session.tellGap(of: self.queue.name, Self.notCompared)
                position.isVerified = true
                return
            }
            let found = answer.body.withUnsafeBytes { RocketMQToken(message, of: $0) }
            guard found == expected else {
                throw self.lostHistory(
                    "another message stands at offset \(expected.offset), so the topic was made anew"
                )
            }
            position.isVerified = true
        case .belowLeast(let found):
            guard found.least <= position.reached else { throw self.lostBelow(found.least, position.reached) }
            self.session.tellGap(of: self.queue.name, Self.notCompared)
            position.isVerified = true
        case .skipped:
            self.session.tellGap(of: self.queue.name, Self.notCompared)
            position.isVerified = true
        case .nothing(let found), .aboveEnd(let found):
            // A slave may not have got as far yet.
            guard answer.isFromMaster else {
                return try await self.wait(&position, "a slave has not got offset \(expected.offset) yet")
            }
            throw self.lostHistory("the queue ends at offset \(found.end)")
        default: try await self.handle(verdict, &position)
        }
    }

    private static let notCompared = "the last message that was read is gone, so it cannot be compared"
}
