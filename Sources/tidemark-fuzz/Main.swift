import Foundation
import TidemarkFuzzing

/// `tidemark-fuzz [--seconds N] [--seed N] [--number N] [--corpus DIR] [--finds DIR]`: feeds the decoders broken
/// messages, and keeps those that crash them, hang them or come out wrong.
///
/// Ends with 1 when there was one, or when memory kept growing. With the seed it prints, and a find's number, the same
/// input is made again.
@main
enum Main {
    static func main() {
        do {
            let options = try Options(Array(CommandLine.arguments.dropFirst()))
            if options.isWorker { try Worker(options: options).run() }
            var supervisor = try Supervisor(options: options)
            exit(try supervisor.run() ? 0 : 1)
        } catch {
            FileHandle.standardError.write(Data("tidemark-fuzz: \(error)\n".utf8))
            exit(64)
        }
    }
}

struct Failure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

struct Options {
    var seconds = 600
    var seed = UInt64.random(in: 0..<1_000_000_000)
    /// The number of the first input.
    var number: UInt64 = 0
    var corpus = URL(fileURLWithPath: "fixtures")
    var finds = URL(fileURLWithPath: "fixtures/fuzz")
    var isWorker = false
    /// The file that supervisor and worker share.
    var shared = ""

    init(_ arguments: [String]) throws {
        var rest = arguments.makeIterator()
        while let name = rest.next() {
            func value<T>(_ read: (String) -> T?) throws -> T {
                guard let text = rest.next(), let value = read(text) else { throw Failure("\(name) needs a value") }
                return value
            }
            switch name {
            case "--seconds": self.seconds = try value { Int($0) }
            case "--seed": self.seed = try value { UInt64($0) }
            case "--number": self.number = try value { UInt64($0) }
            case "--corpus": self.corpus = try value { URL(fileURLWithPath: $0) }
            case "--finds": self.finds = try value { URL(fileURLWithPath: $0) }
            case "--worker":
                self.isWorker = true
                self.shared = try value { $0 }
            default: throw Failure("\(name) is no option; there are --seconds, --seed, --number, --corpus, --finds")
            }
        }
    }
}
