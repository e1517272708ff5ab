import TidemarkCore
import TidemarkNotifier

/// Writes each delivery to a topic, keyed by its entity: the body as value; id, projection and milestone as headers, the
/// milestone also as tag. Delivered is what brokers have stored.
struct TopicNotifier: Notifier {
    private let producer: any RecordProducer

    init(_ producer: any RecordProducer) { self.producer = producer }

    var attemptTimeout: Duration { .seconds(40) }

    func deliver(_ delivery: Delivery) async -> DeliveryResult {
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
        } catch let error as BrokerError {
            return error.kind == .retryable ? .retry(reason: "\(error)") : .dead(reason: "\(error)")
        } catch {
            return .retry(reason: "\(error)")
        }
    }
}
