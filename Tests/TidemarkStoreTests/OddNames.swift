import TidemarkCore

@testable import TidemarkStore

/// A projection whose names all need quotes, each with an Ω in it, so that a statement without its quoted parts has
/// none.
enum OddNames {
    /// One letter to Swift, and a quotation mark to PostgreSQL.
    static let quote = "\"\u{301}"
    static let schema = "Ω.Schema\(quote)"
    static let table = "Orders \(quote).Ω'; drop table x"
    static let id = "Id.Ω\(quote)"
    static let note = "select Ω'\\\(quote)"
    static let version = "Version Ω $1"
    static let state = "ΩState"

    static func definition(schema: String = schema, table: String = table, columns: Bool = true) -> ProjectionDefinition
    {
        var definition = ProjectionDefinition(
            name: table,
            from: ["shop.orders"],
            key: [id],
            sequence: [.column(version, type: nil)],
            schema: schema,
            table: table
        )
        if columns {
            definition.columns = [
                .init(name: id, from: "id", type: .bigint), .init(name: version, from: "version", type: .bigint),
                .init(name: note, from: "note", type: .text),
            ]
        }
        definition.state = .init(column: state)
        definition.milestones = [
            Milestone(name: "Ω\(quote)reached", state: "Ω'shipped", notify: ["Ω'"], unless: ["Ω'lost"])
        ]
        return definition
    }

    static func change(_ version: Int, note: String = "a", state: String = "Ω'shipped") -> Change {
        Change([
            ("id", "7", .number), ("version", "\(version)", .number), ("note", note, .string),
            (Self.state, state, .string),
        ])
    }

    static func statements(_ plan: ProjectionPlan) -> [String] {
        let ddl = ProjectionDDL(plan)
        return ddl.create + [ddl.createSchema, ddl.addColumn(note, .text), ddl.alterColumn(note, .text)]
            + ProjectionStatements(plan).all.map(\.sql)
    }

    /// The bytes of SQL outside quoted identifiers, literals and comments, and the identifiers as PostgreSQL reads
    /// them.
    static func parse(_ sql: String) -> (rest: [UInt8], identifiers: Set<[UInt8]>) {
        let bytes = Array(sql.utf8)
        var (rest, identifiers): ([UInt8], Set<[UInt8]>) = ([], [])
        var index = 0
        func isAt(_ character: Character, _ index: Int) -> Bool {
            index < bytes.count && bytes[index] == character.asciiValue
        }
        while index < bytes.count {
            if isAt("-", index), isAt("-", index + 1) {
                while index < bytes.count, !isAt("\n", index) { index += 1 }
            } else if isAt("\"", index) || isAt("'", index) {
                let quote: Character = isAt("\"", index) ? "\"" : "'"
                let escapes = quote == "'" && index > 0 && isAt("E", index - 1)
                var name: [UInt8] = []
                index += 1
                while index < bytes.count, !isAt(quote, index) || isAt(quote, index + 1) {
                    if isAt(quote, index) || escapes && isAt("\\", index) { index += 1 }
                    name.append(bytes[index])
                    index += 1
                }
                index += 1
                if quote == "\"" { identifiers.insert(name) }
            } else {
                rest.append(bytes[index])
                index += 1
            }
        }
        return (rest, identifiers)
    }
}

extension ProjectionStatements {
    /// Every statement that there is, by its name.
    var all: [(name: String, sql: String)] {
        Mirror(reflecting: self).children.compactMap { child in
            guard let name = child.label, let sql = child.value as? String else { return nil }
            return (name, sql)
        }
    }
}
