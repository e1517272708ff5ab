import LibPQ
import Logging
import Synchronization
import Testing
import TidemarkStore

/// How an outage of the database is logged.
struct OutageLogTests {
    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { self.lines.withLock { $0 } }
        func add(_ line: String) { self.lines.withLock { $0.append(line) } }
    }

    private struct Handler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let pairs = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
            self.lines.add("\(event.level): \(event.message)\(pairs.joined())")
        }
    }

    private let lines = Lines()
    private let start = ContinuousClock.now
    private var log: OutageLog { OutageLog(Logger(label: "test") { _ in Handler(lines: self.lines) }) }

    private static let refused = PostgresError(.connectionFailed, "connection refused")

    @Test func isOneLineForAllConnectionsOneAMinuteAndOneAtItsEnd() {
        let log = self.log
        for second in stride(from: 0, through: 125, by: 5) {
            log.failed(Self.refused, at: self.start + .seconds(second))
        }
        log.succeeded(at: self.start + .seconds(130))
        log.succeeded(at: self.start + .seconds(131))
        #expect(
            self.lines.all == [
                "warning: database not available; trying again error=cannot connect: connection refused",
                "warning: database not available; trying again error=cannot connect: connection refused for=60 s",
                "warning: database not available; trying again error=cannot connect: connection refused for=120 s",
                "warning: the database is back after=130 s",
            ]
        )
    }

    /// A full disk is no database that is away.
    @Test(arguments: [
        ("53100", "the database's disk is full; trying again"),
        ("53300", "the database takes no more connections; trying again"),
        ("53200", "the database lacks resources; trying again"),
        ("57P01", "database not available; trying again"),
        ("57014", "the database cancelled a statement; trying again"),
    ])
    func saysWhatKindItIs(_ sqlState: String, _ message: String) throws {
        self.log.failed(PostgresError(.serverError, sqlState: sqlState, "the server's words"), at: self.start)
        let line = try #require(self.lines.all.first)
        #expect(line == "warning: \(message) error=PostgreSQL reports (SQLSTATE \(sqlState)): the server's words")
    }

    @Test func anotherReasonIsAnotherLine() {
        let log = self.log
        log.failed(Self.refused, at: self.start)
        log.failed(PostgresError(.serverError, sqlState: "57P03", "starting up"), at: self.start + .seconds(1))
        log.failed(PostgresError(.serverError, sqlState: "53100", "no space"), at: self.start + .seconds(2))
        log.succeeded(at: self.start + .seconds(9))
        #expect(self.lines.all.count == 3 && self.lines.all.last?.hasSuffix("after=9 s") == true, "\(self.lines.all)")
    }

    @Test func aDeadlockIsNoOutage() {
        let log = self.log
        log.failed(PostgresError(.serverError, sqlState: "40P01", "deadlock detected"), at: self.start)
        log.succeeded(at: self.start + .seconds(1))
        #expect(self.lines.all.count == 1, "\(self.lines.all)")
    }

    /// A connection that was idle in an outage is found lost after it, when the database is back.
    @Test func onlyWhatTheDatabaseRefusesIsARefusal() {
        let told = Lines()
        let log = OutageLog(Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
            told.add($0?.sqlState ?? "over")
        }
        for sqlState in [nil, "08006", "57P01", "57P03", "40001"] {
            log.failed(PostgresError(sqlState == nil ? .connectionLost : .serverError, sqlState: sqlState, "lost"))
            #expect(!log.isRefusal)
        }
        log.succeeded()
        #expect(told.all == [])
        log.failed(PostgresError(.serverError, sqlState: "53100", "no space"))
        log.failed(PostgresError(.connectionLost, "lost"))
        // Whether there is room again, no connection tells.
        #expect(log.isRefusal)
        log.succeeded()
        #expect(!log.isRefusal && told.all == ["53100", "over"], "\(told.all)")
    }
}
