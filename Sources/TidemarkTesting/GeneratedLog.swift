import Foundation

/// A log of a shop's orders, as Maxwell writes it, made from a seed; and what a read model of it must come to, counted
/// by the shop itself. It is written as a stream: memory is bounded by the orders that are open and the window.
package struct GeneratedLog: Sendable {
    /// How the lines of the log, committed one after the other at the shop, arrive.
    package enum Arrival: Sendable, Hashable {
        case inOrder
        case reversed
        /// A line is overtaken only by lines from a window of so many.
        case windowShuffled(Int)
        case shuffled
    }

    /// What must be in the read model once everything has been read.
    package struct Totals: Sendable, Equatable {
        package var entities = 0
        /// Distinct events, each a version of its order: nothing is ever deleted.
        package var events = 0
        package var shipped = 0
        package var cancelled = 0
        /// Orders by the state they end in.
        package var states: [String: Int] = [:]
        /// Lines written, repeats included.
        package var lines = 0
        package var bytes = 0

        /// One row for each version.
        package var historyRows: Int { self.events }
    }

    package var orders = 10_000
    package var seed: UInt64
    package var arrival = Arrival.inOrder
    /// So many of 100 lines come twice, and some of those three times.
    package var repeatedPercent = 0
    /// Orders that are under way at the same time.
    package var openOrders = 400

    package init(orders: Int = 10_000, seed: UInt64, arrival: Arrival = .inOrder, repeatedPercent: Int = 0) {
        self.orders = orders
        self.seed = seed
        self.arrival = arrival
        self.repeatedPercent = repeatedPercent
    }

    /// Where an order may go, and how often of 100 it does; the rest stays.
    private static let steps: [String: [(state: String, percent: Int)]] = [
        "created": [("paid", 95), ("cancelled", 5)],
        "paid": [("shipped", 97), ("refunded", 3)],
        "shipped": [("delivered", 94), ("returned", 2)],
        "delivered": [("completed", 30), ("returned", 3)],
    ]

    /// The same lifecycle for a projection.
    package static let lifecycle = """
        lifecycle:
          initial: created
          transitions:
            created: [paid, cancelled]
            paid: [shipped, refunded]
            shipped: [delivered, returned]
            delivered: [completed, returned]
        """

    private struct Order {
        var id: Int64
        var customer: String
        var status: String
        var version = 0
        var cents: Int
        var hasShipped = false
    }

    /// Writes the log to `path`.
    /// - Complexity: O(lines); memory for the window, all lines where that is the whole log.
    package func write(to path: String) throws -> Totals {
        var generator = SeededGenerator(seed: self.seed)
        var totals = Totals()
        var output = try LineOutput(path: path)
        var window = Window(self.arrival, repeatedPercent: self.repeatedPercent, generator: generator.fork(1))
        var open: [Order] = []
        var position = 4
        var clock: Int64 = 1_772_323_200
        while totals.entities < self.orders || !open.isEmpty {
            clock += Int64.random(in: 0...9, using: &generator)
            let isFull = open.count >= self.openOrders || totals.entities >= self.orders
            let index: Int
            if !open.isEmpty, isFull || generator.chance(70) {
                index = Int.random(in: 0..<open.count, using: &generator)
            } else {
                totals.entities += 1
                open.append(Self.order(number: totals.entities, &generator))
                index = open.count - 1
            }
            let before = open[index]
            guard let after = Self.advanced(before, &generator) else {
                Self.close(before, &totals)
                open.swapAt(index, open.count - 1)
                open.removeLast()
                continue
            }
            open[index] = after
            totals.events += 1
            let line = Self.line(after, before: before, position: position, clock: clock, number: totals.events)
            position += line.utf8.count
            try window.add(line, to: &output)
        }
        try window.finish(&output)
        try output.close()
        totals.lines = output.lines
        totals.bytes = output.bytes
        return totals
    }

    private static func order(number: Int, _ generator: inout SeededGenerator) -> Order {
        // Beyond what a Double can tell apart.
        Order(
            id: 9_007_199_254_740_993 + 2 * Int64(number),
            customer: "c-\(generator.next() % 5000)",
            status: "",
            cents: Int.random(in: 100...99_999, using: &generator)
        )
    }

    /// - Returns: `nil` when the order stays where it is for good.
    private static func advanced(_ order: Order, _ generator: inout SeededGenerator) -> Order? {
        var next = order
        next.version += 1
        if order.version == 0 {
            next.status = "created"
            return next
        }
        var draw = Int.random(in: 0..<100, using: &generator)
        for step in Self.steps[order.status] ?? [] {
            if draw < step.percent {
                next.status = step.state
                next.hasShipped = next.hasShipped || step.state == "shipped"
                return next
            }
            draw -= step.percent
        }
        return nil
    }

    private static func close(_ order: Order, _ totals: inout Totals) {
        totals.states[order.status, default: 0] += 1
        if order.hasShipped { totals.shipped += 1 }
        if order.status == "cancelled" { totals.cancelled += 1 }
    }

    private static func line(_ order: Order, before: Order, position: Int, clock: Int64, number: Int) -> String {
        let type = order.version == 1 ? "insert" : "update"
        let amount = "\(order.cents / 100).\(order.cents % 100 / 10)\(order.cents % 10)"
        let old = order.version == 1 ? "" : #","old":{"status":"\#(before.status)","version":\#(before.version)}"#
        return #"{"database":"shop","table":"orders","type":"\#(type)","ts":\#(clock),"xid":\#(number),"commit":true,"#
            + #""position":"mysql-bin.000042:\#(position)","data":{"id":\#(order.id),"customer":"\#(order.customer)","#
            + #""status":"\#(order.status)","version":\#(order.version),"amount":\#(amount),"#
            + #""updated_at":"\#(Self.dateTime(clock, number))"}\#(old)}"#
    }

    /// A MySQL DATETIME(6), in UTC.
    private static func dateTime(_ clock: Int64, _ number: Int) -> String {
        var seconds = time_t(clock)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        return String(
            format: "%04d-%02d-%02d %02d:%02d:%02d.%06d",
            Int(parts.tm_year) + 1900,
            Int(parts.tm_mon) + 1,
            Int(parts.tm_mday),
            Int(parts.tm_hour),
            Int(parts.tm_min),
            Int(parts.tm_sec),
            number % 1_000_000
        )
    }
}

/// Holds lines back until they are due: the arrival order.
private struct Window {
    private let arrival: GeneratedLog.Arrival
    private let repeatedPercent: Int
    private var generator: SeededGenerator
    private var held: [String] = []

    init(_ arrival: GeneratedLog.Arrival, repeatedPercent: Int, generator: SeededGenerator) {
        self.arrival = arrival
        self.repeatedPercent = repeatedPercent
        self.generator = generator
    }

    private var size: Int {
        switch self.arrival {
        case .inOrder: self.repeatedPercent > 0 ? 100 : 0
        case .windowShuffled(let window): window
        case .reversed, .shuffled: .max
        }
    }

    mutating func add(_ line: String, to output: inout LineOutput) throws {
        self.held.append(line)
        if self.held.count > self.size { try self.release(&output) }
    }

    private mutating func release(_ output: inout LineOutput) throws {
        switch self.arrival {
        case .inOrder: try self.write(self.held.removeFirst(), &output)
        case .reversed: try self.write(self.held.removeLast(), &output)
        case .shuffled, .windowShuffled:
            let index = Int.random(in: 0..<self.held.count, using: &self.generator)
            self.held.swapAt(index, self.held.count - 1)
            try self.write(self.held.removeLast(), &output)
        }
    }

    private mutating func write(_ line: String, _ output: inout LineOutput) throws {
        try output.write(line)
        guard self.generator.chance(self.repeatedPercent) else { return }
        // At once, or behind lines that were committed after it.
        if self.held.isEmpty || self.generator.chance(30) || self.arrival == .reversed {
            try output.write(line)
        } else {
            self.held.insert(line, at: Int.random(in: 0...self.held.count, using: &self.generator))
        }
    }

    mutating func finish(_ output: inout LineOutput) throws {
        while !self.held.isEmpty { try self.release(&output) }
    }
}

/// A file that is written line by line.
private struct LineOutput {
    private let handle: FileHandle
    private var buffer = Data()
    private(set) var lines = 0
    private(set) var bytes = 0

    init(path: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let handle = FileHandle(forWritingAtPath: path)
        else { throw CocoaError(.fileWriteUnknown) }
        self.handle = handle
    }

    mutating func write(_ line: String) throws {
        self.buffer.append(contentsOf: line.utf8)
        self.buffer.append(UInt8(ascii: "\n"))
        self.lines += 1
        self.bytes += line.utf8.count + 1
        if self.buffer.count > 1 << 20 { try self.flush() }
    }

    private mutating func flush() throws {
        try self.handle.write(contentsOf: self.buffer)
        self.buffer.removeAll(keepingCapacity: true)
    }

    mutating func close() throws {
        try self.flush()
        try self.handle.close()
    }
}
