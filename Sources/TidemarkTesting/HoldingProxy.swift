import Foundation
import Synchronization

/// Stands between a client and PostgreSQL, on a Unix socket, and can hold back what the server answers to a COMMIT: the
/// server has committed, and the client does not know it yet. It can also cut all connections, as a server does that is
/// restarted.
package final class HoldingProxy: Sendable {
    private struct State {
        var listener: Int32 = -1
        var connections: [Int: Pair] = [:]
        var nextConnection = 0
        var isHolding = false
        /// Answers to a COMMIT that still pass before the first is held.
        var passing = 0
        var isRefusing = false
        var refused = 0
        /// Nothing passes in either direction, and no connection is closed.
        var isSilent = false
        /// Connections on which an answer to a COMMIT is held back.
        var held: Set<Int> = []
    }

    private struct Pair {
        var client: Int32
        var server: Int32
    }

    private let state = Mutex(State())
    private let changed = Signal()
    private let target: ServerAddress
    private let folder: String

    /// What clients connect to.
    package let address: ServerAddress

    /// - Parameter target: of the server: a Unix socket or a host.
    package init(to target: ServerAddress) throws {
        self.target = target
        // The path of a Unix socket has to be short.
        self.folder = "/tmp/tm-\(String(UInt32.random(in: .min ... .max), radix: 36))"
        self.address = ServerAddress(host: self.folder, port: "5432")
        guard mkdir(self.folder, 0o700) == 0 else { throw ProxyError("cannot make \(self.folder)") }
        let listener = try Self.listen(at: self.address.socketPath)
        self.state.withLock { $0.listener = listener }
        Thread.detachNewThread { [self] in self.acceptAll(listener) }
    }

    /// Ends all connections and removes the socket.
    package func close() {
        let listener = self.state.withLock { state in
            defer { state.listener = -1 }
            return state.listener
        }
        self.cut(refusing: true)
        guard listener >= 0 else { return }
        shutdown(listener, Int32(SHUT_RDWR))
        Glibc.close(listener)
        unlink(self.address.socketPath)
        rmdir(self.folder)
    }

    // MARK: What tests ask for

    /// From now on the first answer to a COMMIT on each connection, and all behind it, is kept here.
    /// - Parameter count: answers, over all connections, that pass before that.
    package func holdCommits(after count: Int = 0) {
        self.state.withLock { state in
            state.isHolding = true
            state.passing = count
        }
    }

    /// Waits until an answer to a COMMIT is held: the server has committed.
    /// - Returns: `false` when `isOver` became true before.
    package func untilCommitIsHeld(orUntil isOver: @escaping @Sendable () -> Bool) async -> Bool {
        await self.waiting { self.changed.wait { isOver() || self.state.withLock { !$0.held.isEmpty } } }
        return self.state.withLock { !$0.held.isEmpty }
    }

    /// Waits on a thread of its own: those of the concurrency pool must not block.
    private func waiting(_ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                body()
                continuation.resume()
            }
        }
    }

    /// Wakes whoever waits, to look again.
    package func poke() { self.changed.broadcast() }

    /// Cuts all connections, answers that are held included.
    /// - Parameter refusing: new connections are cut at once until ``accept()``.
    package func cut(refusing: Bool) {
        let pairs = self.state.withLock { state in
            state.isRefusing = refusing
            state.isHolding = false
            state.held = []
            return Array(state.connections.values)
        }
        for pair in pairs {
            shutdown(pair.client, Int32(SHUT_RDWR))
            shutdown(pair.server, Int32(SHUT_RDWR))
        }
        self.changed.broadcast()
    }

    /// Passes nothing on any more, and closes nothing: a peer that waits for an answer waits until ``speak()``.
    package func silence() {
        self.state.withLock { $0.isSilent = true }
    }

    package func speak() {
        self.state.withLock { $0.isSilent = false }
        self.changed.broadcast()
    }

    /// Waits while the proxy is silent.
    private func waitToSpeak() {
        guard self.state.withLock({ $0.isSilent }) else { return }
        self.changed.wait { self.state.withLock { !$0.isSilent || $0.listener < 0 } }
    }

    /// Waits until so many new connections have been refused.
    package func untilRefused(_ count: Int, orUntil isOver: @escaping @Sendable () -> Bool) async {
        await self.waiting { self.changed.wait { isOver() || self.state.withLock { $0.refused >= count } } }
    }

    /// Takes new connections again.
    package func accept() {
        self.state.withLock { state in
            state.isRefusing = false
            state.refused = 0
        }
    }

    // MARK: Sockets

    private static func unixAddress(_ path: String) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { bytes in
            let path = Array(path.utf8.prefix(bytes.count - 1))
            bytes.copyBytes(from: path)
        }
        return address
    }

    static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = Self.unixAddress(path)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    static func listen(at path: String) throws -> Int32 {
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard listener >= 0, Self.withAddress(path, { bind(listener, $0, $1) }) == 0, Glibc.listen(listener, 64) == 0
        else { throw ProxyError("cannot listen at \(path): \(String(cString: strerror(errno)))") }
        return listener
    }

    private func connect() -> Int32 {
        if self.target.isUnixSocket {
            let server = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            if Self.withAddress(self.target.socketPath, { Glibc.connect(server, $0, $1) }) == 0 { return server }
            Glibc.close(server)
            return -1
        }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(self.target.host, self.target.port, &hints, &found) == 0 else { return -1 }
        defer { freeaddrinfo(found) }
        var next = found
        while let info = next {
            let server = socket(info.pointee.ai_family, info.pointee.ai_socktype, info.pointee.ai_protocol)
            if Glibc.connect(server, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0 { return server }
            Glibc.close(server)
            next = info.pointee.ai_next
        }
        return -1
    }

    private func acceptAll(_ listener: Int32) {
        while true {
            let client = Glibc.accept(listener, nil, nil)
            guard client >= 0 else {
                if errno == EINTR { continue }
                return
            }
            let isRefused = self.state.withLock { state in
                if state.isRefusing { state.refused += 1 }
                return state.isRefusing
            }
            let server = isRefused ? -1 : self.connect()
            guard server >= 0 else {
                Glibc.close(client)
                self.changed.broadcast()
                continue
            }
            let number = self.state.withLock { state in
                state.nextConnection += 1
                state.connections[state.nextConnection] = Pair(client: client, server: server)
                return state.nextConnection
            }
            Thread.detachNewThread { [self] in self.relay(number, client: client, server: server) }
        }
    }

    /// One thread reads from the client, this one from the server; whichever ends first ends both.
    private func relay(_ number: Int, client: Int32, server: Int32) {
        let other = Signal()
        let isDone = Mutex(false)
        let upstream = Thread {
            self.pump(from: client, to: server)
            shutdown(server, Int32(SHUT_RDWR))
            isDone.withLock { $0 = true }
            other.broadcast()
        }
        upstream.start()
        self.pumpAnswers(number, from: server, to: client)
        shutdown(client, Int32(SHUT_RDWR))
        shutdown(server, Int32(SHUT_RDWR))
        other.wait { isDone.withLock { $0 } }
        self.state.withLock { state in
            state.connections[number] = nil
            state.held.remove(number)
        }
        Glibc.close(client)
        Glibc.close(server)
        self.changed.broadcast()
    }

    static func send(_ bytes: ArraySlice<UInt8>, to socket: Int32) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private static func receive(_ buffer: inout [UInt8], from socket: Int32) -> Int {
        while true {
            let count = buffer.withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, 0) }
            if count < 0, errno == EINTR { continue }
            return count
        }
    }

    private func pump(from source: Int32, to target: Int32) {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Self.receive(&buffer, from: source)
            self.waitToSpeak()
            guard count > 0, Self.send(buffer[..<count], to: target) else { return }
        }
    }

    /// As ``pump(from:to:)``, looking at each message of the server: a type, a length, and the rest.
    private func pumpAnswers(_ number: Int, from server: Int32, to client: Int32) {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var pending: [UInt8] = []
        while true {
            let count = Self.receive(&buffer, from: server)
            self.waitToSpeak()
            guard count > 0 else { return }
            pending += buffer[..<count]
            var end = 0
            while pending.count >= end + 5 {
                let length = pending[(end + 1)..<(end + 5)].reduce(0) { $0 << 8 | Int($1) }
                guard pending.count >= end + 1 + length else { break }
                let isCommit =
                    pending[end] == UInt8(ascii: "C")
                    && pending[(end + 5)..<(end + 1 + length)].elementsEqual("COMMIT\0".utf8)
                if isCommit, self.isToBeHeld(number) {
                    guard Self.send(pending[..<end], to: client) else { return }
                    // Nothing goes to this client any more; the read ends when the connection is cut, by either side.
                    self.changed.broadcast()
                    while Self.receive(&buffer, from: server) > 0 {}
                    return
                }
                end += 1 + length
            }
            guard Self.send(pending[..<end], to: client) else { return }
            pending.removeFirst(end)
        }
    }

    private func isToBeHeld(_ number: Int) -> Bool {
        self.state.withLock { state in
            guard state.isHolding else { return false }
            guard state.passing == 0 else {
                state.passing -= 1
                return false
            }
            state.held.insert(number)
            return true
        }
    }
}

package struct ProxyError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// Lets threads wait until something has come true.
private final class Signal: Sendable {
    private let condition = NSCondition()

    func broadcast() {
        self.condition.lock()
        self.condition.broadcast()
        self.condition.unlock()
    }

    func wait(until isTrue: () -> Bool) {
        self.condition.lock()
        while !isTrue() { self.condition.wait() }
        self.condition.unlock()
    }
}
