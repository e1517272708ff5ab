/// What is to happen to a log's order, repetition and clocks. The same settings and the same log give the same bytes.
package struct DisorderSettings: Sendable, Hashable {
    /// Who is taken to have written a message, and so whose clock it carries.
    package enum Producer: Sendable, Hashable {
        /// Any of them: events of one row come from different producers, as behind a load balancer.
        case message
        /// One for all messages of a row, by the value of this column.
        case key(column: String)
        /// The server that the message names.
        case server
    }

    package var seed: UInt64
    /// A message moves by at most so many positions.
    package var window = 0
    /// Any order at all; the log is held in memory.
    package var isShuffled = false
    /// How many of 100 messages come a second time, some positions later.
    package var repeatPercent = 0.0
    package var dropPercent = 0.0
    /// How many of 100 batches are sent again behind the batch that follows them: A B A C.
    package var resendPercent = 0.0
    package var batchMessages = 50
    /// Each producer's clock is off by at most so many seconds, either way.
    package var skewSeconds = 0
    package var producers = 3
    package var producer = Producer.message

    package init(seed: UInt64) {
        self.seed = seed
    }

    /// How far behind its first a repeat may come.
    var repeatDelayMax: Int { max(self.window, 100) }
}

/// What was done to a log.
package struct DisorderCounts: Sendable, Hashable {
    package var read = 0
    package var dropped = 0
    package var repeated = 0
    package var resent = 0
    /// Messages whose timestamps were shifted.
    package var skewed = 0
    package var written = 0
}
