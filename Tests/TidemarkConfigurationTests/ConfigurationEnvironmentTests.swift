import Foundation
import Testing
import TidemarkCore

@testable import TidemarkConfiguration

@Suite("An environment variable")
struct ConfigurationEnvironmentTests {
    @Test("stands for a value, a part of one, or an item of a list")
    func replaces() throws {
        let yaml = """
            lanes: ${LANES}
            limits: { batch_events: "${BATCH:-500}", max_dead_letters: "${PERCENT}%" }
            projections:
              - name: ${NAME}
                from: ["${DB}.orders", "${DB}.order_${NAME}"]
                key: ["${A:-tenant_id}", id]
                sequence: ${PART}
                timeline: ${TIMELINE:-false}
                state: ${EMPTY:-status}
            """
        let configuration = try load(
            yaml,
            ["LANES": "3", "PERCENT": "5", "NAME": "orders", "DB": "shop", "PART": "$position", "EMPTY": ""]
        ).configuration
        #expect(configuration.lanes == 3 && configuration.limits.batchEvents == 500)
        #expect(configuration.limits.maxDeadLetters == .fraction(0.05))
        let projection = configuration.projections[0]
        #expect(projection.name == "orders" && projection.from == ["shop.orders", "shop.order_orders"])
        #expect(projection.key == ["tenant_id", "id"] && projection.sequence == [.position])
        #expect(!projection.timeline && projection.state?.column == "status")
    }

    @Test("is a value, never YAML, and is not looked at again")
    func isNotYAML() throws {
        let yaml = orders("state: ${STATE}\ncolumns: { note: { type: text, default: \"${NOTE}\" } }")
        let projection = try load(yaml, ["STATE": "[a, b]: # ${X}", "NOTE": "null"]).configuration.projections[0]
        #expect(projection.state?.column == "[a, b]: # ${X}")
        #expect(projection.columns?[0].absentValue == .some("null"))
    }

    @Test("is never looked for in a key")
    func leavesKeysAlone() throws {
        let yaml = orders("columns: { \"${COLUMN}\": text }")
        #expect(
            complaints(about: yaml, environment: ["COLUMN": "status"]) == [
                "projections[0].columns[\"${COLUMN}\"], line 6: "
                    + "\"${COLUMN}\" is not a column: names that begin with $ stand for parts of messages"
            ]
        )
    }

    @Test("that is not set is named with the key, wherever it stands")
    func unset() {
        let yaml = "database: ${DATABASE_URL}\nlanes: ${LANES}\n" + orders("state: a ${STATE}", sequence: "[\"${P}\"]")
        #expect(
            complaints(about: yaml) == [
                "database, line 1: the environment variable DATABASE_URL is not set; set it, or write ${DATABASE_URL:-default}",
                "lanes, line 2: the environment variable LANES is not set; set it, or write ${LANES:-default}",
                "projections[0].sequence[0], line 7: the environment variable P is not set; set it, or write ${P:-default}",
                "projections[0].state, line 8: the environment variable STATE is not set; set it, or write ${STATE:-default}",
            ]
        )
    }

    @Test("need not be set for a database that the command line names")
    func ignoresDatabase() throws {
        let loaded = try ConfigurationLoader.load(
            yaml: "database: ${DATABASE_URL}\n" + orders(),
            fileName: "tidemark.yaml",
            environment: [:],
            ignoresDatabase: true
        )
        #expect(loaded.configuration.database == nil)
    }

    @Test(
        "follows the shell",
        arguments: [
            ("${A}", "1"), ("x${A}${A}y", "x11y"), ("${B:-}", ""), ("${B:-a b}", "a b"), ("${EMPTY:-d}", "d"),
            ("${EMPTY}", ""), ("$A", "$A"), ("$position", "$position"), ("}{$", "}{$"),
        ]
    )
    func follows(_ text: String, _ result: String) throws {
        #expect(try EnvironmentText.replacing(in: text, from: ["A": "1", "EMPTY": ""]).text == result)
    }

    @Test("that is misspelt is refused", arguments: ["${", "${}", "${1A}", "${A-b}", "${A:-${B}}", "${A", "${ A }"])
    func misspelt(_ text: String) {
        #expect(throws: EnvironmentText.Failure.malformed) {
            try EnvironmentText.replacing(in: text, from: ["A": "1", "B": "2"])
        }
    }
}

@Suite("A secret")
struct ConfigurationSecretTests {
    private static let secret = "hush-8c1f"

    @Test("is in no description and no dump")
    func isNotShown() throws {
        let environment = [
            "DATABASE_URL": "postgres://shop:\(Self.secret)@db/shop", "WEBHOOK_SECRET": Self.secret,
        ]
        let yaml = ConfigurationTests.example.replacing("/hooks", with: "/hooks/\(Self.secret)")
        let loaded = try load(yaml, environment)
        #expect(loaded.configuration.notifiers[0].secrets[0].reveal() == Self.secret)
        for value: Any in [
            loaded, loaded.configuration, loaded.configuration.notifiers, loaded.configuration.notifiers[0].secrets[0],
        ] {
            var dumped = ""
            dump(value, to: &dumped)
            for text in [String(describing: value), String(reflecting: value), "\(value)", dumped] {
                #expect(!text.contains(Self.secret))
            }
        }
    }

    @Test("is in no error, whichever value it is put into")
    func isNotInErrors() throws {
        // Every scalar of the example in turn becomes a variable that holds a secret, mostly to be refused.
        let environment = ["DATABASE_URL": "postgres://db/shop", "WEBHOOK_SECRET": "s", "SECRET": Self.secret]
        let words = [
            "4 ", "20000", "2,", "16MiB", "10%", " shop,", "files", "logs/*.ndjson.gz", "auto", "UTC", "unchanged",
            "default,", "1 }", " orders\n", "shop.orders", "key: id", "version", "true", "status\n", "public.orders",
            "record", "paid || shipped", "bigint", "text", "numeric(12,2)", "total_amount", "timestamptz", "epoch_us",
            "created,", "[paid", "shipped,", "warehouse]", "cancelled]", "null", "webhook", "https://wms.example/hooks",
        ]
        var found = 0
        for word in words {
            #expect(ConfigurationTests.example.contains(word))
            let letters = word.filter { !", }]\n[".contains($0) || word.contains(" || ") }
            let value = letters.hasPrefix("key:") ? "id" : letters
            let changed = word.replacing(value, with: "\"${SECRET}\"")
            let yaml = ConfigurationTests.example.replacing("\"\(word)\"", with: changed).replacing(word, with: changed)
            for complaint in complaints(about: yaml, environment: environment) {
                found += 1
                #expect(!complaint.contains(Self.secret), "\(complaint)")
            }
        }
        #expect(found > 25)
    }

    @Test("is in no complaint of the YAML parser, nor of its own key")
    func isNotInSyntaxErrors() {
        for yaml in [
            "notifiers: { w: { secret: \(Self.secret), secret: \"\(Self.secret)\", url: \(Self.secret) } }",
            "notifiers: { w: { secret: \(Self.secret)",
            "notifiers:\n  w: { type: webhook, url: x, secret: whsec_\(Self.secret)! }",
            "database: \(Self.secret)\n bad: x", "database: [\(Self.secret)]", "database: mysql://x:\(Self.secret)@db",
            "database: \"\(Self.secret)\u{7}\"",
        ] {
            let found = complaints(about: yaml)
            #expect(!found.isEmpty)
            #expect(!found.joined().contains(Self.secret))
        }
    }
}
