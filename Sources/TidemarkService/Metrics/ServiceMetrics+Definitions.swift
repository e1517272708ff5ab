/// The metrics of `/metrics`. Their names and labels are those of the service's contract.
extension ServiceMetrics {
    private static let short = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

    static let definitions: [MetricDefinition] =
        reading + committing + delivering + [
            MetricDefinition("tidemark_build_info", .gauge, "1, with the version of the program as a label.")
        ]

    private static let reading: [MetricDefinition] = [
        MetricDefinition(
            "tidemark_messages_total",
            .counter,
            "Messages read. What was read and not committed is read, and counted, again by the next attempt."
        ),
        MetricDefinition("tidemark_bytes_total", .counter, "Bytes read, as the source stores them."),
        MetricDefinition("tidemark_dead_letters_total", .counter, "Messages that could not be applied, by reason."),
        MetricDefinition(
            "tidemark_source_lag_seconds",
            .gauge,
            "Seconds since the oldest event that is not committed yet; 0 when all that is known is committed."
        ),
        MetricDefinition(
            "tidemark_source_lag_bytes",
            .gauge,
            "Bytes between what is committed and the ends of the streams that this process reads."
        ),
        MetricDefinition(
            "tidemark_source_lag_messages",
            .gauge,
            "Offsets between what is committed and the ends of the partitions that this process reads."
        ),
        MetricDefinition(
            "tidemark_source_unsuspended_messages",
            .gauge,
            "Messages committed behind the first dead letter of their queue, which a consumer in order would hold up."
        ),
        MetricDefinition("tidemark_source_state", .gauge, "1 for the state that the source is in."),
        MetricDefinition("tidemark_leases", .gauge, "Streams that this process reads."),
        MetricDefinition(
            "tidemark_rebalances_total",
            .counter,
            "Streams that this process gave to another one while it went on running."
        ),
    ]

    private static let committing: [MetricDefinition] = [
        MetricDefinition(
            "tidemark_events_total",
            .counter,
            "Committed events by verdict. Filtered ones are of no projection."
        ),
        MetricDefinition("tidemark_milestones_total", .counter, "Milestones that were newly reached."),
        MetricDefinition(
            "tidemark_commit_seconds",
            .histogram(bounds: ServiceMetrics.short),
            "Duration of a batch's commit, its look-ups included."
        ),
        MetricDefinition(
            "tidemark_batch_events",
            .histogram(bounds: [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000]),
            "Events of a batch."
        ),
        MetricDefinition(
            "tidemark_end_to_end_seconds",
            .histogram(
                bounds: [
                    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43_200, 86_400,
                ]
            ),
            "From an event's time at its source to its visible row."
        ),
        MetricDefinition("tidemark_lane_queue_bytes", .gauge, "What waits for the lanes."),
        MetricDefinition(
            "tidemark_memory_budget_bytes",
            .gauge,
            "How much may wait between reading and its commit."
        ),
        MetricDefinition(
            "tidemark_memory_budget_used_bytes",
            .gauge,
            "How much waits between reading and its commit."
        ),
        MetricDefinition(
            "tidemark_cache_lookups_total",
            .counter,
            "Entities that were remembered (hit), or looked up in the database (miss)."
        ),
    ]

    private static let delivering: [MetricDefinition] = [
        MetricDefinition("tidemark_deliveries_total", .counter, "Attempts to deliver, by result."),
        MetricDefinition(
            "tidemark_delivery_seconds",
            .histogram(bounds: ServiceMetrics.short),
            "Duration of an attempt to deliver."
        ),
        MetricDefinition(
            "tidemark_deliveries_open",
            .gauge,
            "Deliveries of the outbox that are due, held or dead, up to 100000. Missing while the database does not answer."
        ),
        MetricDefinition(
            "tidemark_delivery_oldest_seconds",
            .gauge,
            "Age of the oldest delivery that is due; 0 without one. Missing while the database does not answer."
        ),
        MetricDefinition(
            "tidemark_notifier_state",
            .gauge,
            "0 delivers, 1 pauses after failures in a row, 2 disabled until an operator enables it."
        ),
    ]
}
