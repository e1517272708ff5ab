package import Logging

/// Writes a line to the log for each delivery. Values of rows stand in the database only, so the line has the id, by which
/// `tidemark deliveries show` finds the rest, and neither key nor body.
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
