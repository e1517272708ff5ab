import Testing
import TidemarkTesting

@testable import TidemarkCore

@Suite struct GlobPatternTests {
    private func shell(_ pattern: String, _ text: String) -> Bool {
        GlobPattern(pattern, .shell(separator: "/")).matches(text)
    }

    @Test(arguments: [
        ("shop", "shop", true), ("shop", "shops", false), ("", "", true), ("*", "", true), ("order_*", "order_", true),
        ("o*r*s", "orders", true), ("o*r*s", "order", false), ("*a*a", "a", false), ("?", "é", true), ("?", "", false),
        ("?", "e\u{301}", false), ("é", "e\u{301}", false), ("*/*", ".a/b/c", true), ("[a]", "a", false),
        ("[a]", "[a]", true), ("\\*", "\\b", true),
    ])
    func `in plain texts only the star and the question mark have a meaning`(
        _ pattern: String,
        _ text: String,
        _ matches: Bool
    ) {
        #expect(GlobPattern(pattern, .plain).matches(text) == matches)
    }

    @Test func `a literal is itself`() {
        #expect(GlobPattern(literal: "what?*").matches("what?*"))
        #expect(!GlobPattern(literal: "what?*").matches("whatever"))
    }

    @Test(arguments: [
        ("[a-c]x", "bx", true), ("[!a-c]x", "bx", false), ("[^a-c]x", "dx", true), ("[]a]", "]", true),
        ("[!]a]", "]", false), ("[a-]", "-", true), ("[à-é]", "ç", true), ("[\\]]", "]", true), ("[a", "[a", true),
        ("c-a", "b", false), ("[c-a]", "b", false), ("\\*", "*", true), ("\\*", "b", false), ("a\\", "a\\", true),
    ])
    func `a shell's sets and escapes`(_ pattern: String, _ text: String, _ matches: Bool) {
        #expect(self.shell(pattern, text) == matches)
    }

    @Test(arguments: [
        ("/logs/*", "/logs/a", true), ("/logs/*", "/logs/a/b", false), ("/logs?a", "/logs/a", false),
        ("/logs/[!b]a", "/logs//a", false), ("*", ".a", false), ("?a", ".a", false), ("[.]a", ".a", false),
        (".*", ".a", true), ("\\.a", ".a", true), ("a*", "a.b", true), ("/**/x", "/x", true), ("/**/x", "/a/b/x", true),
        ("/**/x", "/a/.b/x", false), ("/a/**", "/a", false), ("/a/**", "/a/b", true), ("/a/**", "/a/b/c", true),
        ("/a/**", "/a/.b", false), ("/a**", "/a/b", false), ("/a**", "/ab", true), ("**/.b/**/c", ".b/a/.b/c", false),
    ])
    func `only two stars cross the separator, and only a dot takes a leading dot`(
        _ pattern: String,
        _ text: String,
        _ matches: Bool
    ) {
        #expect(self.shell(pattern, text) == matches)
    }

    @Test func `many stars on a long text take no more steps than pattern times text`() {
        let stars = String(repeating: "*a", count: 50) + "b"
        let text = String(repeating: "a", count: 5000)
        let folders = String(repeating: "**/a*a*/", count: 50) + "b"
        let tree = String(repeating: "aaaaaa/", count: 700)
        for (pattern, syntax, text) in [
            (stars, GlobPattern.Syntax.plain, text), (folders, .shell(separator: "/"), tree),
        ] {
            var steps = 0
            #expect(!GlobPattern(pattern, syntax).matches(text, steps: &steps))
            #expect(steps <= (pattern.utf8.count + 1) * (text.utf8.count + 1))
        }
    }

    @Test func `what a recursive matcher finds is found`() {
        var random = SeededGenerator.forTest("glob patterns")
        let pieces = ["a", "b", ".", "/", "/", "*", "*", "?", "**", "/**/", "[ab]", "[!a]", "\\*"]
        var matched = 0
        for _ in 0..<20_000 {
            let pattern = (0..<Int.random(in: 0...8, using: &random)).map { _ in random.pick(pieces) }.joined()
            let text = (0..<Int.random(in: 0...8, using: &random)).map { _ in random.pick(["a", "b", ".", "/", "*"]) }
                .joined()
            let isShell = random.chance(70)
            let expected = NaiveGlob(isShell: isShell).matches(pattern, text)
            matched += expected ? 1 : 0
            let glob = GlobPattern(pattern, isShell ? .shell(separator: "/") : .plain)
            #expect(glob.matches(text) == expected, "\(pattern) on \(text), shell: \(isShell)")
        }
        #expect(matched > 500)
    }
}

/// The rule itself, by trying everything.
private struct NaiveGlob {
    let isShell: Bool

    func matches(_ pattern: String, _ text: String) -> Bool {
        guard self.isShell else { return self.matches(Array(pattern)[...], Array(text)[...]) }
        func segments(_ text: String) -> ArraySlice<[Character]> {
            text.split(separator: "/", omittingEmptySubsequences: false).map { Array($0) }[...]
        }
        var patterns = segments(pattern)
        if patterns.last == ["*", "*"] { patterns.append(["*"]) }
        return self.matches(segments: patterns, segments(text))
    }

    private func matches(segments: ArraySlice<[Character]>, _ texts: ArraySlice<[Character]>) -> Bool {
        guard let first = segments.first else { return texts.isEmpty }
        let rest = segments.dropFirst()
        if first == ["*", "*"] {
            if self.matches(segments: rest, texts) { return true }
            return texts.first.map { $0.first != "." } == true && self.matches(segments: segments, texts.dropFirst())
        }
        guard let text = texts.first, text.first != "." || first.first == "." else { return false }
        return self.matches(first[...], text[...]) && self.matches(segments: rest, texts.dropFirst())
    }

    private func matches(_ pattern: ArraySlice<Character>, _ text: ArraySlice<Character>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        var rest = pattern.dropFirst()
        if first == "*" {
            return self.matches(rest, text) || (!text.isEmpty && self.matches(pattern, text.dropFirst()))
        }
        guard let next = text.first else { return false }
        var takes = next == first || first == "?"
        if self.isShell, first == "\\", let escaped = rest.popFirst() { takes = next == escaped }
        if self.isShell, first == "[", let end = rest.firstIndex(of: "]") {
            let set = rest[..<end]
            takes = set.first == "!" ? !set.dropFirst().contains(next) : set.contains(next)
            rest = rest[(end + 1)...]
        }
        return takes && self.matches(rest, text.dropFirst())
    }
}
