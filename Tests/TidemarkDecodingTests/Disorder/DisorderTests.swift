import Testing
import TidemarkDecoding

/// A log of numbered messages, brought into disorder.
private func disordered(_ count: Int, _ settings: DisorderSettings) -> (lines: [Int], counts: DisorderCounts) {
    var disorder = Disorder(settings)
    var lines: [Int] = []
    func emit(_ message: [UInt8]) { lines.append(Int(String(decoding: message, as: UTF8.self)) ?? -1) }
    for number in 0..<count { disorder.take(Array("\(number)".utf8), emit) }
    disorder.finish(emit)
    return (lines, disorder.counts)
}

private func settings(
    seed: UInt64 = 7,
    _ change: (inout DisorderSettings) -> Void = { _ in }
) -> DisorderSettings {
    var settings = DisorderSettings(seed: seed)
    change(&settings)
    return settings
}

@Suite
struct DisorderTests {
    @Test
    func withoutAnyDisorderTheLogStaysAsItIs() {
        let (lines, counts) = disordered(500, settings())
        #expect(lines == Array(0..<500))
        #expect(counts.read == 500 && counts.written == 500 && counts.dropped + counts.repeated + counts.resent == 0)
    }

    @Test(arguments: [1, 2, 10, 499, 5000])
    func aWindowMovesEveryMessageByAtMostItsSizeAndLosesNone(_ window: Int) {
        let (lines, _) = disordered(500, settings { $0.window = window })
        #expect(lines.sorted() == Array(0..<500))
        #expect(lines.enumerated().contains { $0.offset != $0.element })
        for (index, number) in lines.enumerated() { #expect(abs(index - number) <= window, "index \(index)") }
    }

    @Test
    func aShuffleLosesNothingAndMovesFurtherThanAnyWindow() {
        let (lines, _) = disordered(500, settings { $0.isShuffled = true })
        #expect(lines.sorted() == Array(0..<500))
        #expect(lines.enumerated().contains { abs($0.offset - $0.element) > 300 })
    }

    @Test
    func theSameSeedGivesTheSameLogAndAnotherSeedAnother() {
        func all(_ seed: UInt64) -> [Int] {
            disordered(
                2000,
                settings(seed: seed) {
                    $0.window = 20
                    $0.repeatPercent = 10
                    $0.dropPercent = 5
                    $0.resendPercent = 30
                }
            ).lines
        }
        #expect(all(1) == all(1))
        #expect(all(1) != all(2))
        // As it was when it was first written: a seed in a bug report has to mean the same for ever.
        #expect(disordered(12, settings(seed: 42) { $0.window = 4 }).lines == Self.window4OfSeed42)
        #expect(disordered(12, settings(seed: 42) { $0.isShuffled = true }).lines == Self.shuffleOfSeed42)
    }

    private static let window4OfSeed42 = [1, 0, 5, 3, 2, 4, 8, 6, 9, 7, 11, 10]
    private static let shuffleOfSeed42 = [2, 10, 9, 6, 8, 4, 0, 11, 3, 7, 1, 5]

    @Test
    func repeatsComeBehindTheirFirstAndDropsAreGone() {
        let (lines, counts) = disordered(
            4000,
            settings {
                $0.repeatPercent = 10
                $0.dropPercent = 25
            }
        )
        var seen: [Int: Int] = [:]
        for number in lines { seen[number, default: 0] += 1 }
        #expect(seen.count == 4000 - counts.dropped)
        #expect(seen.values.allSatisfy { $0 <= 2 } && seen.values.count { $0 == 2 } == counts.repeated)
        #expect(lines.count == counts.written && counts.written == 4000 - counts.dropped + counts.repeated)
        #expect((900...1100).contains(counts.dropped) && (240...360).contains(counts.repeated))
        // Without a window the firsts keep their order.
        var firsts: Set<Int> = []
        let order = lines.filter { firsts.insert($0).inserted }
        #expect(order == order.sorted())
    }

    @Test
    func aResentBatchComesBehindTheOneThatFollowsIt() {
        let (lines, counts) = disordered(
            12,
            settings {
                $0.resendPercent = 100
                $0.batchMessages = 3
            }
        )
        #expect(lines == [0, 1, 2, 3, 4, 5, 0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11, 6, 7, 8])
        #expect(counts.resent == 9)
    }

    @Test
    func takingOneKindOfDisorderAwayLeavesTheOthersAsTheyWere() {
        let both = settings {
            $0.dropPercent = 20
            $0.resendPercent = 50
            $0.batchMessages = 10
        }
        let dropped = Set(0..<1000).subtracting(disordered(1000, both).lines)
        let alone = Set(0..<1000).subtracting(disordered(1000, settings { $0.dropPercent = 20 }).lines)
        #expect(dropped == alone && !dropped.isEmpty)
    }
}
