#if Kafka
    package import TidemarkCore
    package import TidemarkKafka
    package import TidemarkNotifier

    /// Writes each delivery to a topic, keyed by its entity: the body as value; its id, projection and milestone as headers.
    /// Delivered is what all replicas in sync have stored.
    package struct KafkaNotifier: Notifier {
        private let producer: KafkaProducer

        package init(_ target: KafkaTarget) throws(KafkaError) { self.producer = try KafkaProducer(target) }

        package var attemptTimeout: Duration { .seconds(40) }

        package func deliver(_ delivery: Delivery) async -> DeliveryResult {
            let record = OutgoingRecord(
                key: delivery.recordKey,
                value: delivery.body,
                headers: [
                    ("tidemark-id", Array(delivery.id.utf8)), ("tidemark-projection", Array(delivery.projection.utf8)),
                    ("tidemark-milestone", Array(delivery.milestone.utf8)),
                ]
            )
            do {
                try await self.producer.send([record])
                return .delivered
            } catch let error as KafkaError {
                return error.kind == .retryable ? .retry(reason: "\(error)") : .dead(reason: "\(error)")
            } catch {
                return .retry(reason: "\(error)")
            }
        }
    }
#endif
