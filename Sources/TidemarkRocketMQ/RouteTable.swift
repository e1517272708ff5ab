import Logging
import RocketMQCodec
import TidemarkCore

/// Where topics are, as the name servers say. The last route of a topic is kept: a name server that has just begun knows
/// none, and brokers work without any.
actor RouteTable {
    private let client: RemotingClient
    private let servers: [String]
    private let logger: Logger
    private var routes: [String: TopicRoute] = [:]
    /// The name server that answered last is asked first.
    private var first = 0

    private static let timeout = Duration.seconds(5)

    init(_ client: RemotingClient, _ servers: [String], logger: Logger) {
        (self.client, self.servers, self.logger) = (client, servers, logger)
    }

    /// The route as it was read last.
    func known(_ topic: String) -> TopicRoute? { self.routes[topic] }

    /// Asks the name servers one after another, until one knows the topic.
    /// - Returns: the last known route where none does.
    /// - Throws: ``BrokerError`` where there is none; `CancellationError`.
    @discardableResult
    func refresh(_ topic: String) async throws -> TopicRoute {
        var reasons: [String] = []
        for offset in self.servers.indices {
            let index = (self.first + offset) % self.servers.count
            let server = self.servers[index]
            do {
                let route = try await self.ask(server, topic)
                self.first = index
                self.routes[topic] = route
                return route
            } catch let error as CancellationError {
                throw error
            } catch {
                reasons.append("\(error)")
            }
        }
        let reason = reasons.joined(separator: "; ")
        if let route = self.routes[topic] {
            self.logger.debug("the last route of \(topic) is kept: \(reason)")
            return route
        }
        throw BrokerError(
            .retryable,
            "no name server has a route of topic \(topic): \(reason)",
            remedy: "start a name server, create the topic, or correct name_servers and topics; it goes on by itself"
        )
    }

    private struct NoRoute: Error, CustomStringConvertible { var description: String }

    private func ask(_ server: String, _ topic: String) async throws -> TopicRoute {
        let command = RemotingCommand(
            code: RequestCode.route,
            fields: [.init("topic", topic), .init("acceptStandardJsonOnly", "true")]
        )
        let answer = try await self.client.request(command, at: server, broker: nil, timeout: Self.timeout)
        await self.client.noteAnswer(of: server)
        switch answer.code {
        case ResponseCode.success: return try TopicRoute(answer.body)
        // It is not known there, which is not to say that it was deleted.
        case ResponseCode.topicMissing: throw NoRoute(description: "\(server) does not know the topic")
        default:
            self.logger.debug("name server \(server) answered a route with code \(answer.code), \(answer.remarkText)")
            throw NoRoute(description: "\(server) answered with code \(answer.code), \(answer.remarkText)")
        }
    }

    /// Where a broker is asked, in this order: its master, else its slaves.
    func addresses(of broker: String, topic: String) -> [(address: String, isMaster: Bool)] {
        guard let found = self.routes[topic]?.broker(broker) else { return [] }
        return (found.master.map { [($0, true)] } ?? []) + found.slaves.map { ($0, false) }
    }
}
