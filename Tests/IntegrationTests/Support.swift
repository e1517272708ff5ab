import Foundation
import LibPQ
import Logging
import Synchronization
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkSources
import TidemarkStore
import TidemarkTesting

/// A folder for one test's files, removed afterwards.
func withFolder<R>(_ body: (URL) async throws -> R) async throws -> R {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tidemark-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try await body(folder)
}

/// Real input that may lie in a folder `shared` beside the project or above it.
func sharedFile(_ path: String) -> URL? {
    var folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    while folder.path != "/" {
        let file = folder.appendingPathComponent("shared").appendingPathComponent(path)
        if FileManager.default.fileExists(atPath: file.path) { return file }
        folder.deleteLastPathComponent()
    }
    return nil
}

/// A digest of each relation of a projection, and of what it left in the outbox: what must be the same whatever the
/// order of arrival. What is about arrival alone is left out.
struct ReadModelDigest: Hashable, Sendable, CustomStringConvertible {
    var relations: [String: String] = [:]

    /// - Parameters:
    ///   - key: of the projection, for an order.
    ///   - includesArrival: compares also what depends on the order of arrival, but not on batches and crashes.
    init(
        table: String,
        key: String,
        timeline: Bool = true,
        includesArrival: Bool = false,
        on connection: Connection
    ) async throws {
        let late = includesArrival ? "" : " - 'late'"
        var queries = [
            "orders": "select to_jsonb(t)::text, row_number() over (order by \(key)) as n from \(table) as t",
            "milestones": """
            select (to_jsonb(t) - 'reached_at')::text, row_number() over (order by \(key), milestone) as n
            from \(table)_milestones as t
            """,
            "deliveries": """
            select concat_ws(' ', id, projection, key, milestone, notifier, status),
                row_number() over (order by projection, key, milestone, notifier) as n
            from tidemark.deliveries
            """,
        ]
        if timeline {
            queries["timeline"] = """
                select (to_jsonb(t) - 'received_at'\(late))::text, row_number() over (order by \(key), order_key) as n
                from \(table)_timeline as t
                """
            queries["history"] = """
                select to_jsonb(t)::text, row_number() over (order by \(key), valid_from, to_jsonb(t)::text) as n
                from \(table)_history as t
                """
        }
        for (name, sql) in queries {
            self.relations[name] = try await connection.value(
                "select count(*) || ' rows, ' || md5(coalesce(string_agg(line, E'\\n' order by n), '')) from (\(sql)) as rows(line, n)"
            )
        }
    }

    var description: String {
        self.relations.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: "; ")
    }
}

/// The projection of ``GeneratedLog``, as its configuration file.
enum Shop {
    static let projection = """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns:
              id: bigint
              customer: text
              status: text
              version: integer
              amount: numeric(12,2)
              updated_at: timestamptz
        \(GeneratedLog.lifecycle.split(separator: "\n").map { "    " + $0 }.joined(separator: "\n"))
            milestones:
              shipped: { state: shipped, notify: [warehouse], unless: [returned] }
        notifiers:
          warehouse:
            type: webhook
            url: "https://warehouse.example/hooks"
            secret: "whsec_dGlkZW1hcmsgdGVzdCBzZWNyZXQgMDEyMzQ1Njc4OQ=="

        """

    /// The same for the Olist orders.
    static let olist = """
        projections:
          - name: orders
            from: [olist.orders]
            key: order_id
            sequence: version
            state: order_status
            columns:
              order_id: text
              customer_id: text
              order_status: text
              version: integer
              order_purchase_timestamp: timestamp
              order_approved_at: timestamp
              order_delivered_carrier_date: timestamp
              order_delivered_customer_date: timestamp
              order_estimated_delivery_date: timestamp
            lifecycle:
              initial: created
              transitions:
                created: [approved, invoiced, processing, canceled, unavailable]
                approved: [invoiced, processing, shipped, canceled, unavailable]
                invoiced: [processing, shipped, canceled, unavailable]
                processing: [shipped, canceled, unavailable]
                shipped: [delivered, canceled]
            milestones:
              shipped: { state: shipped, notify: [warehouse] }
        notifiers:
          warehouse:
            type: webhook
            url: "https://warehouse.example/hooks"
            secret: "whsec_dGlkZW1hcmsgdGVzdCBzZWNyZXQgMDEyMzQ1Njc4OQ=="

        """
}

/// A configuration, read as from a file in a folder.
func configuration(_ yaml: String, in folder: String = "") throws -> Configuration {
    try ConfigurationLoader.load(
        yaml: yaml,
        fileName: folder + "tidemark.yaml",
        environment: [:],
        ignoresDatabase: true
    ).configuration
}

/// Runs a replay in this process, through the libraries.
func replay(
    _ yaml: String,
    _ files: [URL],
    on connection: Connection,
    _ database: TestDatabase,
    logger: Logger = .quiet,
    _ change: (inout ReplayRequest) -> Void = { _ in },
    started: (ReplayRunner) -> Void = { _ in }
) async throws -> PassOutcome {
    let folder = files.first.map { $0.deletingLastPathComponent().path + "/" } ?? ""
    var request = ReplayRequest(
        configuration: try configuration(yaml, in: folder),
        files: try InputResolver.resolve(files.map(\.path)),
        options: ConnectionOptions(database.url, applicationName: "tidemark replay")
    )
    change(&request)
    let runner = ReplayRunner(request, logger: logger)
    started(runner)
    return try await runner.run(on: connection)
}

/// Prunes as `tidemark prune` does, beside other processes.
func prune(
    _ projection: String,
    before cutoff: Int64,
    on connection: Connection,
    _ database: TestDatabase
) async throws -> Pruning.Outcome {
    let settings = ProcessSession.Settings(
        ConnectionOptions(database.url, applicationName: "tidemark prune"),
        projections: [projection],
        operations: [projection],
        logger: .quiet
    )
    return try await ProcessSession.with(connection, settings) { process in
        try await process.enter(on: connection)
        return try await Pruning.prune(projection, before: cutoff, on: connection)
    }
}

extension Logger {
    /// Drops all lines.
    static var quiet: Logger { Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() } }
}

/// A number that several tasks add to.
final class Counter: Sendable {
    private let count = Atomic(0)
    var value: Int { self.count.load(ordering: .acquiring) }
    func add(_ more: Int) { self.count.add(more, ordering: .releasing) }
}

/// Does something at the nth call, from whatever thread it comes.
final class Countdown: Sendable {
    private let state: Mutex<(left: Int, action: (@Sendable () -> Void)?)>

    init(_ count: Int) {
        self.state = Mutex((count, nil))
    }

    func onZero(_ action: @escaping @Sendable () -> Void) {
        self.state.withLock { $0.action = action }
    }

    func tick() {
        let action = self.state.withLock { state -> (@Sendable () -> Void)? in
            guard state.left > 0 else { return nil }
            state.left -= 1
            return state.left == 0 ? state.action : nil
        }
        action?()
    }
}

/// The lines of a log, compressed or not.
final class LineSource {
    private let reader: LineReader
    private var lines: [[UInt8]] = []

    init(_ file: URL) throws {
        self.reader = try LineReader(
            try InputResolver.resolve([file.path])[0],
            messageBytesMax: 1 << 24,
            interrupt: Interrupt()
        )
    }

    func next() throws -> [UInt8]? {
        while self.lines.isEmpty {
            guard let block = try self.reader.nextBlock() else { return nil }
            self.lines = block.messages.reversed().map { Array(block.bytes[$0.range]) }
        }
        return self.lines.removeLast()
    }
}
