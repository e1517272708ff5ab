import Testing
import TidemarkFuzzing
import TidemarkTesting

@testable import TidemarkDecoding

/// A parser that has read texts like the next one reads it another way, and finds the same.
struct SkeletonTests {
    /// All that a document tells of its nodes, or why there are none.
    private static func contents(_ text: [UInt8], with document: inout JSONDocument) -> String {
        do {
            try text.withUnsafeBytes { try document.parse($0) }
        } catch {
            return "\(error)"
        }
        var bytes: [UInt8] = []
        document.replaceBytes(of: &bytes)
        var lines = ["\(bytes)"]
        func describe(_ node: Int, isName: Bool = false) {
            let kind = document.kind(node)
            var line = "\(node) \(kind) \(document.range(node)) \(document.next(node))"
            if isName { line += " \(document.hash(node))" }
            lines.append(line)
            guard kind == .object || kind == .array else { return }
            var child = node + 1
            for _ in 0..<document.childCount(node) {
                if kind == .object { describe(child, isName: true) }
                let value = kind == .object ? child + 1 : child
                describe(value)
                child = document.next(value)
            }
        }
        describe(JSONDocument.root)
        return lines.joined(separator: "\n")
    }

    private static func contents(_ text: [UInt8]) -> String {
        var document = JSONDocument()
        return Self.contents(text, with: &document)
    }

    private static func skeletons(_ texts: [String]) -> [UInt32?] {
        var document = JSONDocument()
        return texts.map { text in
            let contents = Self.contents(Array(text.utf8), with: &document)
            #expect(contents == Self.contents(Array(text.utf8)), "\(text)")
            return document.skeleton
        }
    }

    @Test("Texts that differ in scalars only have one skeleton, whatever the scalars are")
    func scalarsDoNotMatter() throws {
        let found = Self.skeletons([
            #"{"a":1,"b":{"c":"x","d":[true,null]},"e":{}}"#,
            #"{"a":-0.5e+7,"b":{"c":"Kraków 🚀","d":["\u00e9\"\\",false]},"e":{}}"#,
            #"{"a":"a string of more than thirty-two bytes, and then some","b":{"c":0,"d":[12,""]},"e":{}}"#,
            #"{"a":null,"b":{"c":"\ud83d\ude00","d":["é","é"]},"e":{}}"#,
        ])
        #expect(found[0] == nil)
        let skeleton = try #require(found[1])
        #expect(found[2...].allSatisfy { $0 == skeleton })
    }

    @Test("A name, a bracket, a space or an end of its own makes another skeleton")
    func everythingElseMatters() {
        let texts = [
            #"{"a":1,"b":[2]}"#, #"{"a":1,"c":[2]}"#, #"{"a":1,"b":[2,3]}"#, #"{"a":1,"b":{"c":2}}"#, #"{"a":1,"b":2}"#,
            #"{"a":1, "b":[2]}"#, #"{"a":1,"b":[2]} "#, #"{"a":1,"b":[]}"#, #"[{"a":1,"b":[2]}]"#, #"{"a":{},"b":[2]}"#,
        ]
        #expect(Self.skeletons(texts).allSatisfy { $0 == nil })
        let known = Self.skeletons(texts + texts).suffix(texts.count)
        #expect(known.allSatisfy { $0 != nil } && Set(known).count == texts.count)
    }

    @Test(
        "What is no scalar is refused between literals that are known",
        arguments: [
            "01", "1.", "-", "1e", "+1", "tru", "nulll", "nul", "\"", "\"a", "\"a\nb\"", "\"\\x\"", "\"\\ud800\"",
            "\"a\"b\"",
            "\"a\"\"b\"", "", "1 2", "{", "[", "1}", "\"\\", "\"a\\\"", "\"\\é\"",
        ]
    )
    func scalarsAreChecked(_ scalar: String) {
        let found = Self.skeletons([
            #"{"a":1,"b":2}"#, #"{"a":3,"b":4}"#, #"{"a":\#(scalar),"b":4}"#, #"{"a":1,"b":\#(scalar)}"#,
            #"{"a":5,"b":6}"#,
        ])
        #expect(found[2] == nil && found[3] == nil && found[4] == found[1] && found[1] != nil)
        var document = JSONDocument()
        for text in [Array(#"{"a":"x"}"#.utf8), Array(#"{"a":"y"}"#.utf8)] { _ = Self.contents(text, with: &document) }
        for bytes in [[0x80], [0xC3], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x1F]]
            as [[UInt8]]
        {
            let text = Array(#"{"a":""#.utf8) + bytes + Array(#""}"#.utf8)
            #expect(Self.contents(text, with: &document) == Self.contents(text))
        }
    }

    @Test("More skeletons than are kept cost only being learnt anew")
    func forgetsAndLearns() {
        var document = JSONDocument()
        let usual = Array(#"{"table":"orders","after":{"id":1,"status":"paid"}}"#.utf8)
        var known = 0
        for number in 0..<20_000 {
            _ = Self.contents(Array(#"{"n\#(number)":{"m\#(number)":1,"o":[2,{"p":3}]}}"#.utf8), with: &document)
            #expect(document.skeleton == nil)
            for _ in 0..<10 {
                #expect(throws: Never.self) { try usual.withUnsafeBytes { try document.parse($0) } }
                if document.skeleton != nil { known += 1 }
            }
        }
        #expect(known > 150_000)
        #expect(Self.contents(usual, with: &document) == Self.contents(usual))
    }

    @Test("Messages of all formats, broken and mixed, are read as by a parser that knows nothing")
    func readsTheSame() throws {
        let seed = SeededGenerator.forTest("SkeletonTests").seed
        let mutator = FuzzMutator(corpus: Samples.all.map { Array($0.utf8) })
        var document = JSONDocument()
        var known = 0
        for number in 0..<4000 as Range<UInt64> {
            // Whole ones in between: what is broken at one place is whole at all others.
            let whole = Array(Samples.all[Int(number) % Samples.all.count].utf8)
            for input in [whole, mutator.input(seed: seed, number: number)] {
                #expect(Self.contents(input, with: &document) == Self.contents(input), "input \(number)")
                if document.skeleton != nil { known += 1 }
            }
        }
        #expect(known > 4000)
    }
}
