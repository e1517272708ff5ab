import Foundation
import Synchronization

/// A pooler between clients and PostgreSQL, on a Unix socket, as PgBouncer is one: it tells each client a process number
/// of its own. The server must let clients in without a password.
package final class TransactionPooler: Sendable {
    package enum Mode: Sendable {
        /// Each client keeps its server process.
        case session
        /// One server process runs the transactions of all clients, one after the other.
        case transaction
    }

    private let mode: Mode
    private let target: ServerAddress
    private let folder: String
    private let listener: Int32
    /// The server process of all clients, in transaction mode.
    private let shared = Mutex<Wire?>(nil)
    /// Held during a transaction, by the thread of its client.
    private let turn = NSLock()

    /// What clients connect to.
    package let address: ServerAddress

    /// - Parameter target: the Unix socket of the server.
    package init(to target: ServerAddress, _ mode: Mode) throws {
        self.mode = mode
        self.target = target
        self.folder = "/tmp/tm-\(String(UInt32.random(in: .min ... .max), radix: 36))"
        self.address = ServerAddress(host: self.folder, port: "5432")
        guard mkdir(self.folder, 0o700) == 0 else { throw ProxyError("cannot make \(self.folder)") }
        self.listener = try HoldingProxy.listen(at: self.address.socketPath)
        Thread.detachNewThread { [self] in self.acceptAll() }
    }

    /// Takes no more clients, and removes the socket. Clients that are connected stay so until they end.
    package func close() {
        shutdown(self.listener, Int32(SHUT_RDWR))
        Glibc.close(self.listener)
        self.shared.withLock { $0?.close() }
        unlink(self.address.socketPath)
        rmdir(self.folder)
    }

    private func acceptAll() {
        while true {
            let client = Glibc.accept(self.listener, nil, nil)
            guard client >= 0 else {
                if errno == EINTR { continue }
                return
            }
            Thread.detachNewThread { [self] in
                let client = Wire(socket: client)
                self.serve(client)
                client.close()
            }
        }
    }

    private func serve(_ client: Wire) {
        guard let own = self.logIn(client) else { return }
        guard self.mode == .transaction else {
            while self.relayTransaction(of: client, to: own) {}
            own.close()
            return
        }
        let server = self.shared.withLock { shared in
            if let shared { own.close(); return shared }
            shared = own
            return own
        }
        while self.relayTransaction(of: client, to: server) {}
    }

    /// Logs in with a server process of the client's own, under another process number.
    private func logIn(_ client: Wire) -> Wire? {
        let server = Wire(socket: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
        let path = self.target.socketPath
        guard HoldingProxy.withAddress(path, { Glibc.connect(server.socket, $0, $1) }) == 0,
            let startup = client.startup(), server.send(startup)
        else {
            server.close()
            return nil
        }
        while var message = server.message() {
            if message[0] == UInt8(ascii: "K") { message[5] ^= 0x40 }
            guard client.send(message) else { break }
            if message[0] == UInt8(ascii: "Z") { return server }
        }
        server.close()
        return nil
    }

    /// - Returns: `false` when the client or the server is gone.
    private func relayTransaction(of client: Wire, to server: Wire) -> Bool {
        guard var command = client.command() else { return false }
        self.turn.lock()
        defer { self.turn.unlock() }
        while true {
            guard server.send(command), let status = server.relayAnswers(to: client) else { return false }
            if self.mode == .session || status == UInt8(ascii: "I") { return true }
            guard let next = client.command() else { return false }
            command = next
        }
    }
}

/// One end of the protocol.
private struct Wire {
    let socket: Int32

    func close() { Glibc.close(self.socket) }

    func send(_ bytes: [UInt8]) -> Bool { HoldingProxy.send(bytes[...], to: self.socket) }

    private func read(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let read = bytes.withUnsafeMutableBytes { recv(self.socket, $0.baseAddress! + filled, count - filled, 0) }
            if read < 0, errno == EINTR { continue }
            guard read > 0 else { return nil }
            filled += read
        }
        return bytes
    }

    private static func length(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }

    /// A client's first packet: a length, and the rest.
    func startup() -> [UInt8]? {
        guard let head = self.read(4), let rest = self.read(Self.length(head[...]) - 4) else { return nil }
        return head + rest
    }

    /// A type, a length, and the rest.
    func message() -> [UInt8]? {
        guard let head = self.read(5) else { return nil }
        guard let rest = self.read(Self.length(head[1...]) - 4) else { return nil }
        return head + rest
    }

    /// What a client sends until it waits for the server to be ready; `nil` when it ends.
    func command() -> [UInt8]? {
        var bytes: [UInt8] = []
        while let message = self.message(), message[0] != UInt8(ascii: "X") {
            bytes += message
            if message[0] == UInt8(ascii: "Q") || message[0] == UInt8(ascii: "S") { return bytes }
        }
        return nil
    }

    /// - Returns: the transaction status with which the server is ready.
    func relayAnswers(to client: Wire) -> UInt8? {
        while let message = self.message(), client.send(message) {
            if message[0] == UInt8(ascii: "Z") { return message[5] }
        }
        return nil
    }
}
