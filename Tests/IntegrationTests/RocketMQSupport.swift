#if RocketMQ
    import RocketMQMock
    import TidemarkTesting

    /// The configuration of a service that reads one topic of RocketMQ into the projection `orders`.
    /// - Parameters:
    ///   - source: more keys of the source.
    ///   - projection: the keys of the projection, apart from its name and table.
    func rocketmqConfiguration(
        _ broker: RocketMQBroker,
        source: String = "",
        projection: String = """
        key: id
        sequence: version
        state: status
        milestones: { shipped: { state: shipped } }
        columns: { id: bigint, version: bigint, status: text }
        """
    ) -> String {
        func indented(_ text: String) -> String {
            text.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n")
        }
        return """
            server: { listen: none }
            service: { lease_ttl: 2s }
            sources:
              - name: events
                type: rocketmq
                name_servers: ["\(broker.address)"]
                topics: [shop_orders]
                group: tidemark
            \(indented(source))
            projections:
              - name: orders
                from: shop.orders
            \(indented(projection))
            """
    }

    /// Runs a broker with one topic for the time of a body.
    func withRocketMQ(queues: Int = 4, _ body: (RocketMQBroker) async throws -> Void) async throws {
        let broker = try await RocketMQBroker()
        broker.createTopic("shop_orders", queues: queues)
        do {
            try await body(broker)
        } catch {
            await broker.stop()
            throw error
        }
        await broker.stop()
    }
#endif
