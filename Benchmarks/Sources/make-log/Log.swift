/// A history of orders, and the sequence in which its events arrive.
struct Log {
    enum Shape: String, CaseIterable {
        /// Orders live a few thousand events, and arrival is disordered within ``disorder``.
        case hot
        /// Every order steps once a round: nearly every event changes a row, and nothing can be coalesced.
        case steady
        /// The steady history, fully shuffled: most events are late.
        case cold
    }

    static let versions = 8
    /// How many events an order of the hot shape lives, at most.
    private static let lifetime = 4_000
    private static let disorder = 500
    /// One repeat for so many events.
    private static let repeatEvery = 50
    /// How far back a recent line may lie.
    private static let recent = 4_000

    let shape: Shape
    let orders: Int
    let seed: UInt64
    /// The events in the order in which they happened: order * 8 + version - 1, orders counted from 0.
    private let history: [UInt32]
    /// Where an event stands in the history.
    private let places: [UInt32]
    /// The events in the order in which they arrive, each once.
    private let arrival: [UInt32]

    /// An event to write a line of.
    struct Event {
        var order: Int
        var version: Int
        var place: Int
        /// Where the order's event before this one stands.
        var formerPlace: Int?
    }

    init(_ shape: Shape, orders: Int, seed: UInt64) {
        self.shape = shape
        self.orders = orders
        self.seed = seed
        var random = SplitMix64(seed: seed)
        switch shape {
        case .hot:
            self.history = Self.overlapping(orders: orders, &random)
            self.arrival = Self.disordered(self.history, &random)
        case .steady, .cold:
            self.history = (0..<Self.versions).flatMap { version in
                (0..<orders).map { order in UInt32(order * Self.versions + version) }
            }
            self.arrival = shape == .steady ? self.history : Self.shuffled(self.history, &random)
        }
        var places = [UInt32](repeating: 0, count: self.history.count)
        for (place, event) in self.history.enumerated() { places[Int(event)] = UInt32(place) }
        self.places = places
    }

    /// Gives `body` every line's event in order of arrival: repeats stand between the others, each of a recent line or of
    /// any before.
    func forEachArrival(_ body: (Event) -> Void) {
        var random = SplitMix64(seed: self.seed ^ 0x7265_7065_6174)
        for (index, event) in self.arrival.enumerated() {
            body(self.event(event))
            guard (index + 1) % Self.repeatEvery == 0 else { continue }
            let isRecent =
                switch self.shape {
                case .hot: true
                case .steady: random.below(2) == 0
                case .cold: false
                }
            let reach = isRecent ? min(Self.recent, index + 1) : index + 1
            body(self.event(self.arrival[index - random.below(reach)]))
        }
    }

    private func event(_ number: UInt32) -> Event {
        let (order, version) = Int(number).quotientAndRemainder(dividingBy: Self.versions)
        return Event(
            order: order,
            version: version + 1,
            place: Int(self.places[Int(number)]),
            formerPlace: version == 0 ? nil : Int(self.places[Int(number) - 1])
        )
    }

    /// An order is made every eighth event, and takes its steps within ``lifetime``.
    private static func overlapping(orders: Int, _ random: inout SplitMix64) -> [UInt32] {
        var timed: [UInt64] = []
        timed.reserveCapacity(orders * Self.versions)
        for order in 0..<orders {
            let steps = (0..<Self.versions).map { _ in random.below(Self.lifetime) }.sorted()
            for (version, step) in steps.enumerated() {
                let event = order * Self.versions + version
                timed.append(UInt64(order * Self.versions + step) << 32 | UInt64(event))
            }
        }
        timed.sort()
        return timed.map { UInt32(truncatingIfNeeded: $0) }
    }

    private static func disordered(_ events: [UInt32], _ random: inout SplitMix64) -> [UInt32] {
        var moved = events.indices.map { UInt64($0 + random.below(Self.disorder)) << 32 | UInt64($0) }
        moved.sort()
        return moved.map { events[Int($0 & 0xFFFF_FFFF)] }
    }

    private static func shuffled(_ events: [UInt32], _ random: inout SplitMix64) -> [UInt32] {
        var events = events
        for last in stride(from: events.count - 1, to: 0, by: -1) {
            events.swapAt(last, random.below(last + 1))
        }
        return events
    }
}
