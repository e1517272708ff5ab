package import LibPQ
package import TidemarkCore

/// The least rights of the roles that run commands, as GRANT statements.
package struct RoleGrants {
    /// The schemas of the projections' tables, quoted.
    private let schemas: [String]
    /// The views that users query, quoted.
    private let views: [String]
    /// Those that they call.
    private let functions: [String]

    package init(_ plans: [ProjectionPlan]) {
        self.schemas = Set(plans.map(\.definition.schema)).sorted().map(SQLText.identifier)
        self.views = plans.flatMap { plan in
            plan.names.views(of: plan).filter { $0.schema != RelationNames.storageSchema }.map(\.sql)
        }
        self.functions = plans.flatMap { $0.names.functions(of: $0).map(\.signature) }
    }

    /// For the role that owns what Tidemark creates: `migrate`, `rebuild` (which needs temporary tables), `drop`,
    /// `prune --compact`, and `verify` with files (which creates a schema). The database's owner runs them, before anything
    /// is created.
    /// - Parameter others: further roles that connect.
    package func owner(_ role: String, others: [String], database: String) -> [String] {
        let (role, database) = (SQLText.identifier(role), SQLText.identifier(database))
        var statements = ["grant connect, create, temporary on database \(database) to \(role)"]
        for schema in self.schemas {
            statements.append("create schema if not exists \(schema)")
            statements.append("grant create on schema \(schema) to \(role)")
            // With grant option, so that the owner can let the other roles in.
            statements.append("grant usage on schema \(schema) to \(role) with grant option")
        }
        return statements + others.map { "grant connect on database \(database) to \(SQLText.identifier($0))" }
    }

    /// For a role that writes, and creates and alters nothing: SELECT, INSERT, UPDATE and DELETE on Tidemark's own tables,
    /// those of later versions included, and SELECT on the views. The owner of the relations runs them.
    package func writer(_ role: String) -> [String] {
        self.grants("select, insert, update, delete", to: SQLText.identifier(role))
    }

    /// For a role that reads: `status`, `show`, `verify` without files, the lists of dead letters, deliveries and
    /// notifiers, and queries. The owner of the relations runs them.
    package func reader(_ role: String) -> [String] { self.grants("select", to: SQLText.identifier(role)) }

    private func grants(_ rights: String, to role: String) -> [String] {
        let storage = SQLText.identifier(RelationNames.storageSchema)
        let schemas = (["\"tidemark\"", storage] + self.schemas).joined(separator: ", ")
        var statements = [
            "grant usage on schema \(schemas) to \(role)",
            "grant select on all tables in schema \"tidemark\" to \(role)",
            "grant \(rights) on all tables in schema \(storage) to \(role)",
            // Those that views call are checked against who asks.
            "grant execute on all functions in schema \(storage) to \(role)",
            "alter default privileges in schema \"tidemark\" grant select on tables to \(role)",
            "alter default privileges in schema \(storage) grant \(rights) on tables to \(role)",
            "alter default privileges in schema \(storage) grant execute on functions to \(role)",
        ]
        if !self.views.isEmpty {
            statements.append("grant select on \(self.views.joined(separator: ", ")) to \(role)")
        }
        if !self.functions.isEmpty {
            statements.append("grant execute on function \(self.functions.joined(separator: ", ")) to \(role)")
        }
        return statements
    }

    package func grant(toWriter role: String, on connection: Connection) async throws {
        try await connection.execute(self.writer(role).joined(separator: ";\n"))
    }

    package func grant(toReader role: String, on connection: Connection) async throws {
        try await connection.execute(self.reader(role).joined(separator: ";\n"))
    }

    /// All statements as an SQL comment, for roles with names of their own.
    package func explanation(database: String) -> String {
        let (owner, writer, reader) = ("tidemark_owner", "tidemark_writer", "tidemark_reader")
        let parts: [(String, [String])] = [
            (
                "The least rights. `tidemark migrate --print --owner ROLE --writer ROLE --reader ROLE` prints them for roles of "
                    + "yours. The owner runs migrate, rebuild, drop, prune --compact, and verify with files; it owns what it creates:",
                self.owner(owner, others: [writer, reader], database: database)
            ),
            (
                "The writer (replay --no-migrate, run, and all commands that neither create nor only read):",
                self.writer(writer)
            ),
            ("The reader (status, show, verify, the lists, and queries):", self.reader(reader)),
        ]
        return parts.map { text, statements in
            (["-- \(text)"] + statements.map { "--   \($0);" }).joined(separator: "\n")
        }.joined(separator: "\n")
    }
}
