import Testing

@testable import TidemarkCommands

@Suite("Text for terminals")
struct TerminalTests {
    /// Columns as a terminal shows them: an ideograph takes two, a combining mark none.
    @Test("stands in columns, whatever its characters")
    func table() {
        let table = Terminal.table([
            ["name", "n", "note"], ["漢字", "1", "b"], ["e\u{301}te\u{301}", "22", "c"], ["👩‍👧", "3", "d"],
            ["ｶﾀｶﾅ", "4", String(repeating: "漢", count: 60)],
        ])
        let lines = table.split(separator: "\n")
        #expect(lines[0] == "name  n   note" && lines[1] == "漢字  1   b" && lines[2] == "e\u{301}te\u{301}   22  c")
        #expect(lines[3] == "👩‍👧    3   d")
        #expect(Terminal.width(lines[4]) <= 80 && lines[4].hasSuffix("漢…"))
    }

    @Test("is cut and wrapped by its width")
    func width() {
        #expect(Terminal.cut(String(repeating: "漢", count: 41)) == String(repeating: "漢", count: 39) + "…")
        #expect(Terminal.cut(String(repeating: "漢", count: 40)).count == 40)
        let wrapped = Terminal.wrapped(String(repeating: "한글", count: 50), indent: 2).split(separator: "\n")
        #expect(wrapped.count == 3 && wrapped.allSatisfy { Terminal.width($0) <= 80 })
        #expect(Terminal.suffix("漢字ab", columns: 3) == "ab" && Terminal.suffix("漢字ab", columns: 6) == "漢字ab")
    }

    @Test(
        "times keep their year, however long, and BC",
        arguments: [
            ("2026-03-01T09:30:15.25+00:00", "2026-03-01 09:30:15"), ("2026-03-01T09:30:15Z", "2026-03-01 09:30:15"),
            ("10000-01-01T00:00:05+00:00", "10000-01-01 00:00:05"),
            ("0045-03-15T12:00:00+00:00 BC", "0045-03-15 12:00:00 BC"), ("-infinity", "-infinity"),
        ]
    )
    func times(_ time: String, _ shown: String) { #expect(Terminal.wholeSeconds(time) == shown) }
}
