import AsyncAlgorithms
import Dispatch
import Foundation
package import Logging
import PlatformC
import ServiceLifecycle
import Synchronization

/// Tells systemd of the service's state, as sd_notify(3) does, over the datagram socket that `NOTIFY_SOCKET` names.
/// Without one it does nothing.
///
/// The watchdog is fed only while ``HealthBoard/isAlive``. Placed first in a group it is shut down last, so that it is fed
/// while the rest drains.
package final class SystemdNotifier: Service {
    private enum Phase { case starting, ready, stopping }

    /// How often the start timeout is extended.
    private static let startInterval = Duration.seconds(10)

    private let socket: NotifySocket?
    private let watchdogInterval: Duration?
    private let board: HealthBoard
    private let logger: Logger
    private let phase = Mutex(Phase.starting)

    package init(
        environment: [String: String] = ProcessInfo.processInfo.environment,
        board: HealthBoard,
        logger: Logger
    ) {
        self.board = board
        self.logger = logger
        let address = environment["NOTIFY_SOCKET"] ?? ""
        self.socket = NotifySocket(address)
        if self.socket == nil, !address.isEmpty {
            logger.warning("NOTIFY_SOCKET is no socket that can be used", metadata: ["address": "\(address)"])
        }
        self.watchdogInterval = Self.watchdogInterval(environment)
    }

    /// Half of the watchdog's limit, if it is meant for this process.
    private static func watchdogInterval(_ environment: [String: String]) -> Duration? {
        guard let limit = environment["WATCHDOG_USEC"].flatMap({ Int64($0) }), limit > 0 else { return nil }
        if let process = environment["WATCHDOG_PID"], Int32(process) != getpid() { return nil }
        return .microseconds(limit / 2)
    }

    /// All sources have started, or a reload is over.
    package func ready(_ status: String? = nil) {
        self.phase.withLock { $0 = .ready }
        self.send(["READY=1"], status)
    }

    package var isReady: Bool { self.phase.withLock { $0 == .ready } }

    package func reloading(_ status: String? = nil) {
        // The clock of `uptimeNanoseconds` is CLOCK_MONOTONIC, which is what systemd compares with.
        let microseconds = DispatchTime.now().uptimeNanoseconds / 1000
        self.send(["RELOADING=1", "MONOTONIC_USEC=\(microseconds)"], status)
    }

    /// - Parameter limit: how long draining may take: systemd waits that long, and ten seconds more.
    package func stopping(within limit: Duration, _ status: String? = nil) {
        self.phase.withLock { $0 = .stopping }
        self.send(["STOPPING=1", Self.extension(limit + .seconds(10))], status)
    }

    /// What `systemctl status` shows.
    package func status(_ text: String) { self.send([], text) }

    /// Feeds the watchdog. Until ``ready(_:)`` it extends the start timeout instead, because the database may be away
    /// for hours when the service starts.
    package func run() async throws {
        guard self.socket != nil else { return try await gracefulShutdown() }
        let interval = self.watchdogInterval.map { min($0, Self.startInterval) } ?? Self.startInterval
        for await _ in AsyncTimerSequence.repeating(every: interval).cancelOnGracefulShutdown() { self.tick() }
    }

    func tick() {
        guard self.board.isAlive else { return }
        var lines: [String] = []
        if self.watchdogInterval != nil { lines.append("WATCHDOG=1") }
        if self.phase.withLock({ $0 == .starting }) { lines.append(Self.extension(Self.startInterval * 6)) }
        if !lines.isEmpty { self.send(lines, nil) }
    }

    private static func `extension`(_ duration: Duration) -> String {
        "EXTEND_TIMEOUT_USEC=\(Int64(duration / .microseconds(1)))"
    }

    private func send(_ lines: [String], _ status: String?) {
        guard let socket = self.socket else { return }
        // A line break would begin another assignment.
        let shown = status.map { ["STATUS=" + $0.split(whereSeparator: \.isNewline).joined(separator: " ")] } ?? []
        let error = socket.send((lines + shown).joined(separator: "\n"))
        if error != 0 {
            self.logger.debug("systemd was not told", metadata: ["reason": "\(String(cString: strerror(error)))"])
        }
    }
}

/// A datagram socket with the address of another.
private final class NotifySocket: Sendable {
    private let descriptor: Int32
    private let path: [UInt8]

    /// - Parameter address: a path, or `@` and a name in the abstract namespace. systemd passes others (`vsock:`) to
    ///   machines only.
    init?(_ address: String) {
        var path = Array(address.utf8)
        let limit = MemoryLayout.size(ofValue: sockaddr_un().sun_path)
        guard path.count > 1, path.count < limit, path[0] == UInt8(ascii: "/") || path[0] == UInt8(ascii: "@") else {
            return nil
        }
        if path[0] == UInt8(ascii: "@") { path[0] = 0 }
        #if canImport(Darwin)
            let kind = SOCK_DGRAM
        #else
            let kind = Int32(SOCK_DGRAM.rawValue)
        #endif
        self.path = path
        self.descriptor = socket(AF_UNIX, kind, 0)
        guard self.descriptor >= 0 else { return nil }
        _ = fcntl(self.descriptor, F_SETFD, FD_CLOEXEC)
        // A receiver that does not read must not stop this process.
        var limitOfTime = timeval(tv_sec: 1, tv_usec: 0)
        _ = setsockopt(
            self.descriptor,
            SOL_SOCKET,
            SO_SNDTIMEO,
            &limitOfTime,
            socklen_t(MemoryLayout<timeval>.size)
        )
    }

    deinit { if self.descriptor >= 0 { close(self.descriptor) } }

    /// - Returns: 0, or the error's number.
    func send(_ text: String) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: self.path) }
        // A name in the abstract namespace ends with its length, so it must not include the zeros behind it.
        let offset = MemoryLayout.offset(of: \sockaddr_un.sun_path) ?? 2
        let length = socklen_t(offset + self.path.count + (self.path[0] == 0 ? 0 : 1))
        let bytes = Array(text.utf8)
        let sent = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(self.descriptor, bytes, bytes.count, 0, $0, length)
            }
        }
        return sent < 0 ? errno : 0
    }
}
