import Foundation
import LibPQ
import Logging
import Synchronization
import Testing

@testable import TidemarkNotifier

@Suite(.timeLimit(.minutes(15)))
struct NotifierKindTests {
    private static func delivery(_ body: String = #"{"type":"orders.shipped"}"#) -> Delivery {
        Delivery(
            id: "7d444840-9dc0-51d1-b245-5ffdce74fad2",
            projection: "orders",
            keyJSON: #"["; touch /tmp/pwned"]"#,
            milestone: "shipped",
            notifier: "tell",
            attempt: 3,
            body: Array(body.utf8)
        )
    }

    // MARK: command

    private static func run(
        _ script: String,
        body: String = #"{"type":"orders.shipped"}"#,
        timeout: Duration = .seconds(60),
        environment: [String: String] = ["PATH": "/usr/bin:/bin"]
    ) async -> DeliveryResult {
        var settings = CommandSettings(program: "/bin/sh", arguments: ["-c", script])
        settings.timeout = timeout
        settings.environment = environment
        return await CommandNotifier(settings).deliver(Self.delivery(body))
    }

    @Test func aProgramGetsTheBodyAndWhatItIsAbout() async {
        let result = await Self.run(
            #"cat; echo; echo "$TIDEMARK_ID $TIDEMARK_PROJECTION $TIDEMARK_MILESTONE $TIDEMARK_ATTEMPT""#
        )
        #expect(result.outcome == .delivered && result.status == 0)
        #expect(
            result.excerpt
                == "{\"type\":\"orders.shipped\"}\n7d444840-9dc0-51d1-b245-5ffdce74fad2 orders shipped 3\n"
        )
    }

    @Test func itsExitCodeSaysWhatCameOfIt() async {
        #expect(await Self.run("exit 0").outcome == .delivered)
        let later = await Self.run("echo busy >&2; exit 75")
        #expect(later.outcome == .retry(after: nil) && later.status == 75 && later.excerpt == "busy\n")
        for code in [1, 2, 64, 74, 76, 127] {
            let result = await Self.run("exit \(code)")
            #expect(result.outcome == .dead && result.status == code && result.reason == "exit code \(code)")
        }
        #expect(await Self.run("kill -9 $$").outcome == .retry(after: nil))
    }

    /// It keeps standard output open.
    @Test func aProgramLeftBehindKeepsNoDeliveryOpen() async {
        let result = await Self.run("echo done; sleep 120 & exit 0", timeout: .seconds(30))
        #expect(result.outcome == .delivered && result.excerpt == "done\n", "\(result)")
    }

    @Test func aProgramThatReadsNothingOrSaysMuchIsNoneTheWorse() async {
        let large = "\"" + String(repeating: "x", count: 1 << 20) + "\""
        #expect(await Self.run("exit 0", body: large).outcome == .delivered)
        let loud = await Self.run("cat; cat", body: large)
        #expect(loud.outcome == .delivered && loud.excerpt?.utf8.count == DeliveryResult.excerptBytesMax)
    }

    @Test func aProgramThatDoesNotEndIsEndedWithAllThatItStarted() async {
        let result = await Self.run("sleep 600 & sleep 600", timeout: .milliseconds(200))
        #expect(result.outcome == .retry(after: nil) && result.reason == "no end within 0.2 seconds")
    }

    @Test func aProgramThatIsNotThereIsTriedAgain() async {
        let notifier = CommandNotifier(CommandSettings(program: "/nowhere/tell"))
        let result = await notifier.deliver(Self.delivery())
        #expect(result.outcome == .retry(after: nil) && result.reason == "/nowhere/tell: there is no such program")
    }

    @Test func aProgramSeesOnlyTheEnvironmentItIsGiven() async {
        let result = await Self.run("env", environment: ["PATH": "/usr/bin:/bin", "TOKEN": "given"])
        let names = Set((result.excerpt ?? "").split(separator: "\n").compactMap { $0.split(separator: "=").first })
        #expect(names.contains("TOKEN") && names.contains("TIDEMARK_ID"))
        #expect(!names.contains("TIDEMARK_TEST_DATABASE_URL") && !names.contains("HOME"))
    }

    // MARK: postgres

    @Test func aNotificationCarriesTheBodyOrTheIdAlone() async throws {
        try await TestDatabase.with { database in
            let listener = try await Connection.connect(database.options)
            try await listener.execute(#"listen "Shipped ü""#)
            let notifier = PostgresNotifier(channel: "Shipped ü", options: database.options)
            let fits = "\"" + String(repeating: "x", count: 7997) + "\""
            for body in [#"{"type":"orders.shipped"}"#, fits, fits + " "] {
                #expect(await notifier.deliver(Self.delivery(body)) == .delivered)
                let heard = try await listener.notifications(timeout: .seconds(30))
                let payload = body.utf8.count < 8000 ? body : #"{"id":"7d444840-9dc0-51d1-b245-5ffdce74fad2"}"#
                #expect(heard.map(\.payload) == [payload])
            }
            await notifier.shutdown()
            await listener.close()
        }
    }

    @Test func aDatabaseThatIsAwayIsTriedAgain() async {
        let options = ConnectionOptions("host=/nowhere dbname=x password=S3CRET connect_timeout=2")
        let notifier = PostgresNotifier(channel: "shipped", options: options)
        let result = await notifier.deliver(Self.delivery())
        #expect(result.outcome == .retry(after: nil))
        #expect(result.reason?.contains("S3CRET") == false)
        await notifier.shutdown()
    }

    // MARK: log

    @Test func aLogLineHasTheIdAndNothingOfTheRow() async {
        let lines = LineLog()
        let notifier = LogNotifier(Logger(label: "test") { _ in lines })
        #expect(await notifier.deliver(Self.delivery(#"{"row":"S3CRET"}"#)) == .delivered)
        #expect(lines.text.contains("7d444840-9dc0-51d1-b245-5ffdce74fad2") && lines.text.contains("shipped"))
        #expect(!lines.text.contains("S3CRET") && !lines.text.contains("touch"))
    }
}

/// Keeps what is logged.
private final class LineLog: LogHandler, Sendable {
    private let lines = Mutex<[String]>([])
    var text: String { self.lines.withLock { $0.joined(separator: "\n") } }
    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        self.lines.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
    }
}
