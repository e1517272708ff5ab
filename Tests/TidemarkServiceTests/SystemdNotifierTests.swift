import Dispatch
import Foundation
import PlatformC
import ServiceLifecycle
import Testing

@testable import TidemarkService

/// The socket that systemd would read.
private final class Receiver: Sendable {
    private let descriptor: Int32

    /// - Parameter address: as in `NOTIFY_SOCKET`.
    init(_ address: String) throws {
        #if canImport(Darwin)
            let kind = SOCK_DGRAM
        #else
            let kind = Int32(SOCK_DGRAM.rawValue)
        #endif
        self.descriptor = socket(AF_UNIX, kind, 0)
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        var path = Array(address.utf8)
        if path[0] == UInt8(ascii: "@") { path[0] = 0 }
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path) }
        let offset = MemoryLayout.offset(of: \sockaddr_un.sun_path) ?? 2
        let length = socklen_t(offset + path.count + (path[0] == 0 ? 0 : 1))
        let status = withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(self.descriptor, $0, length) }
        }
        try #require(status == 0, "\(address): \(String(cString: strerror(errno)))")
    }

    deinit { close(self.descriptor) }

    /// The next message, or `nil` after a minute, or at once if there is none and it does not wait.
    func next(waits: Bool = true) -> [String]? {
        var watched = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&watched, 1, waits ? 60_000 : 0) > 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = recv(self.descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).components(separatedBy: "\n")
    }
}

@Suite("systemd", .timeLimit(.minutes(5)))
struct SystemdNotifierTests {
    private static func path() -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent("notify-\(UUID().uuidString.prefix(8))").path
    }

    private let clock = TestClock()
    private let log = RecordedLog()

    private func board() -> HealthBoard { HealthBoard(logger: self.log.logger) { [clock] in clock.now } }

    private func notifier(_ board: HealthBoard, _ environment: [String: String]) -> SystemdNotifier {
        SystemdNotifier(environment: environment, board: board, logger: self.log.logger)
    }

    @Test("is told of each state", arguments: [false, true])
    func states(isAbstract: Bool) throws {
        #if !os(Linux)
            if isAbstract { return }
        #endif
        let path = Self.path()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let address = isAbstract ? "@tidemark-\(UUID().uuidString)" : path
        let receiver = try Receiver(address)
        let notifier = self.notifier(self.board(), ["NOTIFY_SOCKET": address])
        notifier.ready("2 sources\nREADY=0")
        #expect(receiver.next() == ["READY=1", "STATUS=2 sources READY=0"])
        notifier.status("level")
        #expect(receiver.next() == ["STATUS=level"])
        notifier.reloading()
        let reload = try #require(receiver.next())
        #expect(reload.count == 2 && reload[0] == "RELOADING=1" && reload[1].hasPrefix("MONOTONIC_USEC="))
        notifier.stopping(within: .seconds(30), "draining")
        #expect(receiver.next() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=40000000", "STATUS=draining"])
        #expect(receiver.next(waits: false) == nil)
    }

    @Test("is given more time until the service is ready, and then its watchdog is fed while the lanes make progress")
    func watchdog() throws {
        let path = Self.path()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let receiver = try Receiver(path)
        let board = self.board()
        let notifier = self.notifier(
            board,
            ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "\(getpid())"]
        )
        notifier.tick()
        #expect(receiver.next() == ["WATCHDOG=1", "EXTEND_TIMEOUT_USEC=60000000"])
        notifier.ready()
        #expect(receiver.next() == ["READY=1"])
        notifier.tick()
        #expect(receiver.next() == ["WATCHDOG=1"])
        board.busy("lane 1")
        self.clock.advance(seconds: 61)
        notifier.tick()
        #expect(receiver.next(waits: false) == nil)
        board.beat("lane 1")
        notifier.tick()
        #expect(receiver.next(waits: false) == ["WATCHDOG=1"])
    }

    @Test("gets the watchdog's messages from a group until that is shut down")
    func service() async throws {
        let path = Self.path()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let receiver = try Receiver(path)
        let notifier = self.notifier(self.board(), ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000"])
        notifier.ready()
        let group = ServiceGroup(services: [notifier], logger: self.log.logger)
        async let result: Void = group.run()
        #expect(receiver.next() == ["READY=1"])
        #expect(await Self.next(receiver) == ["WATCHDOG=1"])
        #expect(await Self.next(receiver) == ["WATCHDOG=1"])
        await group.triggerGracefulShutdown()
        try await result
    }

    /// Waits on a thread that is not Swift's, because the notifier needs one of those.
    private static func next(_ receiver: Receiver) async -> [String]? {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: receiver.next()) }
        }
    }

    @Test("that is not there, or whose watchdog is another process's, is left alone")
    func absent() async throws {
        let none = self.notifier(self.board(), [:])
        none.ready()
        none.tick()
        let group = ServiceGroup(services: [none], logger: self.log.logger)
        async let result: Void = group.run()
        await group.triggerGracefulShutdown()
        try await result
        _ = self.log.take()

        _ = self.notifier(self.board(), ["NOTIFY_SOCKET": "vsock:2:1234"])
        #expect(self.log.take() == ["warning NOTIFY_SOCKET is no socket that can be used address=vsock:2:1234"])

        let path = Self.path()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let receiver = try Receiver(path)
        let other = self.notifier(
            self.board(),
            ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"]
        )
        other.ready()
        other.tick()
        #expect(receiver.next() == ["READY=1"])
        #expect(receiver.next(waits: false) == nil)
    }
}
