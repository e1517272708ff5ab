import Foundation
import Testing

@testable import TidemarkConfiguration

@Suite("The JSON Schema of the configuration")
struct ConfigurationSchemaTests {
    private static func schema() throws -> [String: Any] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let data = try Data(contentsOf: root.appending(path: "docs/tidemark.schema.json"))
        return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    @Test("has exactly the keys that the loader accepts, each with a description")
    func hasEveryKey() throws {
        let schema = try Self.schema()
        var objects = try #require(schema["$defs"] as? [String: [String: Any]]).filter { $0.value["properties"] != nil }
        objects["file"] = schema
        #expect(Set(objects.keys) == Set(ConfigurationKeys.all.map(\.name)))
        for table in ConfigurationKeys.all {
            let object = try #require(objects[table.name])
            let properties = try #require(object["properties"] as? [String: [String: Any]])
            #expect(Set(properties.keys) == Set(table.keys), "\(table.name)")
            #expect(Set(object["required"] as? [String] ?? []).isSubset(of: table.keys))
            #expect(object["additionalProperties"] as? Bool == false)
            for (key, property) in properties {
                #expect(property["description"] != nil || property["$ref"] != nil, "\(table.name).\(key)")
            }
        }
    }

    @Test("and the page about it name every key")
    func pageNamesEveryKey() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(contentsOf: root.appending(path: "docs/configuration.md"), encoding: .utf8)
        for table in ConfigurationKeys.all {
            for key in table.keys { #expect(page.contains("`\(key)`"), "\(table.name).\(key)") }
        }
    }
}
