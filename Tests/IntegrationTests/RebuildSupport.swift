import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// A folder, a database and the built `tidemark`, for what `rebuild` does to a projection of orders.
struct RebuildPlace {
    var folder: URL
    var database = TestDatabase.current

    static func with(_ body: (RebuildPlace) async throws -> Void) async throws {
        try await withFolder { try await body(RebuildPlace(folder: $0)) }
    }

    func write(_ name: String, _ lines: [String]) throws -> URL {
        let file = self.folder.appendingPathComponent(name)
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
        return file
    }

    /// What `tidemark.yaml` says from now on.
    func configure(_ yaml: String) throws {
        try Data(yaml.utf8).write(to: self.folder.appendingPathComponent("tidemark.yaml"))
    }

    func start(_ arguments: [String]) throws -> TidemarkProcess {
        try TidemarkProcess(arguments, environment: ["DATABASE_URL": self.database.url], directory: self.folder)
    }

    func run(_ arguments: String...) async throws -> TidemarkProcess.Result {
        try await self.start(arguments).result()
    }

    /// Runs it and makes sure that it was done.
    @discardableResult
    func succeed(
        _ arguments: String...,
        at location: SourceLocation = #_sourceLocation
    ) async throws -> TidemarkProcess.Result {
        let result = try await self.start(arguments).result()
        try #require(result.status == 0, "\(result.error)", sourceLocation: location)
        return result
    }

    func withConnection<R>(_ body: (Connection) async throws -> R) async throws -> R {
        let connection = try await self.database.connect("tests (observer)")
        let result = try await body(connection)
        await connection.close()
        return result
    }

    func rows(_ sql: String) async throws -> [[String]] { try await self.withConnection { try await $0.rows(sql) } }
    func value(_ sql: String) async throws -> String { try await self.withConnection { try await $0.value(sql) } }

    /// A projection of orders, its parts as a test wants them.
    struct Orders {
        var key = "id"
        var sequence = "version"
        var state = "status"
        var columns = "id: bigint, status: text, version: integer"
        var milestones = "shipped: { state: shipped, notify: [warehouse] }"
        var transitions = "created: [paid, cancelled], paid: [shipped], shipped: [delivered]"
        var more = ""
        var url = "https://warehouse.example/hooks"

        var yaml: String {
            """
            projections:
              - name: orders
                from: [shop.orders]
                key: \(self.key)
                sequence: \(self.sequence)
                state: \(self.state)
                columns: { \(self.columns) }
                lifecycle: { initial: created, transitions: { \(self.transitions) } }
                milestones: { \(self.milestones) }
            \(self.more)
            notifiers:
              warehouse: { type: webhook, url: "\(self.url)", secret: "a secret", allow_private: true }

            """
        }
    }

    /// A message of an order, as Maxwell writes it.
    static func order(_ id: Int, _ version: Int, _ status: String, _ more: String = "") -> String {
        #"{"database":"shop","table":"orders","type":"\#(version == 1 ? "insert" : "update")","ts":\#(1000 * id + version),"#
            + #""xid":\#(version),"commit":true,"position":"mysql-bin.000001:\#(1000 * id + version)","#
            + #""data":{"id":\#(id),"status":"\#(status)","version":\#(version)\#(more)}}"#
    }

    /// Relations and entries that a version under construction leaves.
    func leftovers() async throws -> [[String]] {
        try await self.rows(
            """
            select relname from pg_class where relname like 'orders.%'
            union all select projection from tidemark_internal.rebuilds
            union all select name from tidemark_internal.projections where name like '%.%'
            union all select relation_name from tidemark.relations where projection like '%.%'
            """
        )
    }
}
