import Testing

@testable import TidemarkIngest

struct WireNameTests {
    @Test("Each name that the formats know has a text, no text has two, and all fit")
    func namesAreComplete() {
        #expect(Set(WireName.texts.map(\.name)) == Set(WireName.allCases))
        #expect(Set(WireName.texts.map { "\($0.text)" }).count == WireName.texts.count)
        #expect(WireName.texts.allSatisfy { $0.text.utf8CodeUnitCount <= WireNameTable.lengthMax })
        #expect(WireName.allCases.count <= 72)
    }
}
