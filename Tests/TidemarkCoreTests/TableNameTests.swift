import Testing
import TidemarkCore
import TidemarkTesting

private func matches(_ pattern: String, _ table: String) throws -> Bool {
    try TablePattern(pattern).matches(try #require(TableName(table)))
}

/// Names of tables as messages and the configuration write them.
@Suite struct TableNameTests {
    @Test(
        arguments: [
            ("orders", ["orders"]), ("shop.orders", ["shop", "orders"]), ("db.shop.orders", ["db", "shop", "orders"]),
            (#"shop."order.lines""#, ["shop", "order.lines"]), (#""a""b".c"#, [#"a"b"#, "c"]), (#""".t"#, ["", "t"]),
            (#""".""""#, nil),
            (#""""#, [""]), (#"shop."""#, ["shop", ""]), (#""x"."y"."z""#, ["x", "y", "z"]),
            ("Größe.日本", ["Größe", "日本"]),
            // A letter with a mark of its own is no quote.
            ("\"a\u{301}\".b", ["a\u{301}", "b"]), ("\"\u{301}x\"", ["\u{301}x"]),
            ("", nil), (".", nil), ("a.", nil), (".a", nil), ("a..b", nil), ("a.b.c.d", nil), (#""a"#, nil),
            (#""a"b"#, nil),
            (#"a"b"#, nil), (#"a.b""#, nil), (#""a""."#, nil), (#""a"""#, nil),
        ] as [(String, [String]?)]
    )
    func `a name is read in parts`(_ text: String, _ parts: [String]?) {
        #expect(TableName(text)?.parts == parts)
    }

    @Test(arguments: [
        ("", TableTextError.emptyPart), ("a..b", .emptyPart), ("a\"b", .quoteInside), ("\"a", .unclosed),
        ("\"a\"b", .behindQuote),
        ("a.b.c.d", .tooManyParts), ("*.", .emptyPart),
    ])
    func `a pattern that cannot be read says why`(_ text: String, _ expected: TableTextError) {
        #expect(throws: expected) { try TablePattern(text) }
    }

    @Test(arguments: [
        ("orders", "orders"), ("order.lines", #""order.lines""#), ("a\"b", #""a""b""#), ("a*", #""a*""#),
        ("what?", #""what?""#),
        ("", #""""#), (" a", #"" a""#), ("a ", #""a ""#), ("a b", "a b"), ("ORDERS_2024", "ORDERS_2024"),
        ("größe", "größe"),
        ("1234", "1234"), ("12.34", #""12.34""#), ("a-long-name.with-a-dot", #""a-long-name.with-a-dot""#),
        (".", #"".""#),
        ("ABCDEFGH@IJKLMNO", "ABCDEFGH@IJKLMNO"),
    ])
    func `a part stands in quotes where it could be read otherwise`(_ part: String, _ expected: String) {
        var text: [UInt8] = []
        TableName.append(Array(part.utf8)[...], to: &text, isFirst: true)
        #expect(String(decoding: text, as: UTF8.self) == expected)
        #expect(TableName(expected)?.parts == [part] && TableName(expected)?.text == expected)
    }

    /// The look at a name goes four bytes at a time, so every length and every place counts.
    @Test func `names of any bytes are told apart by their texts, and copied into a pattern match`() throws {
        var random = SeededGenerator.forTest("table names")
        var texts: [String: [String]] = [:]
        for _ in 0..<3000 {
            let parts = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                (0..<Int.random(in: 0...12, using: &random)).map { _ in
                    random.chance(85)
                        ? random.pick(["a", "Z", "_", "é", "1"]) : random.pick([".", "\"", "*", "?", " ", "-"])
                }.joined()
            }
            var bytes: [UInt8] = []
            for (index, part) in parts.enumerated() {
                TableName.append(Array(part.utf8)[...], to: &bytes, isFirst: index == 0)
            }
            let text = String(decoding: bytes, as: UTF8.self)
            let name = try #require(TableName(text), "\(parts) seed \(random.seed)")
            #expect(name.parts == parts && name.text == text, "\(parts) seed \(random.seed)")
            #expect(texts.updateValue(parts, forKey: text) ?? parts == parts, "\(parts) seed \(random.seed)")
            #expect(try TablePattern(text).matches(name), "\(parts) seed \(random.seed)")
        }
    }

    @Test(arguments: [
        ("shop.orders", "shop.orders", true), ("shop.orders", "shop.order", false),
        ("shop.orders", "crm.orders", false),
        ("shop.orders", "db.shop.orders", true), ("db.shop.orders", "shop.orders", true),
        ("db.shop.orders", "x.shop.orders", false),
        ("shop.orders", "orders", true), ("orders", "shop.orders", true), ("Shop.orders", "shop.orders", false),
        ("shop.*", "shop.orders", true), ("shop.*", "shop2.orders", false), ("shop.*", #"shop."a.b""#, true),
        ("shop_?.orders", "shop_1.orders", true), ("shop_?.orders", "shop_12.orders", false),
        ("shop_?.orders", "shop_.orders", false),
        ("*_archive", "shop.orders_archive", true), ("*_archive", "_archive", true), ("a*b*c", "axbxbxc", true),
        ("a*b*c", "axbxcx", false), ("a*", "a", true), ("*", #""""#, true), ("?", "é", true), ("?", "😀", true),
        ("?", "ab", false),
        // In quotes nothing stands for anything.
        (#""shop.*""#, #""shop.*""#, true), (#"shop."*""#, "shop.orders", false),
        (#"shop."a*b""#, #"shop."a*b""#, true),
        (#"shop."a?""#, "shop.ab", false), ("**a", "ba", true), ("*?*", "a", true), ("*aab", "aaab", true),
        ("*.*.*", "a.b.c", true),
    ])
    func `a pattern takes the tables that it describes`(_ pattern: String, _ table: String, _ isTaken: Bool) throws {
        #expect(try matches(pattern, table) == isTaken)
    }

    @Test func `many stars take time in proportion`() throws {
        let text = String(repeating: "a", count: 2000)
        #expect(try !matches(String(repeating: "*a", count: 200) + "b", text))
        #expect(try matches(String(repeating: "*a", count: 200), text))
    }

    @Test func `white space at a bare part's edge is noticed`() throws {
        for (text, expected) in [
            ("shop.orders", false), ("shop. orders", true), ("shop .orders", true), (#"shop." orders""#, false),
            ("sh op.orders", false),
            ("shop.orders\t", true),
        ] {
            #expect(try TablePattern(text).hasBareEdgeSpace == expected, "\(text)")
        }
    }

    /// The first rule that matches counts, as in the configuration.
    @Test func `a table's replica identity is that of the first rule that takes it`() throws {
        let identities = ReplicaIdentities(
            rules: [
                .init(pattern: try TablePattern("shop.orders"), identity: .columns(["code"])),
                .init(pattern: try TablePattern("shop.*"), identity: .full),
            ],
            rest: .default
        )
        for (table, index) in [("shop.orders", 0), ("db.shop.orders", 0), ("shop.items", 1), ("crm.items", 2)] {
            #expect(identities.index(of: TableName(table)) == index)
        }
        #expect(identities.index(of: nil) == 2 && identities[2] == .default && identities[1] == .full)
        #expect(identities.columns == [[Array("code".utf8)], [], []] && identities.namesColumns)
    }
}
