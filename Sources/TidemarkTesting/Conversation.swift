import Foundation

/// Sends text over a TCP connection of its own, for what no HTTP client says.
/// - Parameters:
///   - host: an IPv4 address.
///   - act: runs once something has come.
/// - Returns: what came until the other end closed the connection.
package func converse(
    _ host: String,
    _ port: Int,
    _ text: String,
    onAnswer act: () async throws -> Void = {}
) async throws -> String {
    let peer = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(peer) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    inet_pton(AF_INET, host, &address.sin_addr)
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isConnected = withUnsafePointer(to: address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(peer, $0, size) == 0 }
    }
    guard isConnected else { throw ProxyError("cannot connect to \(host):\(port)") }
    guard send(peer, text, text.utf8.count, Int32(MSG_NOSIGNAL)) == text.utf8.count else {
        throw ProxyError("\(host):\(port) took only some of the text")
    }
    let parts = AsyncStream<String> { continuation in
        Thread.detachNewThread {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = recv(peer, &buffer, buffer.count, 0)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                continuation.yield(String(decoding: buffer[..<count], as: UTF8.self))
            }
            continuation.finish()
        }
    }
    var answer = ""
    do {
        for await part in parts {
            if answer.isEmpty { try await act() }
            answer += part
        }
    } catch {
        // The socket is closed behind the last read: another could have its number by then.
        shutdown(peer, Int32(SHUT_RDWR))
        for await _ in parts {}
        throw error
    }
    return answer
}
