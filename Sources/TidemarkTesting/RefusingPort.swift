import Foundation

/// A port of the loopback address on which connections are refused: it is bound, so that no other server is given it, and
/// nothing listens there.
package final class RefusingPort: Sendable {
    package let number: UInt16
    private let descriptor: Int32

    package struct Failure: Error { package var errno: Int32 }

    package init() throws {
        #if canImport(Darwin)
            let stream = SOCK_STREAM
        #else
            let stream = Int32(SOCK_STREAM.rawValue)
        #endif
        self.descriptor = socket(AF_INET, stream, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = self.descriptor
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard descriptor >= 0, isBound else { throw Failure(errno: errno) }
        self.number = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(self.descriptor) }
}
