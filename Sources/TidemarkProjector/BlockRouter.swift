import TidemarkCore

/// From blocks to lanes' segments, by what the pass reads: messages, or the events of a stored timeline.
enum BlockRouter: ~Copyable {
    case messages(EventRouter)
    case timeline(TimelineRouter)

    init(_ pass: borrowing PassContext, isStrict: Bool) {
        if let timeline = pass.timeline {
            self = .timeline(TimelineRouter(timeline, lanes: pass.lanes, laneRule: pass.laneRule, isStrict: isStrict))
            return
        }
        self = .messages(
            EventRouter(
                plans: pass.plans,
                readings: pass.readings,
                settings: pass.streams.first?.settings ?? SourceSettings(name: ""),
                sourceIndex: pass.streams.first?.sourceIndex ?? 0,
                lanes: pass.lanes,
                laneRule: pass.laneRule,
                isStrict: isStrict
            )
        )
    }

    mutating func use(_ readings: DetectedReadings) {
        switch consume self {
        case .messages(var router):
            router.use(readings)
            self = .messages(router)
        case .timeline(let router): self = .timeline(router)
        }
    }

    mutating func route(_ block: MessageBlock, of stream: EventRouter.Stream) -> EventRouter.Routed {
        switch consume self {
        case .messages(var router):
            let routed = router.route(block, of: stream)
            self = .messages(router)
            return routed
        case .timeline(var router):
            let routed = router.route(block, of: stream)
            self = .timeline(router)
            return routed
        }
    }
}
