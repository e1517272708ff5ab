import Logging
import RocketMQCodec
import Synchronization
import TidemarkCore

/// Messages of one answer, and how far it brings the queue.
struct PulledMessages: Sendable {
    /// The body of the answer, which the messages' ranges are of.
    var body: [UInt8] = []
    /// Those that were asked for and not read before.
    var messages: [StoredMessage] = []
    /// Everything before this offset is in this or an earlier one.
    var reached: Int64
    /// Of the last message that came.
    var token: RocketMQToken?
}

/// Pulls one queue ahead of its reader, up to a limit: one request after another, or, far behind its end, several at once.
///
/// A broker that is away, a topic that is gone, and a slave that is behind are waited for. What ends it is a
/// ``BrokerError``: lost history, or what an operator has to change.
final class QueuePuller: Sendable {
    enum Beginning: Sendable, Equatable {
        /// Goes on there, behind the message of the token.
        case at(Int64, RocketMQToken?)
        case earliest
        case latest
    }

    private struct State {
        var pulled: [PulledMessages] = []
        var heldBytes = 0
        var failure: (any Error)?
        /// The offset at which the queue ended when it was looked at last.
        var end: Int64?
        /// A broker has answered the last request.
        var isConnected = false
        var reached: Int64 = 0
        var task: Task<Void, Never>?
    }

    let queue: SharedQueue
    let session: RocketMQSession
    let beginning: Beginning
    private let state = Mutex(State())
    private let room = Wakeup()
    private static let heldBytesMost = 1 << 20
    /// Beyond what the broker waits for a message.
    private static let slack = Duration.seconds(15)
    private static let askTimeout = Duration.seconds(10)
    /// A wait that is over earlier was none.
    private static let leastWait = Duration.milliseconds(100)

    init(_ queue: SharedQueue, _ session: RocketMQSession, from beginning: Beginning) {
        (self.queue, self.session, self.beginning) = (queue, session, beginning)
    }

    func start() {
        let task = Task {
            do {
                try await self.run()
            } catch is CancellationError {
            } catch {
                self.state.withLock { $0.failure = error }
                self.queue.wakeup.signal()
            }
            // What it waited for is told no more.
            self.session.board.clear(self)
        }
        self.state.withLock { $0.task = task }
    }

    func stop() {
        self.state.withLock { $0.task }?.cancel()
    }

    // MARK: For the reader

    var isReady: Bool { self.state.withLock { !$0.pulled.isEmpty || $0.failure != nil } }
    var end: Int64? { self.state.withLock { $0.end } }

    /// More is known to be there, and the broker answers: it is likely to come at once.
    var isFilling: Bool {
        self.state.withLock { $0.isConnected && $0.failure == nil && $0.reached < $0.end ?? 0 }
    }

    /// What was pulled, about so many bytes of it.
    /// - Throws: why it ended, once everything that came before is taken.
    func take(bytes: Int) throws -> [PulledMessages] {
        let (taken, failure) = self.state.withLock { state -> ([PulledMessages], (any Error)?) in
            var (count, sum) = (0, 0)
            while count < state.pulled.count, sum < bytes {
                sum += state.pulled[count].body.count
                count += 1
            }
            let taken = Array(state.pulled.prefix(count))
            state.pulled.removeFirst(count)
            state.heldBytes -= sum
            return (taken, taken.isEmpty ? state.failure : nil)
        }
        if let failure { throw failure }
        if !taken.isEmpty { self.room.signal() }
        return taken
    }

    // MARK: Pulling

    /// Where the pulling is. Used by its task alone.
    struct Position {
        /// What is asked for next.
        var next: Int64
        /// Everything before it was handed on or skipped.
        var reached: Int64
        /// The last message that came.
        var last: RocketMQToken?
        /// The last message is still there, as far as is known: it is compared again after each interruption.
        var isVerified = false
        /// Nothing was read before: wherever the queue begins is its beginning.
        var mayJump: Bool
        var failures = 0
        /// What the last answer held, and how many like it came in a row.
        var answer: (messages: Int64, bytes: Int) = (0, 0)
        var alike = 0
    }

    private func run() async throws {
        var position = try await self.begin()
        while true {
            try Task.checkCancellation()
            while self.state.withLock({ $0.heldBytes > Self.heldBytesMost }) {
                await self.room.wait()
                try Task.checkCancellation()
            }
            do {
                if !position.isVerified { try await self.verify(&position) }
                if position.isVerified { try await self.pull(&position) }
            } catch let error as BrokerError {
                throw error
            } catch let error as CancellationError {
                throw error
            } catch {
                try await self.interrupt(&position, "\(error)")
            }
        }
    }

    /// Brokers give 32 messages in an answer, or 8 from disk, unless they are told otherwise. So many requests at once take
    /// the threads, the broker and the network a fraction of the time of one after another.
    private static let windowMost = 16
    private static let messagesAsked = 32

    /// The offsets to ask for: the next one, and those behind it where answers have held equally many messages for a while
    /// and as many are known to be there. A filter's offsets cannot be foreseen.
    private func window(of position: Position) -> [Int64] {
        let (end, held) = self.state.withLock { ($0.end, $0.heldBytes) }
        let (messages, bytes) = position.answer
        guard self.session.filter.isAll, !position.mayJump, position.alike > 1, messages > 0, let end else {
            return [position.next]
        }
        let room = Int64((Self.heldBytesMost - held) / max(1, bytes))
        let count = min(Int64(Self.windowMost), room, (end - position.next) / messages)
        return (0..<max(1, count)).map { position.next + $0 * messages }
    }

    private func pull(_ position: inout Position) async throws {
        let (offsets, before, began) = (self.window(of: position), position.reached, ContinuousClock.now)
        defer { if position.reached > before { self.queue.wakeup.signal() } }
        // What is known to be there is not waited for.
        let suspend = offsets.count == 1 ? self.session.settings.timing.suspend : nil
        let answers = try await self.ask(offsets, count: Self.messagesAsked, self.session.filter, suspend: suspend)
        for (asked, (answer, verdict)) in zip(offsets, answers) {
            // Another than foreseen came before it, or it is none with messages: it is asked for again by itself.
            if asked != offsets[0] {
                guard position.next == asked, case .found = verdict else { return position.alike = 0 }
            }
            try await self.follow(verdict, answer, asked, began, &position)
        }
    }

    /// - Parameters:
    ///   - asked: the offset that was asked for.
    ///   - began: when.
    private func follow(
        _ verdict: PullVerdict,
        _ answer: BrokerAnswer,
        _ asked: Int64,
        _ began: ContinuousClock.Instant,
        _ position: inout Position
    ) async throws {
        switch verdict {
        case .found(let found):
            try self.take(answer, found, &position)
            self.note(found)
            guard position.next > asked else {
                return try await self.wait(&position, "the broker gives no offset beyond \(asked) to go on at")
            }
            position.failures = 0
            let messages = position.next - asked
            position.alike = messages == position.answer.messages ? position.alike + 1 : 0
            position.answer = (messages, answer.body.count)
        case .skipped(let found):
            position.next = found.next
            // Without a filter what is stepped over is gone: the next message shows a hole.
            if !self.session.filter.isAll || position.mayJump { self.advance(to: found.next, &position) }
            self.note(found)
            position.failures = 0
        case .nothing(let found):
            position.failures = 0
            // Asked below the beginning of an empty queue, it goes on where the broker says.
            if position.mayJump, found.next > position.next {
                position.next = found.next
                self.advance(to: found.next, &position)
            }
            self.note(found)
            if .now - began < Self.leastWait { try await Task.sleep(for: Self.leastWait) }
        case .belowLeast(let found):
            guard position.mayJump else { throw self.lostBelow(found.least, position.reached) }
            position.next = max(found.next, found.least)
            self.advance(to: position.next, &position)
            self.note(found)
        case .aboveEnd(let found):
            guard position.reached > 0 else {
                // An empty queue, of which nothing was read.
                self.note(found)
                if .now - began < Self.leastWait { try await Task.sleep(for: Self.leastWait) }
                return
            }
            guard answer.isFromMaster else { return try await self.wait(&position, "a slave ends at \(found.end)") }
            throw self.lostHistory("the queue ends at offset \(found.end)")
        default: try await self.handle(verdict, &position)
        }
    }

    static func firstMessage(of answer: BrokerAnswer) throws -> StoredMessage? {
        try answer.body.withUnsafeBytes { bytes in
            var messages = StoredMessages(bytes)
            return try messages.next()
        }
    }

    /// Keeps what was not read before and is asked for. Without a filter queue offsets have no holes, so one that is there
    /// says that messages are gone.
    private func take(_ answer: BrokerAnswer, _ found: PullPosition, _ position: inout Position) throws {
        let filter = self.session.filter
        var pulled = PulledMessages(reached: position.reached)
        pulled.messages.reserveCapacity(Self.messagesAsked)
        var expected = position.reached
        var last: RocketMQToken?
        try answer.body.withUnsafeBytes { bytes in
            var messages = StoredMessages(bytes)
            var newest: StoredMessage?
            while let message = try messages.next() {
                guard message.queueOffset >= expected else { continue }
                if message.queueOffset > expected, filter.isAll, !position.mayJump {
                    // What came before it is handed on first; the pull that comes next finds the hole again.
                    guard expected == position.reached else { break }
                    throw self.lostHistory("offsets \(expected) to \(message.queueOffset - 1) are gone")
                }
                position.mayJump = false
                expected = message.queueOffset + 1
                if message.defect == nil { newest = message }
                if message.defect != nil || message.isVisible && filter.takes(message, of: bytes) {
                    pulled.messages.append(message)
                }
            }
            last = newest.map { RocketMQToken($0, of: bytes) }
        }
        // With a filter the broker says how far it has looked. Without one that is behind the last message.
        position.next = filter.isAll && expected > position.reached ? expected : found.next
        pulled.reached = filter.isAll ? expected : max(expected, found.next)
        position.last = last ?? position.last
        pulled.token = position.last
        guard pulled.reached > position.reached else { return }
        position.reached = pulled.reached
        pulled.body = pulled.messages.isEmpty ? [] : answer.body
        self.hand(pulled)
    }

    /// Skips messages that are not asked for.
    private func advance(to offset: Int64, _ position: inout Position) {
        guard offset > position.reached else { return }
        position.reached = offset
        self.hand(PulledMessages(reached: offset, token: position.last))
    }

    func hand(_ pulled: PulledMessages) {
        self.state.withLock { state in
            // Moves without messages become one.
            if pulled.messages.isEmpty, let last = state.pulled.indices.last, state.pulled[last].messages.isEmpty {
                state.pulled[last] = pulled
            } else {
                state.pulled.append(pulled)
                state.heldBytes += pulled.body.count
            }
            state.reached = pulled.reached
        }
    }

    /// Keeps where the queue ends. Behind what the answer brings: a reader that has nothing at hand then is at the end.
    func note(_ found: PullPosition) {
        let isFirst = self.state.withLock { state in
            defer { state.end = found.end }
            return state.end == nil
        }
        if isFirst { self.queue.wakeup.signal() }
    }

    // MARK: Waiting

    /// What is no answer to go on with.
    func handle(_ verdict: PullVerdict, _ position: inout Position) async throws {
        switch verdict {
        case .routeAgain(let reason):
            // It may be another topic when it is there again.
            position.isVerified = position.last == nil
            _ = try? await self.session.routes.refresh(self.queue.name.topic)
            try await self.wait(&position, reason)
        case .refused(let reason, let remedy):
            throw BrokerError(.operatorNeeded, "\(self.queue.name): \(reason)", remedy: remedy)
        case .unexpected(let reason):
            self.session.warnOnce("\(self.queue.name): \(reason); it is asked again")
            try await self.wait(&position, reason)
        case .later(let reason): try await self.wait(&position, reason)
        case .found, .nothing, .skipped, .belowLeast, .aboveEnd:
            try await self.wait(&position, "the broker gave an answer that is not expected here")
        }
    }

    /// The connection was lost, or the broker did not answer.
    func interrupt(_ position: inout Position, _ reason: String) async throws {
        // A broker that comes back may have lost the end of its log.
        position.isVerified = position.last == nil
        _ = try? await self.session.routes.refresh(self.queue.name.topic)
        try await self.wait(&position, reason)
    }

    func wait(_ position: inout Position, _ reason: String) async throws {
        position.failures += 1
        self.state.withLock { $0.isConnected = false }
        self.session.board.fail(self, "\(self.queue.name): \(reason)")
        self.queue.wakeup.signal()
        try await Task.sleep(for: RemotingClient.pause(after: position.failures))
    }

    /// Pulls from several offsets at once. The answers have the order of the offsets.
    func ask(
        _ offsets: [Int64],
        count: Int,
        _ filter: MessageFilter,
        suspend: Duration?
    ) async throws -> [(BrokerAnswer, PullVerdict)] {
        let requests = offsets.map { offset in
            PullRequest(
                group: self.session.settings.rocketmq.group,
                queue: self.queue.name,
                offset: offset,
                count: count,
                suspend: suspend,
                filter: filter
            ).command
        }
        let timeout = suspend.map { $0 + Self.slack } ?? Self.askTimeout
        let answers = try await self.session.ask(requests, of: self.queue.name, timeout: timeout)
        var found: [(BrokerAnswer, PullVerdict)] = []
        for (offset, answer) in zip(offsets, answers) {
            let isMaster = answer.isFromMaster
            found.append((answer, try PullVerdict(answer.command, asked: offset, filter: filter, isMaster: isMaster)))
        }
        switch found[0].1 {
        case .later, .routeAgain, .refused, .unexpected: break
        default:
            self.state.withLock { $0.isConnected = true }
            self.session.board.clear(self)
        }
        return found
    }

    // MARK: Lost history

    func lostBelow(_ least: Int64, _ reached: Int64) -> BrokerError {
        self.lostHistory("offsets \(reached) to \(least - 1) are gone, the queue begins at \(least)")
    }

    func lostHistory(_ what: String) -> BrokerError {
        var remedy = "lost_history: earliest reads what the topic has now; what is lost has to come from elsewhere"
        if !self.session.settings.mayBeginAnew {
            remedy +=
                ". Entities are ordered by offsets, which begin anew: raise epoch of this source too, and write "
                + "added_partitions: earliest"
        }
        return BrokerError(
            .lostHistory,
            "\(self.queue.name): \(what), where this source goes on: messages that were not read may be lost",
            remedy: remedy
        )
    }
}
