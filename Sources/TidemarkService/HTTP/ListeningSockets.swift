import Foundation

/// Sockets that accept connections. SwiftNIO leaves them open to the programs that a process starts, among them the one
/// that prints a backtrace when the process crashes: it would keep the address from the service's next start.
enum ListeningSockets {
    /// Has them closed in every program that is started from now on.
    static func closeOnExec() {
        let descriptors = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        for descriptor in descriptors.compactMap({ Int32($0) }) {
            var (accepts, size) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
            guard getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) == 0, accepts != 0 else {
                continue
            }
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
    }
}
