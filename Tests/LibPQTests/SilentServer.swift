import Foundation

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// A Unix socket where PostgreSQL's would be, with no server behind it: connecting works, and then nothing comes.
final class SilentServer: Sendable {
    let directory: String
    private let socket: Int32

    init() throws {
        self.directory = "/tmp/tm-silent-" + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: false)
        #if canImport(Darwin)
            self.socket = Darwin.socket(AF_UNIX, SOCK_STREAM, 0)
        #else
            self.socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #endif
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            path.copyBytes(from: "\(self.directory)/.s.PGSQL.5432".utf8)
        }
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(self.socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0, listen(self.socket, 8) == 0 else { throw POSIXError(.init(rawValue: errno) ?? .EIO) }
    }

    deinit {
        close(self.socket)
        try? FileManager.default.removeItem(atPath: self.directory)
    }

    var conninfo: String { "host=\(self.directory) port=5432 user=nobody dbname=nothing" }
}
