package import TidemarkCore
package import TidemarkIngest

/// Settles the kind of position of projections by `$position` that neither declare it nor have one from before: it is
/// the kind that most messages at the beginning of the files carry. Counting does not care which of them came first.
package struct PositionSurvey {
    /// The kind of each projection for which it is settled.
    package private(set) var kinds: [String: Position.Kind]
    /// Of projections for which it is not.
    private var counts: [String: [Position.Kind: Int]] = [:]
    private let plans: [ProjectionPlan]
    private var message = DecodedMessage()

    /// - Parameter known: kinds that earlier runs have settled.
    package init(_ plans: [ProjectionPlan], known: [String: Position.Kind] = [:]) {
        self.plans = plans.filter { $0.definition.sequence.contains(.position) }
        self.kinds = known
        for plan in self.plans {
            if let declared = plan.definition.positionKind { self.kinds[plan.name] = declared }
        }
    }

    /// Whether there is anything to settle yet.
    package var isOpen: Bool { self.plans.contains { self.kinds[$0.name] == nil } }

    /// Counts what the first lines of each file carry. A pipe has no beginning that could be read twice.
    package mutating func count(beginningsOf files: [(file: InputFile, settings: SourceSettings)], messageBytesMax: Int)
    {
        guard self.isOpen else { return }
        for (file, settings) in files where file.kind == .regular {
            // Whatever is wrong with a file is found again, and told, when it is its turn.
            guard let reader = try? LineReader(file, messageBytesMax: messageBytesMax, interrupt: Interrupt()),
                let block = try? reader.nextBlock()
            else { continue }
            self.count(block, settings)
        }
    }

    package mutating func count(_ block: LineBlock, _ settings: SourceSettings) {
        guard self.isOpen else { return }
        var decoder = MessageDecoder(settings: settings)
        for line in block.lines where !line.isOversized {
            block.bytes.withUnsafeBytes {
                decoder.decode(UnsafeRawBufferPointer(rebasing: $0[line.range]), into: &self.message)
            }
            for event in self.message.events { self.count(event, table: self.message.text(event.table)) }
        }
    }

    package mutating func count(_ event: ChangeEvent, table: String) {
        guard let kind = event.position?.kind else { return }
        for plan in self.plans where self.kinds[plan.name] == nil && plan.takes(table: table) {
            self.counts[plan.name, default: [:]][kind, default: 0] += 1
        }
    }

    /// Closes the count of every projection that has one.
    /// - Returns: the kinds that are settled now and were not before.
    package mutating func settle() -> [String: Position.Kind] {
        let settled = self.counts.compactMapValues { counts in
            counts.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }?.key
        }
        self.counts = [:]
        self.kinds.merge(settled) { known, _ in known }
        return settled
    }

    /// How many positions of each kind were counted for a projection that takes one kind only, the most frequent first.
    package func mixture(of projection: String) -> [(kind: Position.Kind, count: Int)] {
        let counts = self.counts[projection] ?? [:]
        guard counts.count > 1 else { return [] }
        return counts.map { ($0.key, $0.value) }.sorted { ($0.1, $0.0.rawValue) > ($1.1, $1.0.rawValue) }
    }
}
