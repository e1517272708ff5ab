import Testing
import TidemarkDecoding

/// A message laid out for a person.
@Suite
struct MessageOutlineTests {
    private func lines(_ text: String, column: String? = nil, member: String? = nil, row: Int = 0) -> [String]? {
        MessageOutline(Array(text.utf8), column: column, member: member, row: row)?.lines.map { line in
            (line.isMarked ? ">" : " ") + String(repeating: " ", count: line.depth) + line.text
        }
    }

    @Test
    func everyMemberHasALineAndNoDigitIsLost() {
        #expect(
            self.lines(#"{"id":18446744073709551615,"a":[1,2.50],"e":{},"t":"é\n\u001b","o":{"x":null}}"#) == [
                " {", #"  "id": 18446744073709551615,"#, #"  "a": [1,2.50],"#, #"  "e": {},"#,
                #"  "t": "é\n\u001b","#, #"  "o": {"#, #"   "x": null"#, "  }", " }",
            ]
        )
        #expect(self.lines("7") == [" 7"])
        for broken in ["", "{", #"{"a":1,"a":2}"#, "{} x"] { #expect(self.lines(broken) == nil) }
    }

    @Test
    func theColumnAtFaultIsMarkedInTheImageThatCounts() {
        let both = #"{"before":{"n":1,"o":1},"after":{"n":2},"n":3}"#
        #expect(self.lines(both, column: "n")?.filter { $0.hasPrefix(">") } == [#">  "n": 2"#])
        // Only the image before has it, as that of a delete.
        #expect(self.lines(both, column: "o")?.filter { $0.hasPrefix(">") } == [#">  "o": 1"#])
        // No image has it: the one that lacks it is marked.
        #expect(self.lines(both, column: "x")?.filter { $0.hasPrefix(">") } == [#"> "after": {"#])
        #expect(MessageOutline(Array(both.utf8), column: "x")?.hasMark == false)
        let flattened = #"{"n":1,"__table":"o"}"#
        #expect(self.lines(flattened, column: "n")?.filter { $0.hasPrefix(">") } == [#"> "n": 1,"#])
        let rows = #"{"data":[{"n":1},{"n":2}],"old":[{"n":3},{"n":4}]}"#
        #expect(self.lines(rows, column: "n", row: 1)?.filter { $0.hasPrefix(">") } == [#">   "n": 2"#])
        #expect(self.lines(rows, column: "n", row: 7)?.count == 18)
    }

    @Test
    func aSchemaIsFoldedAndItsPayloadSearched() {
        let wrapped = #"{"schema":{"n":{"n":[{}]}},"payload":{"op":"x","after":{"n":5},"source":{"ts_ms":1}}}"#
        #expect(self.lines(wrapped, column: "n")?.filter { $0.hasPrefix(">") } == [#">   "n": 5"#])
        #expect(self.lines(wrapped, member: "op")?.filter { $0.hasPrefix(">") } == [#">  "op": "x","#])
        #expect(self.lines(wrapped)?[1] == #"  "schema": { … 16 bytes … },"#)
    }
}
