import TidemarkCore

/// Brings a log into the disorder that its settings describe: messages are dropped, their clocks shifted, batches sent
/// again, messages repeated, and all that is left moved about, in this order.
///
/// Every kind of disorder draws from numbers of its own, so that taking one away leaves the others as they were: that
/// is how a case for a bug report gets small. Memory is bounded by the window, or the reach of a repeat, and two
/// batches; only a shuffle holds the whole log.
package struct Disorder: ~Copyable {
    package private(set) var counts = DisorderCounts()

    private let settings: DisorderSettings
    private var skew: ClockSkew?
    private var drops: SplitMix64
    private var resends: SplitMix64
    private var repeats: SplitMix64
    private var delays: SplitMix64
    /// The last whole batch, and the one that is being filled.
    private var lastBatch: [[UInt8]] = []
    private var batch: [[UInt8]] = []
    /// What leaves at each of the next positions; a ring.
    private var slots: [[[UInt8]]]
    private var position = 0
    private var shuffled: [[UInt8]] = []

    package init(_ settings: DisorderSettings) {
        func generator(_ number: UInt64) -> SplitMix64 {
            SplitMix64(seed: SplitMix64.mix(settings.seed &+ number &* 0xD6E8_FEB8_6659_FD93))
        }
        self.settings = settings
        self.drops = generator(1)
        self.resends = generator(2)
        self.repeats = generator(3)
        self.delays = generator(4)
        self.skew = settings.skewSeconds > 0 ? ClockSkew(settings) : nil
        let reach = settings.repeatPercent > 0 ? settings.repeatDelayMax : settings.window
        self.slots = Array(repeating: [], count: settings.isShuffled ? 1 : reach + 1)
    }

    /// Takes the next message, and gives out those whose position has come.
    package mutating func take(_ message: [UInt8], _ emit: ([UInt8]) throws -> Void) rethrows {
        self.counts.read += 1
        if self.settings.dropPercent > 0, self.drops.chance(self.settings.dropPercent) {
            self.counts.dropped += 1
            return
        }
        var message = message
        if let shifted = self.skew?.shifted(message) {
            self.counts.skewed += 1
            message = shifted
        }
        try self.send(message, emit)
        guard self.settings.resendPercent > 0 else { return }
        self.batch.append(message)
        guard self.batch.count >= self.settings.batchMessages else { return }
        if !self.lastBatch.isEmpty, self.resends.chance(self.settings.resendPercent) {
            for message in self.lastBatch { try self.send(message, emit) }
            self.counts.resent += self.lastBatch.count
        }
        swap(&self.lastBatch, &self.batch)
        self.batch.removeAll(keepingCapacity: true)
    }

    /// The log has ended: gives out the rest.
    package mutating func finish(_ emit: ([UInt8]) throws -> Void) rethrows {
        if self.settings.isShuffled {
            // Fisher and Yates, from the end.
            var rest = self.shuffled.count
            while rest > 1 {
                let chosen = self.delays.below(rest)
                rest -= 1
                self.shuffled.swapAt(rest, chosen)
            }
            for message in self.shuffled { try self.write(message, emit) }
            self.shuffled = []
            return
        }
        for _ in self.slots.indices { try self.leave(emit) }
    }

    /// Gives a message, and its repeat if it has one, a position not far away.
    private mutating func send(_ message: [UInt8], _ emit: ([UInt8]) throws -> Void) rethrows {
        let isRepeated = self.settings.repeatPercent > 0 && self.repeats.chance(self.settings.repeatPercent)
        if isRepeated { self.counts.repeated += 1 }
        if self.settings.isShuffled {
            self.shuffled.append(message)
            if isRepeated { self.shuffled.append(message) }
            return
        }
        let delay = self.settings.window > 0 ? self.delays.below(self.settings.window + 1) : 0
        self.slots[(self.position + delay) % self.slots.count].append(message)
        if isRepeated {
            let delay = 1 + self.repeats.below(self.settings.repeatDelayMax)
            self.slots[(self.position + delay) % self.slots.count].append(message)
        }
        try self.leave(emit)
    }

    /// Gives out what leaves at this position, the newest first: so that in a window of one neighbours are exchanged, and
    /// a repeat comes behind what was not moved.
    private mutating func leave(_ emit: ([UInt8]) throws -> Void) rethrows {
        let index = self.position % self.slots.count
        for message in self.slots[index].reversed() { try self.write(message, emit) }
        self.slots[index].removeAll(keepingCapacity: true)
        self.position += 1
    }

    private mutating func write(_ message: [UInt8], _ emit: ([UInt8]) throws -> Void) rethrows {
        self.counts.written += 1
        try emit(message)
    }
}
