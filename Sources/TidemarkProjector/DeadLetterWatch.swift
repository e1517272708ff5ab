import TidemarkCore

/// Watches `max_dead_letters`: a share of the messages once there are enough to speak of one, or a plain count.
struct DeadLetterWatch {
    private let limit: DeadLetterLimit
    private var messages: Int64
    private var deadLetters: Int64
    private static let messagesMin: Int64 = 10_000

    init(_ limit: DeadLetterLimit, earlier: PassSummary) {
        self.limit = limit
        self.messages = earlier.messages
        self.deadLetters = earlier.deadLetters
    }

    mutating func count(messages: Int, deadLetters: Int) {
        self.messages += Int64(messages)
        self.deadLetters += Int64(deadLetters)
    }

    /// The limit that has been passed, in words.
    var exceeded: String? {
        switch self.limit {
        case .count(let most):
            return self.deadLetters > Int64(most)
                ? "\(self.deadLetters) dead letters, max_dead_letters is \(most)" : nil
        case .fraction(let share):
            guard self.messages >= Self.messagesMin, Double(self.deadLetters) > share * Double(self.messages) else {
                return nil
            }
            return "\(self.deadLetters) of \(self.messages) messages are dead letters, max_dead_letters is "
                + "\(share * 100)%"
        }
    }
}
