#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// `make-log hot|steady|cold [--orders N] [--seed S]`: the data of the comparison, to standard output.
///
/// Lines as Maxwell writes them, eight for each order, and a repeat after every fiftieth. With `--floor` not the lines, but
/// what is left of them to be done by a database: the rows that win in each batch of 20,000, as binary COPY data, each
/// batch with its length (four bytes, network order) before it.
@main
enum Main {
    private static let batchEvents = 20_000

    static func main() {
        var shape: Log.Shape?
        var orders = 125_000
        var seed: UInt64 = 5
        var isFloor = false
        var arguments = CommandLine.arguments.dropFirst()
        while let argument = arguments.popFirst() {
            switch argument {
            case "--orders": orders = arguments.popFirst().flatMap { Int($0) } ?? 0
            case "--seed": seed = arguments.popFirst().flatMap { UInt64($0) } ?? seed
            case "--floor": isFloor = true
            default: shape = Log.Shape(rawValue: argument)
            }
        }
        guard let shape, (1...10_000_000).contains(orders) else {
            let usage: StaticString = "make-log hot|steady|cold [--orders N] [--seed S] [--floor]\n"
            write(STDERR_FILENO, usage.utf8Start, usage.utf8CodeUnitCount)
            exit(64)
        }
        let log = Log(shape, orders: orders, seed: seed)
        if isFloor {
            Self.writeFloor(log)
        } else {
            Self.writeLines(log)
        }
    }

    private static func writeLines(_ log: Log) {
        var output = Output()
        log.forEachArrival { event in
            output.appendMaxwell(Row(event, seed: log.seed), event)
            output.flushIfFull()
        }
        output.flush()
    }

    private static func writeFloor(_ log: Log) {
        var output = Output()
        var greatest = [Int](repeating: 0, count: log.orders)
        var winners: [Int: Log.Event] = [:]
        var count = 0
        log.forEachArrival { event in
            count += 1
            if event.version > greatest[event.order] {
                greatest[event.order] = event.version
                winners[event.order] = event
            }
            guard count % Self.batchEvents == 0 else { return }
            Self.writeBatch(winners, log, &output)
            winners.removeAll(keepingCapacity: true)
        }
        Self.writeBatch(winners, log, &output)
        output.flush()
    }

    private static func writeBatch(_ winners: [Int: Log.Event], _ log: Log, _ output: inout Output) {
        guard !winners.isEmpty else { return }
        let rows = winners.sorted { $0.key < $1.key }.map { Row($0.value, seed: log.seed) }
        let size = rows.reduce(Output.copyHeader.count + Output.copyTrailer.count) { $0 + Output.tupleSize($1) }
        output.append(bigEndian: Int32(size))
        output.append(Output.copyHeader)
        for row in rows {
            output.appendTuple(row)
            output.flushIfFull()
        }
        output.append(Output.copyTrailer)
    }
}
