import LibPQ
import Testing
import TidemarkStore
import TidemarkTesting

/// Names and texts come back from PostgreSQL as they went there, whatever follows a quotation mark.
@Suite(.freshDatabase)
struct QuotingTests {
    /// One letter each to Swift: a character that quoting is about, with a mark behind it.
    private static let texts = ["\"", "'", "\\", ",", "{", "}", "\n"].flatMap { quoted in
        ["\u{301}", "\u{200D}", "\u{FE0F}", ""].map { "a\(quoted)\($0); b" }
    }

    @Test
    func identifiersLiteralsAndArraysComeBackAsTheyWent() async throws {
        let connection = try await TestDatabase.current.connect()
        for text in Self.texts {
            let literal = try await connection.value("select \(SQLText.literal(text))")
            #expect(Array(literal.utf8) == Array(text.utf8))
            let names = try await connection.rows(
                "select key from jsonb_each(to_jsonb((select row from (select 1 as \(SQLText.identifier(text))) as row)))"
            )
            #expect(names.map { Array($0[0].utf8) } == [Array(text.utf8)])
        }
        let array = SQLText.arrayLiteral(Self.texts.map { Array($0.utf8) })
        let elements = try await connection.rows("select unnest(\(SQLText.literal(array))::text[])")
        #expect(elements.map { Array($0[0].utf8) } == Self.texts.map { Array($0.utf8) })
        await connection.close()
    }
}
