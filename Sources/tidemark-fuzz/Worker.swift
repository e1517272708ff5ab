import Foundation
import TidemarkFuzzing

/// The process that decodes, and may die of it.
struct Worker {
    /// What it exits with when it found something wrong without dying.
    static let foundStatus: Int32 = 3
    private static let measureEvery: UInt64 = 1024

    let options: Options

    func run() throws -> Never {
        guard let shared = SharedInput(path: self.options.shared) else {
            throw Failure("cannot map \(self.options.shared)")
        }
        let mutator = FuzzMutator(
            corpus: try FuzzCorpus.messages(under: self.options.corpus),
            frames: try FuzzCorpus.frames(under: self.options.corpus)
        )
        var harness = FuzzHarness()
        var number = self.options.number
        while true {
            let input = mutator.input(seed: self.options.seed, number: number)
            shared.bytes = input
            shared.number = number
            if let problem = harness.check(input) {
                print(problem)
                exit(Self.foundStatus)
            }
            if number % Self.measureEvery == 0 { shared.residentBytes = Self.residentBytes() }
            number += 1
        }
    }

    /// 0 where the system does not say.
    private static func residentBytes() -> UInt64 {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
        let fields = text.split(separator: " ")
        return fields.count > 1 ? (UInt64(fields[1]) ?? 0) * UInt64(sysconf(Int32(_SC_PAGESIZE))) : 0
    }
}
