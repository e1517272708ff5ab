import Logging
import RocketMQCodec
import Synchronization
import TidemarkCore

/// What the readers and the member of one source share: connections, routes, and which queues wait for what.
final class RocketMQSession: Sendable {
    let settings: RocketMQSourceSettings
    let filter: MessageFilter
    let client: RemotingClient
    let routes: RouteTable
    let board: WaitingBoard
    let logger: Logger
    let blocks = BlockMemoryPool(bytesMost: 2 * QueueReader.blockBytesMost)
    /// Signalled when a broker tells of a change of the group, and when a connection was opened.
    let changes: GroupChanges
    private let told = Mutex<Set<String>>([])

    /// - Parameter state: called with `nil` when all queues are read, and with the reason when one waits.
    /// - Throws: ``BrokerError`` for settings that cannot be used.
    init(
        _ settings: RocketMQSourceSettings,
        state: @escaping @Sendable (_ waitingFor: String?) -> Void,
        logger: Logger
    ) throws(BrokerError) {
        self.settings = settings
        self.filter = settings.filter
        self.logger = logger
        let changes = GroupChanges(settings.rocketmq.group)
        self.changes = changes
        self.board = WaitingBoard(state)
        self.client = try RemotingClient(
            settings.rocketmq.access,
            onRequest: { changes.note($0) },
            onOpen: { _ in changes.noteConnection() }
        )
        self.routes = RouteTable(self.client, settings.rocketmq.access.nameServers, logger: logger)
    }

    private struct NoAddress: Error, CustomStringConvertible { var description: String }

    /// Asks the queue's broker: its master, or a slave where the master cannot be reached. The answers have the order of the
    /// requests.
    /// - Throws: ``RemotingFailure`` or another error that is described; `CancellationError`.
    func ask(_ commands: [RemotingCommand], of queue: MessageQueueName, timeout: Duration) async throws
        -> [BrokerAnswer]
    {
        if await self.routes.known(queue.topic) == nil { try await self.refreshForAsking(queue.topic) }
        var failure: (any Error)?
        for (address, isMaster) in await self.routes.addresses(of: queue.broker, topic: queue.topic) {
            do {
                let answers = try await self.client.request(
                    commands,
                    at: address,
                    broker: queue.broker,
                    timeout: timeout
                )
                await self.client.noteAnswer(of: address)
                return answers.map { BrokerAnswer(command: $0, isFromMaster: isMaster, address: address) }
            } catch let error as RemotingFailure {
                failure = failure ?? error
                // A lost connection is reported first: what is read from may have changed.
                guard case .unreachable = error else { throw error }
            }
        }
        throw failure ?? NoAddress(description: "no broker \(queue.broker) is in the route of topic \(queue.topic)")
    }

    /// An error of a name server is one of the way to the broker here: it is waited for.
    private func refreshForAsking(_ topic: String) async throws {
        do {
            try await self.routes.refresh(topic)
        } catch let error as BrokerError {
            throw NoAddress(description: error.description)
        }
    }

    /// Texts that are remembered; beyond them nothing is logged any more.
    private static let toldMost = 1000

    /// Logs a warning once: each try would say it again.
    func warnOnce(_ text: String) {
        let isNew = self.told.withLock { told in
            told.count < Self.toldMost && told.insert(text).inserted
        }
        guard isNew else { return }
        self.logger.warning("\(text)", metadata: ["source": "\(self.settings.source.name)"])
    }

    func tellGap(of queue: MessageQueueName, _ what: String) { self.warnOnce("\(queue): \(what)") }
}

/// An answer, and who gave it.
struct BrokerAnswer: Sendable {
    var command: RemotingCommand
    var isFromMaster: Bool
    var address: String
    var body: [UInt8] { self.command.body }
}

/// What brokers tell beside answers, and what the member does about it.
final class GroupChanges: Sendable {
    private struct State {
        var isHeartbeatDue = false
        var isRebalanceDue = false
    }

    private let group: String
    private let state = Mutex(State())
    let wakeup = Wakeup()

    init(_ group: String) { self.group = group }

    func note(_ command: RemotingCommand) {
        guard command.code == RequestCode.membersChanged, command["consumerGroup"] ?? self.group == self.group else {
            return
        }
        self.state.withLock { $0.isRebalanceDue = true }
        self.wakeup.signal()
    }

    /// A broker that was started again knows no members.
    func noteConnection() {
        self.state.withLock { $0.isHeartbeatDue = true }
        self.wakeup.signal()
    }

    func take() -> (heartbeat: Bool, rebalance: Bool) {
        self.state.withLock { state in
            defer { state = State() }
            return (state.isHeartbeatDue, state.isRebalanceDue)
        }
    }
}

/// Which parts of a source wait for a broker or a name server. The source waits while one of them does.
final class WaitingBoard: Sendable {
    private struct State {
        var reasons: [ObjectIdentifier: String] = [:]
        var isWaiting: Bool?
    }

    private let state = Mutex(State())
    private let report: @Sendable (_ waitingFor: String?) -> Void

    init(_ report: @escaping @Sendable (_ waitingFor: String?) -> Void) { self.report = report }

    func fail(_ part: AnyObject, _ reason: String) { self.update { $0[ObjectIdentifier(part)] = reason } }
    func clear(_ part: AnyObject) { self.update { $0[ObjectIdentifier(part)] = nil } }

    private func update(_ change: (inout [ObjectIdentifier: String]) -> Void) {
        let (isNews, reason) = self.state.withLock { state in
            change(&state.reasons)
            let reason = state.reasons.values.min()
            defer { state.isWaiting = reason != nil }
            return (state.isWaiting != (reason != nil), reason)
        }
        if isNews { self.report(reason) }
    }
}

/// A queue as one source of this process knows it, whether it is to read it or not.
final class SharedQueue: Sendable {
    private struct State {
        var isWanted = false
        var isHeld = false
    }

    let name: MessageQueueName
    /// Signalled when a puller has something, and when the queue is given to another member.
    let wakeup = Wakeup()
    /// Signalled when it is wanted again.
    let wanted = Wakeup()
    /// Signalled when nothing of it is held any more.
    private let released: Wakeup
    /// The broker was not told the last offset.
    let isUntold = Atomic<Bool>(false)
    private let state = Mutex(State())

    init(_ name: MessageQueueName, _ released: Wakeup = Wakeup()) { (self.name, self.released) = (name, released) }

    /// The group gives it to another member.
    var isRevoked: Bool { self.state.withLock { !$0.isWanted } }
    /// Something of it is read, or may not be committed yet.
    var isHeld: Bool { self.state.withLock { $0.isHeld } }

    func setWanted(_ isWanted: Bool) {
        self.state.withLock { $0.isWanted = isWanted }
        self.wakeup.signal()
        if isWanted { self.wanted.signal() }
    }

    func setHeld(_ isHeld: Bool) {
        self.state.withLock { $0.isHeld = isHeld }
        if !isHeld { self.released.signal() }
    }
}
