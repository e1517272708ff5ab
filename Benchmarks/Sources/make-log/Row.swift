/// The nine columns of an order after one of its changes. The same for one seed, order and version everywhere.
struct Row {
    private static let statuses: [StaticString] = [
        "created", "paid", "packed", "shipped", "in_transit", "delivered", "confirmed", "completed",
    ]
    private static let currencies: [StaticString] = ["EUR", "USD", "CNY", "SEK", "PLN"]
    private static let cities: [StaticString] = [
        "Hamburg", "München", "Lyon", "Göteborg", "Porto", "Kraków", "Shenzhen", "Boston", "Valencia", "Utrecht",
    ]
    private static let notes: [StaticString] = [
        "ring twice", "a gift", "no invoice", "by noon", "2nd floor", "leave it outside", "call first",
    ]
    /// 2026-03-01 00:00:00 UTC.
    private static let start = 1_772_323_200
    /// How many events happen in a second.
    private static let eventsPerSecond = 50

    let id: Int
    let version: Int
    let customer: Int
    let cents: Int
    let currency: StaticString
    let city: StaticString
    let note: StaticString
    /// Seconds since 1970.
    let updatedAt: Int

    var status: StaticString { Self.statuses[self.version - 1] }
    var formerStatus: StaticString { Self.statuses[self.version - 2] }

    init(_ event: Log.Event, seed: UInt64) {
        var random = SplitMix64(seed: seed &+ UInt64(event.order) &* 0xD134_2543_DE82_EF95)
        self.id = event.order + 1
        self.version = event.version
        self.customer = random.below(100_000_000)
        // A change of the price on the way, so that rows of different versions cannot be mixed unnoticed.
        self.cents = random.below(1_000_000) + (event.version > 4 ? 250 : 0)
        self.currency = Self.currencies[random.below(Self.currencies.count)]
        self.city = Self.cities[random.below(Self.cities.count)]
        self.note = Self.notes[random.below(Self.notes.count)]
        self.updatedAt = Self.second(of: event.place)
    }

    /// When the event at a place of the history happened, in seconds since 1970.
    static func second(of place: Int) -> Int {
        Self.start + place / Self.eventsPerSecond
    }
}
