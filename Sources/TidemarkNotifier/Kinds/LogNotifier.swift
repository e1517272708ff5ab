package import Logging

/// Logs a line for each delivery. It has the id, by which `tidemark deliveries show` finds the rest, but neither key
/// nor body, because logs must not hold values of rows.
package struct LogNotifier: Notifier {
    private let logger: Logger

    package init(_ logger: Logger) {
        self.logger = logger
    }

    public var attemptTimeout: Duration { .seconds(1) }

    public func deliver(_ delivery: Delivery) async -> DeliveryResult {
        self.logger.info(
            "milestone reached",
            metadata: [
                "id": "\(delivery.id)", "projection": "\(delivery.projection)", "milestone": "\(delivery.milestone)",
                "notifier": "\(delivery.notifier)",
            ]
        )
        return .delivered
    }
}
