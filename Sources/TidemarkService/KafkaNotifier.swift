#if Kafka
    import Foundation
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

    extension Delivery {
        /// As a publication keys the same entity (``KafkaTarget/recordKey(of:)``).
        fileprivate var recordKey: [UInt8] {
            KafkaTarget.recordKey(of: Array(Self.texts(of: self.keyJSON).joined(separator: [0]))[...])
        }

        /// The values of a JSON array of scalars, as texts; numbers keep every digit.
        private static func texts(of json: String) -> [[UInt8]] {
            var values: [[UInt8]] = []
            var value: [UInt8] = []
            var (isString, isEscaped) = (false, false)
            for byte in json.utf8.dropFirst().dropLast() {
                if byte == UInt8(ascii: ","), !isString {
                    values.append(value)
                    value = []
                    continue
                }
                value.append(byte)
                if byte == UInt8(ascii: "\""), !isEscaped { isString.toggle() }
                isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
            }
            values.append(value)
            return values.map { value in
                (try? JSONDecoder().decode(String.self, from: Data(value))).map { Array($0.utf8) }
                    ?? value.filter { $0 != UInt8(ascii: " ") }
            }
        }
    }
#endif
