import TidemarkCore

/// What the projections of all kinds make of a decoded message.
enum FuzzStaging {
    /// - Returns: what must not be; `nil` when all is well.
    static func problem(in message: DecodedMessage, _ settings: SourceSettings, isThorough: Bool) -> String? {
        for plan in Self.plans {
            for event in message.events where event.operation != .truncate {
                // A changeEncoder of its own for each event: which kind of position came first must not matter here.
                var changeEncoder = ChangeEncoder(plan: plan, index: 0)
                if let problem = Self.problem(event, of: message, settings, &changeEncoder, isThorough) {
                    return "\(plan.name): \(problem)"
                }
            }
        }
        return nil
    }

    private static func problem(
        _ event: ChangeEvent,
        of message: DecodedMessage,
        _ settings: SourceSettings,
        _ changeEncoder: inout ChangeEncoder,
        _ isThorough: Bool
    ) -> String? {
        let offset = StreamOffset(major: 0, row: UInt32(clamping: event.row))
        let stream = StreamID(rawValue: 1)
        let origin = ChangeEncoder.Origin(settings: settings, sourceIndex: 0, stream: stream, offset: offset)
        var segments = Array(repeating: LaneSegment(stream: stream, start: .start, end: .start), count: 3)
        let outcome = changeEncoder.encode(event, of: message, from: origin, into: &segments)
        let items = segments.flatMap { segment in segment.items.map { (segment, $0) } }
        switch outcome {
        case .rejected(let rejection):
            return items.isEmpty ? FuzzHarness.problem(in: rejection) : "rejected and encoded"
        case .filtered: break
        case .encoded where items.isEmpty: return "encoded, and nothing is there"
        case .encoded: break
        }
        for (run, item) in items {
            let ranges = [
                item.key, item.keyFields, item.valueFields, item.orderKey, item.sequence, item.image, item.position,
            ]
            guard ranges.allSatisfy({ $0.range.upperBound <= run.bytes.count }) else {
                return "a encoded range outside"
            }
            guard item.kind == .change else { continue }
            guard !item.orderKey.isEmpty, !item.key.isEmpty || changeEncoder.plan.keyColumns.count == 1 else {
                return "a encoded event without key or order"
            }
            if let problem = Self.problem(inImage: item, run) { return problem }
        }
        guard isThorough else { return nil }
        var again = Array(repeating: LaneSegment(stream: stream, start: .start, end: .start), count: 3)
        _ = changeEncoder.encode(event, of: message, from: origin, into: &again)
        for (left, right) in zip(segments, again) where left.bytes != right.bytes {
            return "encoded twice, in two ways"
        }
        return nil
    }

    /// The timeline parses images as `jsonb`: a database that refuses one stops the lane.
    static func problem(inImage item: EncodedChange, _ run: LaneSegment) -> String? {
        guard !item.image.isEmpty else { return nil }
        let image = Array(run.bytes[item.image.range])
        guard image.first == UInt8(ascii: "{") else { return nil }
        var canonical: [UInt8] = []
        do throws(JSONText.Failure) {
            try JSONText.appendCanonical(image.span, to: &canonical)
            return nil
        } catch {
            return error == .tooDeep ? nil : "an image that is no JSON: \(String(decoding: image, as: UTF8.self))"
        }
    }

    // MARK: Projections

    private static let plans: [ProjectionPlan] = [typed, whole, composite, tagged].map { ProjectionPlan($0) }

    /// Every type, over the names that the samples use.
    private static var typed: ProjectionDefinition {
        var definition = ProjectionDefinition(
            name: "typed",
            from: ["*.*"],
            key: ["id"],
            sequence: [.column("version", type: .numeric(precision: nil, scale: 0))]
        )
        let types: [(String, ColumnType)] = [
            ("id", .text), ("status", .varchar(length: 16)), ("amount", .numeric(precision: 12, scale: 2)),
            ("version", .bigint), ("updated_at", .timestamptz), ("note", .text), ("doc", .jsonb), ("raw", .bytea),
            ("day", .date), ("us", .timestamp), ("tod", .time), ("bool", .boolean), ("d", .real),
            ("n", .doublePrecision),
            ("u", .uuid), ("big", .numeric(precision: nil, scale: 0)),
        ]
        definition.columns = types.map {
            .init(name: $0, type: $1, isUnsigned: $0 == "big", absentValue: $0 == "note" ? .some(nil) : nil)
        }
        definition.state = .init(column: "status", map: ["3": "shipped"])
        definition.lifecycle = Lifecycle(initial: "created", transitions: ["created": ["paid"], "paid": ["shipped"]])
        definition.milestones = [Milestone(name: "shipped", state: "shipped")]
        return definition
    }

    private static var whole: ProjectionDefinition {
        ProjectionDefinition(name: "whole", from: ["*.*"], key: ["id"], sequence: [.position])
    }

    private static var composite: ProjectionDefinition {
        var definition = ProjectionDefinition(
            name: "composite",
            from: ["*.*"],
            key: ["status", "id"],
            sequence: [.eventTime, .column("updated_at", type: .timestamptz), .position]
        )
        definition.columns = [
            .init(name: "id", type: .bigint), .init(name: "status", type: .text),
            .init(name: "amount", type: .numeric(precision: 10, scale: 3), encoding: .decimalBase64),
            .init(name: "raw", type: .bytea, encoding: .latin1),
        ]
        return definition
    }

    private static var tagged: ProjectionDefinition {
        var definition = ProjectionDefinition(name: "tagged", from: ["*.*"], key: ["id"], sequence: [.received])
        definition.tags = .init(column: "status", accepted: ["paid", "PAID", "shipped", "SHIPPED"])
        definition.timeline = false
        return definition
    }
}
