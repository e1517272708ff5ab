import Foundation
import LibPQ
import Logging
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkSources
import TidemarkStore
import TidemarkTesting

/// One of the shop's logs, and what `fixtures/` says it must end in.
enum ShopLog: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case maxwell
    case debeziumMySQL = "debezium-mysql"
    case debeziumFlattened = "debezium-flattened"
    case debeziumPostgres = "debezium-postgres-wrapped"
    case canal
    case tidemark

    static let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "fixtures")
    private static let shop = Self.fixtures.appending(path: "shop")

    var testDescription: String { self.rawValue }
    var fileName: String { "\(self.rawValue).ndjson" }
    var configurationName: String { self == .debeziumPostgres ? "postgres.yaml" : "tidemark.yaml" }

    /// The messages, as the file has them.
    var messages: [[UInt8]] {
        get throws { try Self.lines(of: Data(contentsOf: Self.shop.appending(path: self.fileName))) }
    }

    /// Without the empty lines; by bytes, since U+2028 and its like stand within messages.
    static func lines(of data: Data) -> [[UInt8]] {
        data.split(separator: UInt8(ascii: "\n")).map { Array($0) }
    }

    /// The shop's configuration, as if it and a log of that content stood in `folder`.
    func configuration(in folder: URL) throws -> Configuration {
        try Self.configuration("shop/\(self.configurationName)", in: folder)
    }

    static func configuration(_ name: String, in folder: URL) throws -> Configuration {
        let yaml = try String(contentsOf: Self.fixtures.appending(path: name), encoding: .utf8)
        let variables = ["RECEIVER_URL": "http://127.0.0.1:9/", "WEBHOOK_SECRET": "a secret of the tests"]
        let path = folder.appending(path: "tidemark.yaml").path
        return try ConfigurationLoader.load(yaml: yaml, fileName: path, environment: variables).configuration
    }

    // MARK: What is expected

    private func expected(_ name: String) throws -> Data {
        let own = Self.shop.appending(path: "expected/\(self.rawValue)/\(name)")
        if let data = try? Data(contentsOf: own) { return data }
        return try Data(contentsOf: Self.shop.appending(path: "expected/\(name)"))
    }

    func rows(of relation: Relation) throws -> [[UInt8]] {
        try Self.lines(of: self.expected("\(relation.rawValue).tsv"))
    }

    /// Rows of a table without its header, cell by cell.
    private func cells(_ name: String) throws -> [[String]] {
        try Self.lines(of: self.expected(name)).dropFirst().map { line in
            line.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
        }
    }

    struct DeadLetter: Sendable, Hashable {
        var line: Int
        var row: Int
        var projection: String?
        var reason: String
        /// What the sentence must name.
        var name: String
    }

    var deadLetters: [DeadLetter] {
        get throws {
            try self.cells("dead_letters.tsv").map { cells in
                DeadLetter(
                    line: try #require(Int(cells[0])),
                    row: try #require(Int(cells[1])),
                    projection: cells[2] == "\\N" ? nil : cells[2],
                    reason: cells[3],
                    name: cells[4]
                )
            }
        }
    }

    /// What one message counts as.
    struct Account: Sendable {
        var control: Int64
        var events: Int64
        var filtered: Int64
        var deadLetters: Int64
    }

    var accounts: [Account] {
        get throws {
            try self.cells("messages.tsv").map { cells in
                let numbers = try cells.map { try #require(Int64($0)) }
                return Account(
                    control: numbers[1],
                    events: numbers[2],
                    filtered: numbers[3],
                    deadLetters: numbers[4]
                )
            }
        }
    }

    /// What a replay of the log counts, from its beginning to its end or the other way round.
    func summary(reversed: Bool = false) throws -> PassSummary {
        let both = try JSONDecoder().decode([String: Counts].self, from: self.expected("summary.json"))
        return try #require(both[reversed ? "reversed" : "in_order"]).summary
    }

    private struct Counts: Decodable {
        // swift-format-ignore: AlwaysUseLowerCamelCase
        var messages, events, applied, late, duplicate, filtered, control, dead_letters, conflicts, entities: Int64
        var milestones: [String: Int64]

        var summary: PassSummary {
            var summary = PassSummary()
            summary.messages = self.messages
            summary.applied = self.applied
            summary.late = self.late
            summary.duplicate = self.duplicate
            summary.filtered = self.filtered
            summary.control = self.control
            summary.deadLetters = self.dead_letters
            summary.conflicts = self.conflicts
            summary.entities = self.entities
            summary.milestones = self.milestones
            return summary
        }
    }
}

/// A relation of the read model, by its name under `fixtures/shop/expected`.
enum Relation: String, CaseIterable, Sendable {
    case orders, timeline, history, milestones
    case items
    case itemsTimeline = "items_timeline"
    case itemsHistory = "items_history"

    var name: String {
        switch self {
        case .orders, .items, .itemsTimeline, .itemsHistory: self.rawValue
        case .timeline, .history, .milestones: "orders_\(self.rawValue)"
        }
    }

    var projection: String {
        switch self {
        case .orders, .timeline, .history, .milestones: "orders"
        case .items, .itemsTimeline, .itemsHistory: "items"
        }
    }

    var needsTimeline: Bool {
        switch self {
        case .orders, .milestones, .items: false
        case .timeline, .history, .itemsTimeline, .itemsHistory: true
        }
    }

    /// Columns that make the order of the rows one; a history, which shows no order key, is compared sorted.
    private var order: String? {
        switch self {
        case .orders: "id"
        case .timeline: "id, order_key"
        case .milestones: "id, milestone collate \"C\""
        case .items: "tenant_id, id"
        case .itemsTimeline: "tenant_id, id, order_key"
        case .history, .itemsHistory: nil
        }
    }

    /// The columns that `header` names, all rows, as COPY writes them.
    func read(columns header: [UInt8], on connection: Connection) async throws -> [[UInt8]] {
        let columns = header.split(separator: UInt8(ascii: "\t")).map { "\"\(String(decoding: $0, as: UTF8.self))\"" }
        let order = self.order.map { " order by \($0)" } ?? ""
        let sql = "select \(columns.joined(separator: ", ")) from public.\(self.name)\(order)"
        let result = try await connection.query(sql, [], resultFormat: .text)
        var rows = [header]
        for row in 0..<result.rowCount {
            var line: [UInt8] = []
            for column in 0..<result.columnCount {
                if column > 0 { line.append(UInt8(ascii: "\t")) }
                result.withCell(row, column) { Self.appendCopyText($0, to: &line) }
            }
            rows.append(line)
        }
        return rows
    }

    func comparable(_ rows: [[UInt8]]) -> [[UInt8]] {
        guard self.order == nil, let header = rows.first else { return rows }
        return [header] + rows.dropFirst().sorted { $0.lexicographicallyPrecedes($1) }
    }

    private static let escapes: [UInt8: Character] = [
        0x5C: "\\", 0x09: "t", 0x0A: "n", 0x0D: "r", 0x08: "b", 0x0C: "f", 0x0B: "v",
    ]

    private static func appendCopyText(_ cell: UnsafeRawBufferPointer?, to line: inout [UInt8]) {
        guard let cell else { return line.append(contentsOf: "\\N".utf8) }
        for byte in cell {
            if let escape = Self.escapes[byte] {
                line.append(contentsOf: "\\\(escape)".utf8)
            } else {
                line.append(byte)
            }
        }
    }
}

/// An order in which messages arrive, each of them once or several times, and how they are worked off.
struct Arrival: Sendable, CustomStringConvertible {
    var name: String
    /// Places in the log.
    var places: [Int]
    var batch = 10_000
    var lanes = 1
    /// Without the cache of high-water marks the database is asked each time.
    var hasCache = true

    var description: String {
        "\(self.name), in batches of \(self.batch), with \(self.lanes) lanes\(self.hasCache ? "" : ", without a cache")"
    }

    static func inOrder(_ count: Int) -> Self { Self(name: "in order", places: Array(0..<count)) }
    static func reversed(_ count: Int) -> Self { Self(name: "reversed", places: Array((0..<count).reversed())) }

    /// Each message once, twice or three times, one behind the other.
    func repeated(by generator: inout some RandomNumberGenerator) -> Self {
        var arrival = self
        arrival.name += ", each up to three times"
        arrival.places = self.places.flatMap { Array(repeating: $0, count: Int.random(in: 1...3, using: &generator)) }
        return arrival
    }

    func shuffled(by generator: inout some RandomNumberGenerator, _ name: String) -> Self {
        var arrival = self
        arrival.name = name
        arrival.places.shuffle(using: &generator)
        return arrival
    }

    func worked(inBatchesOf batch: Int, lanes: Int) -> Self {
        var arrival = self
        arrival.batch = batch
        arrival.lanes = lanes
        return arrival
    }
}

/// What a replay left behind.
struct ReplayResult: Sendable {
    struct DeadLetter: Sendable, Hashable {
        var projection: String?
        var reason: String
        var row: Int
        var position: String
        var detail: String
        var raw: [UInt8]
        var count: Int64
    }

    var summary: PassSummary
    var rows: [Relation: [[UInt8]]]
    var deadLetters: [DeadLetter]
    /// How many are in which status.
    var deliveries: [String: Int64]

    /// Distinct events, both projections'.
    var timelineCount: Int64 {
        [Relation.timeline, .itemsTimeline].reduce(0) { $0 + Int64((self.rows[$1]?.count ?? 1) - 1) }
    }
}

/// Runs replays as the command line does, each in a folder of its own and in the test's own database, emptied before.
enum FixtureReplay {
    static func withFolder<R>(_ body: (URL) async throws -> R) async throws -> R {
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "tidemark-fixtures-\(UInt64.random(in: .min ... .max))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try await body(folder)
    }

    /// Replays one arrival of one log.
    static func run(
        _ log: ShopLog,
        _ arrival: Arrival,
        changing change: (inout Configuration) -> Void = { _ in }
    ) async throws -> ReplayResult {
        let messages = try log.messages
        return try await Self.withFolder { folder in
            let path = folder.appending(path: log.fileName)
            try Self.write(arrival.places.map { messages[$0] }, to: path)
            var configuration = try log.configuration(in: folder)
            configuration.lanes = arrival.lanes
            configuration.limits.batchEvents = arrival.batch
            if !arrival.hasCache { configuration.limits.cacheBytes = 0 }
            change(&configuration)
            return try await Self.run(configuration, [path.path], comparedWith: log)
        }
    }

    static func write(_ messages: [[UInt8]], to path: URL) throws {
        try Data(messages.joined(separator: [UInt8(ascii: "\n")]) + [UInt8(ascii: "\n")]).write(to: path)
    }

    /// - Parameter log: whose relations are read; its headers say which columns.
    static func run(
        _ configuration: Configuration,
        _ paths: [String],
        comparedWith log: ShopLog,
        times: Int = 1
    ) async throws -> ReplayResult {
        let options = ConnectionOptions(TestDatabase.current.url, applicationName: "tidemark fixtures")
        let connection = try await Connection.connect(options)
        let result: Result<ReplayResult, any Error>
        do {
            try await connection.execute(Self.clear)
            _ = try await Migrator.migrate(connection)
            var summary = PassSummary()
            for _ in 0..<times { summary = try await Self.replay(configuration, paths, options, connection) }
            result = .success(try await Self.read(summary, configuration, log, connection))
        } catch {
            result = .failure(error)
        }
        await connection.close()
        return try result.get()
    }

    /// As good as a new database for each replay of a test, and several times as fast.
    private static let clear = """
        set client_min_messages = warning;
        drop schema if exists tidemark, tidemark_internal, public cascade;
        create schema public;
        """

    private static func replay(
        _ configuration: Configuration,
        _ paths: [String],
        _ options: ConnectionOptions,
        _ connection: Connection
    ) async throws -> PassSummary {
        let files = try InputResolver.resolve(paths)
        let request = ReplayRequest(configuration: configuration, files: files, options: options)
        var logger = Logger(label: "tidemark.fixtures")
        logger.logLevel = .error
        let outcome = try await ReplayRunner(request, logger: logger).run(on: connection)
        #expect(outcome.ending == .finished)
        return outcome.summary
    }

    private static func read(
        _ summary: PassSummary,
        _ configuration: Configuration,
        _ log: ShopLog,
        _ connection: Connection
    ) async throws -> ReplayResult {
        try await connection.execute("set timezone = 'UTC'")
        var rows: [Relation: [[UInt8]]] = [:]
        for projection in configuration.projections {
            for relation in Relation.allCases where relation.projection == projection.name {
                guard projection.timeline || !relation.needsTimeline else { continue }
                rows[relation] = try await relation.read(columns: log.rows(of: relation)[0], on: connection)
            }
        }
        let found = try await connection.query(
            """
            select projection, reason, "row", position, detail, raw, count from tidemark.dead_letters
            order by substring(position from '[0-9]+$')::integer, "row"
            """
        )
        var letters: [ReplayResult.DeadLetter] = []
        for row in 0..<found.rowCount {
            letters.append(
                ReplayResult.DeadLetter(
                    projection: try found.text(row, 0),
                    reason: try found.text(row, 1) ?? "",
                    row: Int(try found.int32(row, 2) ?? -1),
                    position: try found.text(row, 3) ?? "",
                    detail: try found.text(row, 4) ?? "",
                    raw: try found.bytes(row, 5) ?? [],
                    count: try found.int64(row, 6) ?? 0
                )
            )
        }
        let due = try await connection.query("select status, count(*) from tidemark.deliveries group by status")
        var deliveries: [String: Int64] = [:]
        for row in 0..<due.rowCount { deliveries[try due.text(row, 0) ?? ""] = try due.int64(row, 1) }
        return ReplayResult(summary: summary, rows: rows, deadLetters: letters, deliveries: deliveries)
    }
}
