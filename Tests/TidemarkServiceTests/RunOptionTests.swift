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
        let error = #expect(throws: (any Error).self) { try ListenOptions.parse(["--listen", "0.0.0.0:80"]) }
        let message = ListenOptions.message(for: try #require(error))
        #expect(message.contains("--listen: \"0.0.0.0:80\" is not a loopback address"), "\(message)")
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
