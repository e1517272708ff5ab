import Testing

@testable import TidemarkDecoding

struct WireNameTests {
    @Test("Each name that the formats know has a text, no text has two, and each is found")
    func namesAreComplete() {
        #expect(Set(WireName.texts.map(\.name)) == Set(WireName.allCases))
        #expect(Set(WireName.texts.map { "\($0.text)" }).count == WireName.texts.count)
        #expect(WireName.allCases.count <= 80)
        for (name, text) in WireName.texts {
            var document = JSONDocument()
            #expect(throws: Never.self) {
                try Array("{\"\(text)\":1,\"\(text)x\":2}".utf8).withUnsafeBytes { try document.parse($0) }
            }
            let members = Members(of: JSONDocument.root, in: document, names: .shared)
            #expect(members.count == 2 && members[name] == 2)
        }
    }
}
