#if RocketMQ
    package import Logging
    package import TidemarkCore
    package import TidemarkNotifier
    package import TidemarkRocketMQ

    /// Writes each delivery to a topic of RocketMQ, sharded by its entity: the body as body, the milestone as tag, the
    /// entity's key as key; its id, projection and milestone as properties.
    package struct RocketMQNotifier: Notifier {
        private let producer: RocketMQProducer

        package init(_ target: RocketMQTarget, logger: Logger) throws(RocketMQError) {
            self.producer = try RocketMQProducer(target, logger: logger)
        }

        package var attemptTimeout: Duration { .seconds(40) }

        package func deliver(_ delivery: Delivery) async -> DeliveryResult {
            var record = OutgoingRecord(
                key: delivery.recordKey,
                value: delivery.body,
                headers: [
                    ("tidemark-id", Array(delivery.id.utf8)), ("tidemark-projection", Array(delivery.projection.utf8)),
                    ("tidemark-milestone", Array(delivery.milestone.utf8)),
                ]
            )
            record.tag = Array(delivery.milestone.utf8)
            do {
                try await self.producer.send([record])
                return .delivered
            } catch let error as RocketMQError {
                return error.kind == .retryable ? .retry(reason: "\(error)") : .dead(reason: "\(error)")
            } catch {
                return .retry(reason: "\(error)")
            }
        }
    }
#endif
