import ArgumentParser
import Foundation
import Synchronization
import Testing
import TidemarkConfiguration
import UnixSignals

@testable import TidemarkCommands

@Suite("What `run` is started and stopped with")
struct RunOptionTests {
    @Test("--listen is over the configuration")
    func listen() throws {
        var configuration = Configuration()
        try ListenOptions.parse([]).apply(to: &configuration)
        #expect(configuration.server?.listen == .standard)
        try ListenOptions.parse(["--listen", "[::1]:0"]).apply(to: &configuration)
        #expect(configuration.server?.listen.description == "[::1]:0")
        try ListenOptions.parse(["--listen", "none"]).apply(to: &configuration)
        #expect(configuration.server == nil)
        let open = try ListenOptions.parse(["--listen", "0.0.0.0:80"])
        let error = #expect(throws: (any Error).self) { try open.apply(to: &configuration) }
        let failure = try #require(error as? CommandFailure)
        #expect(failure.message.contains("--listen: \"0.0.0.0:80\" is not a loopback address"), "\(failure)")
        #expect(failure.code == 78)
        // What else is configured of the server stays.
        var server = ServerSettings()
        (server.tokens, server.isInsecure) = ([Secret("a-token-of-16-bytes")], true)
        configuration.server = server
        try open.apply(to: &configuration)
        #expect(configuration.server?.listen.description == "0.0.0.0:80" && configuration.server?.tokens.count == 1)
    }

    private final class Calls: Sendable {
        private let calls = Mutex<[String]>([])
        var all: [String] { self.calls.withLock { $0 } }
        func add(_ call: String) { self.calls.withLock { $0.append(call) } }
    }

    @Test("The first signal asks to stop, the second ends the process, and SIGHUP reloads until then")
    func signals() {
        let calls = Calls()
        let watch = SignalWatch { calls.add("exit \($0)") }
        func send(_ signal: UnixSignal) {
            watch.handle(signal, onFirst: { calls.add("stop") }, onReload: { calls.add("reload") })
        }
        send(.sighup)
        send(.sighup)
        #expect(watch.received == nil)
        send(.sigterm)
        #expect(watch.received == SIGTERM)
        send(.sighup)
        send(.sigint)
        #expect(calls.all == ["reload", "reload", "stop", "exit 130"])
        #expect(watch.received == SIGTERM)
    }

    @Test("SIGHUP does not end a process that reloads", .timeLimit(.minutes(1)))
    func hangUp() async {
        let (reloads, continuation) = AsyncStream.makeStream(of: Void.self)
        let watch = SignalWatch()
        await watch.start(onFirst: {}, onReload: { continuation.yield() })
        kill(getpid(), SIGHUP)
        var iterator = reloads.makeAsyncIterator()
        await iterator.next()
        #expect(watch.received == nil)
    }
}
