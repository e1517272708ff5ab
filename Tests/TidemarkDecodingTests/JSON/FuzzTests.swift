import Foundation
import Testing
import TidemarkFuzzing
import TidemarkTesting

/// What `make fuzz` does for ten minutes, for a moment; and everything that it ever found.
struct FuzzTests {
    private static let fixtures: URL = {
        var folder = URL(fileURLWithPath: #filePath)
        while !FileManager.default.fileExists(atPath: folder.appendingPathComponent("Package.swift").path) {
            folder.deleteLastPathComponent()
        }
        return folder.appendingPathComponent("fixtures")
    }()

    @Test("What was trouble once is none any more")
    func replaysFinds() throws {
        var harness = FuzzHarness()
        for find in try FuzzCorpus.finds(in: Self.fixtures.appendingPathComponent("fuzz")) {
            #expect(harness.check(find.bytes) == nil, "\(find.name)")
        }
    }

    @Test("Whole messages pass all that is asked of broken ones")
    func takesWholeMessages() throws {
        var harness = FuzzHarness()
        for message in try FuzzCorpus.messages(under: Self.fixtures) + FuzzCorpus.frames(under: Self.fixtures) {
            #expect(harness.check(message) == nil, "\(String(decoding: message, as: UTF8.self))")
        }
    }

    @Test("Generated configurations take a part of their messages")
    func reachesEncodedChanges() {
        let reach = FuzzConfigured.reach(seed: SeededGenerator.forTest("FuzzTests").seed, inputs: 300)
        #expect(reach.events > 300, "\(reach)")
        // Some 70 on average; 42 was seen.
        #expect(reach.encoded > 15, "\(reach)")
    }

    @Test("Broken messages of one seed are decided, each in one way")
    func takesBrokenMessages() throws {
        let seed = SeededGenerator.forTest("FuzzTests").seed
        let mutator = FuzzMutator(
            corpus: try FuzzCorpus.messages(under: Self.fixtures),
            frames: try FuzzCorpus.frames(under: Self.fixtures)
        )
        var harness = FuzzHarness()
        for number in 0..<1000 as Range<UInt64> {
            let input = mutator.input(seed: seed, number: number)
            #expect(input == mutator.input(seed: seed, number: number))
            #expect(harness.check(input) == nil, "input \(number): \(String(decoding: input, as: UTF8.self))")
        }
    }
}
