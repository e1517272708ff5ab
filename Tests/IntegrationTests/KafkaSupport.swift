#if Kafka
    /// The configuration of a service that reads one topic into the projection `orders`.
    /// - Parameters:
    ///   - options: more options of librdkafka, each behind a comma.
    ///   - source: more keys of the source.
    ///   - projection: the keys of the projection, apart from its name and table.
    func kafkaConfiguration(
        _ brokers: [String],
        topic: String,
        options: String = "",
        source: String = "",
        projection: String = """
        key: id
        sequence: version
        state: status
        milestones: { shipped: { state: shipped } }
        columns: { id: bigint, version: bigint, status: text }
        """
    ) -> String {
        """
        server: { listen: none }
        service: { lease_ttl: 2s }
        sources:
          - name: events
            type: kafka
            brokers: [\(brokers.map { "\"\($0)\"" }.joined(separator: ", "))]
            topics: [\(topic)]
            group: tidemark
            options: { session.timeout.ms: 6000, heartbeat.interval.ms: 500\(options) }
        \(source.indented(by: 4))
        projections:
          - name: orders
            from: shop.orders
        \(projection.indented(by: 4))
        """
    }

    extension String {
        fileprivate func indented(by count: Int) -> String {
            self.split(separator: "\n").map { String(repeating: " ", count: count) + $0 }.joined(separator: "\n")
        }
    }
#endif
