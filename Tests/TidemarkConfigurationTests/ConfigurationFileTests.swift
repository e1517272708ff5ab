import Foundation
import Testing
import TidemarkCore

@testable import TidemarkConfiguration

@Suite("The configuration file")
struct ConfigurationFileTests {
    private func withFile(_ bytes: [UInt8], _ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "tidemark.yaml")
        try Data(bytes).write(to: file)
        try body(file.path)
    }

    @Test("is read from disk, its paths relative to its folder")
    func readsFile() throws {
        let yaml = "\u{FEFF}sources: [{ name: a, type: files, paths: ../logs }]\r\n" + orders()
        try self.withFile(Array(yaml.utf8)) { path in
            let configuration = try ConfigurationLoader.load(path: path, environment: [:]).configuration
            let parent = (path as NSString).deletingLastPathComponent as NSString
            #expect(configuration.sources[0].paths == ["\(parent.deletingLastPathComponent)/logs"])
        }
    }

    @Test("that is missing, a folder or not UTF-8 is refused by name")
    func refusesFile() throws {
        let missing = try #require(throws: ConfigurationError.self) {
            try ConfigurationLoader.load(path: "/nowhere/tidemark.yaml", environment: [:])
        }
        #expect(missing.code == .notFound)
        #expect(missing.description.hasPrefix("/nowhere/tidemark.yaml: there is no such configuration file"))
        let folder = try #require(throws: ConfigurationError.self) {
            try ConfigurationLoader.load(path: "/tmp", environment: [:])
        }
        #expect(folder.code == .notReadable)
        try self.withFile(Array("lanes: 1\n# \u{e9}\nlimits: ".utf8) + [0xFF]) { path in
            let invalid = try #require(throws: ConfigurationError.self) {
                try ConfigurationLoader.load(path: path, environment: [:])
            }
            #expect(invalid.description == "\(path):3: is not valid UTF-8")
        }
    }

    @Test(
        "says of a file that is read which source it belongs to",
        arguments: [
            ("/srv/shop/logs/1.ndjson", "shop"), ("/srv/shop/logs/old/1.ndjson", "shop"),
            ("/srv/shop/logs/.1.ndjson", "files"), ("/srv/shop/all/1.json", "shop"),
            ("/srv/shop/all/a/b/1.json", "shop"), ("/srv/shop/all/.a/1.json", "files"),
            ("/data/wms/a/b.json", "files"), ("/data/wms/b.json", "wms"), ("/data/x.json", "x"),
            ("/data/../data/x.json", "x"),
            ("/elsewhere", "files"), ("-", "stdin"),
        ]
    )
    func namesSource(_ path: String, _ name: String) throws {
        let yaml = """
            sources:
              - { name: shop, type: files, paths: ["logs/*.ndjson", logs/old, "all/**/*.json"] }
              - { name: wms, type: files, paths: [/data/wms, /data/wms/b.json] }
              - { name: x, type: files, paths: /data/./x.json }
            """
        #expect(try load(yaml + "\n" + orders()).configuration.settings(forFile: path).name == name)
    }

    @Test("with one source gives its settings to every file")
    func givesSettings() throws {
        let configuration = try load("sources: [{ name: shop, type: files }]\n" + orders()).configuration
        #expect(configuration.settings(forFile: "/elsewhere").name == "shop")
        #expect(configuration.settings(forFile: "-").name == "shop")
        #expect(Configuration().settings(forFile: "/elsewhere").name == "files")
        #expect(Configuration().settings(forFile: "-").name == "stdin")
    }

    @Test("is not needed for one projection")
    func quick() throws {
        let loaded = try Configuration.quick(
            from: ["shop.orders"],
            key: ["tenant_id, id"],
            sequence: ["version", "$position"],
            state: "status"
        )
        var expected = ProjectionDefinition(
            name: "orders",
            from: ["shop.orders"],
            key: ["tenant_id", "id"],
            sequence: [.column("version", type: nil), .position]
        )
        expected.state = ProjectionDefinition.StateRule(column: "status")
        #expect(loaded.configuration.projections == [expected])
        #expect(expected.schema == "public" && expected.table == "orders")
        #expect(loaded.configuration.sources.isEmpty && loaded.warnings.isEmpty)
        let odd = try Configuration.quick(from: ["Shop.Order-Items*"], key: ["id"], sequence: ["$event_time"])
        #expect(odd.configuration.projections[0].name == "order_items")
        #expect(odd.warnings.map(\.path) == ["--sequence"])
    }

    @Test("that is not needed still has its rules")
    func quickRefuses() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try Configuration.quick(from: ["orders"], key: [], sequence: ["$postion"], table: "tidemark.x")
        }
        #expect(
            error.issues.map(\.description) == [
                "command line: --key: is an empty list; name at least one column",
                "command line: --from: \"orders\" is not a table such as shop.orders or shop.order_*: "
                    + "database.table or schema.table",
                "command line: --sequence: \"$postion\" is not a sequence part; "
                    + "use a column name, $header.NAME, $position, $event_time or $received",
                "command line: --table: is in a schema that is not for tables of yours; use another",
            ]
        )
    }
}
