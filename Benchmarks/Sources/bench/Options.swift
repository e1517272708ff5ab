#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What `bench` is asked to do.
struct Options {
    static let usage = """
        bench [options]: the comparison that Benchmarks/README.md describes, from the repository's folder.

          --rounds N        how often each contestant runs on each data (default: 3)
          --data NAME       only hot, steady or cold; may be repeated
          --only PATTERN    only these contestants, decode or latency; may be repeated: 'tidemark*'
          --orders N        orders in the data, eight events each (default: 125000)
          --seed S          of the data (default: 5)
          --large           ten times the steady data too, for Tidemark with two lanes
          --before DIR      compare two builds of Tidemark instead: the one in this folder and the one in --programs
          --shared          measure what several processes on one projection cost instead
          --pairs N         with --before or --shared: how often each runs on each data (default: 10)
          --benchmarks DIR  this package's folder (default: Benchmarks)
          --programs DIR    where tidemark and decode-benchmark are (default: .build/release)

        """

    /// With fewer, how long programs take to start decides.
    static let ordersInFull = 125_000

    var rounds = 3
    /// The folder of the `tidemark` that the present one is compared with.
    var before: String?
    var pairs = 10
    var isShared = false
    var shapes: [Shape] = []
    var patterns: [String] = []
    var orders = Self.ordersInFull
    var seed = 5
    var isLarge = false
    var benchmarks = "Benchmarks"
    var programs = ".build/release"

    var isFull: Bool { self.orders >= Self.ordersInFull }

    init(_ arguments: some Sequence<String>) throws(BenchmarkError) {
        var rest = Array(arguments)[...]
        while let option = rest.popFirst() {
            switch option {
            case "--rounds": self.rounds = try Self.number(option, &rest)
            case "--orders": self.orders = try Self.number(option, &rest)
            case "--seed": self.seed = try Self.number(option, &rest)
            case "--only": self.patterns.append(try Self.value(option, &rest))
            case "--benchmarks": self.benchmarks = try Self.value(option, &rest)
            case "--programs": self.programs = try Self.value(option, &rest)
            case "--before": self.before = try Self.value(option, &rest)
            case "--pairs": self.pairs = try Self.number(option, &rest)
            case "--shared": self.isShared = true
            case "--large": self.isLarge = true
            case "--data":
                let name = try Self.value(option, &rest)
                guard let shape = Shape(rawValue: name), shape != .large else {
                    throw BenchmarkError("there is no data called \(name)")
                }
                self.shapes.append(shape)
            default: throw BenchmarkError("what is \(option)?\n\n\(Self.usage)")
            }
        }
        if self.shapes.isEmpty { self.shapes = [.hot, .cold, .steady] }
        if self.isLarge { self.shapes.append(.large) }
    }

    /// Whether a contestant or another measurement is asked for.
    func includes(_ name: String) -> Bool {
        self.patterns.isEmpty || self.patterns.contains { fnmatch($0, name, 0) == 0 }
    }

    private static func value(_ option: String, _ rest: inout ArraySlice<String>) throws(BenchmarkError) -> String {
        guard let value = rest.popFirst() else { throw BenchmarkError("\(option) needs a value") }
        return value
    }

    private static func number(_ option: String, _ rest: inout ArraySlice<String>) throws(BenchmarkError) -> Int {
        let text = try Self.value(option, &rest)
        guard let number = Int(text), number > 0 else { throw BenchmarkError("\(option) needs a number, not \(text)") }
        return number
    }
}

/// A data set. The first three are `make-log`'s.
enum Shape: String {
    case hot, steady, cold
    /// Steady, ten times as long. Runs behind it.
    case large

    /// What `make-log` calls it.
    var log: String { self == .large ? Self.steady.rawValue : self.rawValue }

    func orders(_ options: Options) -> Int { self == .large ? options.orders * 10 : options.orders }
}

/// Why there is no result. The run ends with it.
struct BenchmarkError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
