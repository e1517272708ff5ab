import Foundation
import Logging
import PlatformC
import RocketMQCodec
import Synchronization
import TidemarkCore

/// A member of a consumer group: it tells brokers that it is there, asks who else is, and takes its share of the queues, as
/// official clients compute it. The broker guards nothing: what keeps two members from writing is the stream's lease.
final class GroupMember: Sendable {
    enum Event: Sendable {
        /// All queues that this member is to read now, of all that the topics have.
        case assigned(Set<MessageQueueName>, of: Set<MessageQueueName>)
        case failed(any Error)
    }

    let clientID: String
    let events: AsyncStream<Event>
    private let sink: AsyncStream<Event>.Continuation
    private let session: RocketMQSession
    private let subscriptions: [GroupBodies.Subscription]
    /// Brokers that a heartbeat has reached, by their addresses.
    private let reached = Mutex<[String: String]>([:])
    /// Queues that were locked and not given back.
    private let locks = Mutex<Set<MessageQueueName>>([])
    private static let timeout = Duration.seconds(10)
    private static let leaveTimeout = Duration.seconds(2)

    init(_ session: RocketMQSession) {
        self.session = session
        (self.events, self.sink) = AsyncStream.makeStream()
        let name = session.settings.source.name
        self.clientID =
            "\(Self.host)@tidemark-\(name)-\(UUID().uuidString.prefix(8).lowercased())"
        // A larger version replaces that of other members, so all that are begun later agree with this one.
        let version = Int64(Date().timeIntervalSince1970 * 1000)
        let filter = session.filter
        self.subscriptions = session.settings.rocketmq.topics.map { topic in
            GroupBodies.Subscription(
                topic: topic,
                expression: filter.text,
                type: filter.type,
                tags: filter.tags,
                version: version
            )
        }
    }

    /// The machine's name, without asking a resolver.
    private static var host: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private var group: String { self.session.settings.rocketmq.group }
    private var topics: [String] { self.session.settings.rocketmq.topics }
    private var isOrdered: Bool { self.session.settings.rocketmq.isOrdered }

    /// Has ``events`` end the source with the failure of a queue's reading.
    func fail(_ error: any Error) { self.sink.yield(.failed(error)) }

    // MARK: Being a member

    /// Used by the member's task alone.
    private struct Plan {
        var nextRoute = ContinuousClock.now
        var nextHeartbeat = ContinuousClock.now
        var nextRebalance = ContinuousClock.now
        var failures = 0
        var wanted: [String: Set<MessageQueueName>] = [:]
        var all: [String: Set<MessageQueueName>] = [:]
        var told: (wanted: Set<MessageQueueName>, all: Set<MessageQueueName>)?
        var isExpressionChecked = false
        /// Why topics have no route.
        var missing: [String: BrokerError] = [:]
    }

    /// Until it is cancelled.
    func run() async throws {
        var plan = Plan()
        while true {
            try Task.checkCancellation()
            let count = self.session.changes.wakeup.count
            do {
                try await self.step(&plan)
                plan.failures = 0
                self.session.board.clear(self)
            } catch let error as BrokerError where error.kind != .retryable {
                self.fail(error)
                return
            } catch let error as CancellationError {
                throw error
            } catch {
                plan.failures += 1
                self.session.board.fail(self, "\(error)")
                try await Task.sleep(for: RemotingClient.pause(after: plan.failures))
                plan.nextRoute = .now
                continue
            }
            let next = min(plan.nextRoute, plan.nextHeartbeat, plan.nextRebalance)
            await self.session.changes.wakeup.wait(atMost: max(.zero, next - .now), since: count)
        }
    }

    private func step(_ plan: inout Plan) async throws {
        let timing = self.session.settings.timing
        let changes = self.session.changes.take()
        if plan.nextRoute <= .now {
            plan.nextRoute = .now + timing.route
            try await self.refreshRoutes(&plan)
        }
        if !plan.isExpressionChecked {
            try await self.checkExpression()
            plan.isExpressionChecked = plan.missing.isEmpty
        }
        if changes.heartbeat || plan.nextHeartbeat <= .now {
            await self.sendHeartbeats()
            plan.nextHeartbeat = .now + timing.heartbeat
        }
        if changes.rebalance || plan.nextRebalance <= .now {
            plan.nextRebalance = .now + timing.rebalance
            try await self.rebalance(&plan)
        }
        // Topics that have no route keep no other from being read.
        if let failure = plan.missing.sorted(by: { $0.key < $1.key }).first?.value { throw failure }
    }

    private func refreshRoutes(_ plan: inout Plan) async throws {
        for topic in self.topics {
            let before = await self.session.routes.known(topic)
            do {
                if try await self.session.routes.refresh(topic) != before {
                    (plan.nextHeartbeat, plan.nextRebalance) = (.now, .now)
                }
                plan.missing[topic] = nil
            } catch let error as BrokerError {
                plan.missing[topic] = error
            }
        }
    }

    /// The brokers of all topics, each with the address that is asked.
    private func brokers() async -> [(name: String, address: String)] {
        var brokers: [String: String] = [:]
        for topic in self.topics {
            guard let route = await self.session.routes.known(topic) else { continue }
            for broker in route.brokers { brokers[broker.name] = broker.master ?? broker.slaves.first }
        }
        return brokers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// A broker takes a condition that it cannot read, and sends everything: its parser is asked first.
    private func checkExpression() async throws {
        guard self.session.filter.type == "SQL92" else { return }
        for (name, address) in await self.brokers() {
            for subscription in self.subscriptions {
                let body = GroupBodies.check(client: self.clientID, group: self.group, subscription)
                let command = RemotingCommand(code: RequestCode.checkSubscription, body: body)
                let answer = try await self.session.client.request(
                    command,
                    at: address,
                    broker: name,
                    timeout: Self.timeout
                )
                guard answer.code != ResponseCode.success else { continue }
                throw BrokerError(
                    .operatorNeeded,
                    "broker \(name) does not take the expression \(subscription.expression): code \(answer.code), "
                        + answer.remarkText,
                    remedy: "correct expression, or write enablePropertyFilter=true for the broker"
                )
            }
        }
    }

    private func sendHeartbeats() async {
        let body = GroupBodies.heartbeat(client: self.clientID, group: self.group, self.subscriptions)
        for (name, address) in await self.brokers() {
            do {
                let command = RemotingCommand(code: RequestCode.heartbeat, body: body)
                let answer = try await self.session.client.request(
                    command,
                    at: address,
                    broker: name,
                    timeout: Self.timeout
                )
                guard answer.code == ResponseCode.success else {
                    self.session.warnOnce(
                        "broker \(name) answered a heartbeat with code \(answer.code), \(answer.remarkText)"
                    )
                    continue
                }
                self.reached.withLock { $0[address] = name }
            } catch {
                self.session.logger.debug("no heartbeat to broker \(name): \(error)")
            }
        }
    }

    // MARK: Sharing the queues

    private func rebalance(_ plan: inout Plan) async throws {
        var failure: (any Error)?
        for topic in self.topics {
            guard let route = await self.session.routes.known(topic) else { continue }
            do {
                let members = try await self.members(of: topic, route)
                let all = route.readableQueues(of: topic)
                var wanted = Set(QueueAllocation.averagely(all, members, of: self.clientID))
                if self.isOrdered { wanted = await self.locked(wanted) }
                plan.wanted[topic] = wanted
                plan.all[topic] = Set(all)
            } catch let error as CancellationError {
                throw error
            } catch {
                // A group whose members are not known keeps what it has.
                failure = failure ?? error
            }
        }
        self.tell(&plan)
        if let failure {
            plan.nextRebalance = .now
            throw failure
        }
    }

    private func tell(_ plan: inout Plan) {
        let wanted = plan.wanted.values.reduce(into: Set()) { $0.formUnion($1) }
        let all = plan.all.values.reduce(into: Set()) { $0.formUnion($1) }
        if wanted != plan.told?.wanted {
            self.session.logger.info(
                "the group has given \(wanted.count) queue\(wanted.count == 1 ? "" : "s")",
                metadata: ["source": "\(self.session.settings.source.name)"]
            )
        } else if all == plan.told?.all {
            return
        }
        plan.told = (wanted, all)
        self.sink.yield(.assigned(wanted, of: all))
    }

    /// Asks a broker of the topic: each knows all members, which send heartbeats to all.
    /// - Throws: where no broker tells, or this member is not among them yet.
    private func members(of topic: String, _ route: TopicRoute) async throws -> [String] {
        var failure: (any Error)?
        for broker in route.brokers.sorted(by: { $0.name < $1.name }) {
            for address in [broker.master].compactMap({ $0 }) + broker.slaves {
                do {
                    let command = RemotingCommand(
                        code: RequestCode.members,
                        fields: [.init("consumerGroup", self.group)]
                    )
                    let answer = try await self.session.client.request(
                        command,
                        at: address,
                        broker: broker.name,
                        timeout: Self.timeout
                    )
                    if answer.code == ResponseCode.success {
                        let members = try GroupBodies.members(in: answer.body)
                        if members.contains(self.clientID) { return members }
                    } else {
                        self.session.logger.debug(
                            "broker \(broker.name) answered who is in the group with code \(answer.code), \(answer.remarkText)"
                        )
                    }
                    // Started again, it has not heard of this member yet.
                    self.session.changes.noteConnection()
                    failure =
                        failure
                        ?? NotAMember(
                            description:
                                "broker \(broker.name) does not count this process to group \(self.group) yet: code \(answer.code), \(answer.remarkText)"
                        )
                } catch let error as CancellationError {
                    throw error
                } catch {
                    failure = failure ?? error
                }
            }
        }
        throw failure ?? NotAMember(description: "the route of topic \(topic) names no broker")
    }

    private struct NotAMember: Error, CustomStringConvertible { var description: String }

    // MARK: Locks

    /// Locks queues, and renews those that are locked.
    /// - Returns: those that this member holds now.
    private func locked(_ queues: Set<MessageQueueName>) async -> Set<MessageQueueName> {
        var held: Set<MessageQueueName> = []
        for (broker, queues) in Dictionary(grouping: queues, by: \.broker) {
            do {
                let body = GroupBodies.locks(client: self.clientID, group: self.group, queues.sorted())
                guard let answer = try await self.tell(RequestCode.lock, body, broker) else { continue }
                held.formUnion(try GroupBodies.queues("lockOKMQSet", in: answer))
            } catch {
                self.session.logger.debug("no locks at broker \(broker): \(error)")
            }
        }
        held.formIntersection(queues)
        let locked = held
        self.locks.withLock { $0.formUnion(locked) }
        return held
    }

    /// The queue is not read any more, and what was read of it is committed: another member may lock it.
    func released(_ queue: MessageQueueName) async {
        guard self.isOrdered else { return }
        self.locks.withLock { _ = $0.remove(queue) }
        let body = GroupBodies.locks(client: self.clientID, group: self.group, [queue])
        _ = try? await self.tell(RequestCode.unlock, body, queue.broker)
    }

    /// - Returns: the body of the answer; `nil` for one that says no.
    private func tell(_ code: Int32, _ body: [UInt8], _ broker: String) async throws -> [UInt8]? {
        guard let address = await self.brokers().first(where: { $0.name == broker })?.address else { return nil }
        let command = RemotingCommand(code: code, body: body)
        let answer = try await self.session.client.request(command, at: address, broker: broker, timeout: Self.timeout)
        guard answer.code == ResponseCode.success else {
            self.session.warnOnce(
                "broker \(broker) answered request \(code) with code \(answer.code), \(answer.remarkText)"
            )
            return nil
        }
        return answer.body
    }

    // MARK: Leaving

    /// Tells the brokers, so that the others of the group need not wait for its silence. The cancellation of the calling
    /// task does not end it.
    func leave() async {
        let (session, client, group) = (self.session, self.clientID, self.group)
        let brokers = self.reached.withLock { $0 }
        let locks = self.locks.withLock { $0 }
        await Task.detached {
            // A lock outlives its holder by a minute. What was read is committed under the stream's lease.
            for queue in locks { await self.released(queue) }
            await withTaskGroup(of: Void.self) { tasks in
                for (address, name) in brokers {
                    tasks.addTask {
                        let command = RemotingCommand(
                            code: RequestCode.leave,
                            fields: [.init("clientID", client), .init("consumerGroup", group)]
                        )
                        _ = try? await session.client.request(
                            command,
                            at: address,
                            broker: name,
                            timeout: Self.leaveTimeout
                        )
                    }
                }
            }
            await session.client.close()
        }.value
        self.sink.finish()
    }
}
