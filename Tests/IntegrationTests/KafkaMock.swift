#if Kafka
    import Foundation
    import Testing
    import TidemarkTesting

    /// librdkafka's mock cluster, in a process of its own. It keeps 5 MB a partition.
    final class KafkaMock: Sendable {
        private let input: FileHandle
        private let lines: AsyncStream<String>
        /// What it says where it fails.
        private let complaints: URL
        private let process: Process
        /// `host:port`, one or more.
        let brokers: [String]

        /// Its end is an error of a write, and not the end of the tests.
        private static let ignoresBrokenPipes: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

        init(brokers: Int = 3) async throws {
            _ = Self.ignoresBrokenPipes
            let executable = try #require(
                TidemarkProcess.executable?.deletingLastPathComponent().appendingPathComponent("tidemark-kafka-mock")
            )
            let output = Pipe()
            let (process, input) = (Process(), Pipe())
            process.executableURL = executable
            process.arguments = ["\(brokers)"]
            process.standardInput = input
            process.standardOutput = output
            self.complaints = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).kafka-mock")
            try Data().write(to: self.complaints)
            process.standardError = try FileHandle(forWritingTo: self.complaints)
            self.input = input.fileHandleForWriting
            self.lines = Self.lines(of: output.fileHandleForReading)
            self.process = process
            try process.run()
            var lines = self.lines.makeAsyncIterator()
            let first = await lines.next()
            self.brokers = try #require(first).split(separator: ",").map(String.init)
        }

        private static func lines(of handle: FileHandle) -> AsyncStream<String> {
            AsyncStream { continuation in
                Thread.detachNewThread {
                    var rest = Data()
                    var buffer = [UInt8](repeating: 0, count: 65_536)
                    while true {
                        let count = read(handle.fileDescriptor, &buffer, buffer.count)
                        // FileHandle ends the process where a signal interrupts it.
                        if count < 0, errno == EINTR { continue }
                        guard count > 0 else { break }
                        rest += buffer[..<count]
                        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                            continuation.yield(String(decoding: rest[..<end], as: UTF8.self))
                            rest = Data(rest[rest.index(after: end)...])
                        }
                    }
                    continuation.finish()
                }
            }
        }

        private func line() async -> String? {
            var lines = self.lines.makeAsyncIterator()
            return await lines.next()
        }

        /// Stops it, or has it go on: its connections stay open meanwhile.
        func send(_ signal: Int32) { kill(self.process.processIdentifier, signal) }

        /// It ends when its input does.
        deinit {
            try? self.input.close()
            try? FileManager.default.removeItem(at: self.complaints)
        }

        private struct Ended: Error { var lastWords: String }

        private func write(_ data: Data) throws {
            do { try self.input.write(contentsOf: data) } catch { throw Ended(lastWords: self.lastWords) }
        }

        private var lastWords: String {
            String(decoding: (try? Data(contentsOf: self.complaints)) ?? Data(), as: UTF8.self)
        }

        /// Performs commands as the program lists them, a list of words each.
        func perform(_ commands: [[String]]) async throws {
            let text = commands.map { $0.joined(separator: "\t") + "\n" }.joined()
            // Its answers are read meanwhile: neither pipe holds all.
            async let written: Void = Task.detached { try self.write(Data(text.utf8)) }.value
            for command in commands {
                let answer = await self.line()
                try #require(answer == "ok", "\(command): \(answer ?? "the mock has ended: \(self.lastWords)")")
            }
            try await written
        }

        /// The offset of each partition that a group has committed; negative where it has none.
        func committed(_ topic: String, partitions: Int, group: String) async throws -> [Int64] {
            try self.write(Data("committed\t\(group)\t\(topic)\t\(partitions)\n".utf8))
            let offsets = try #require(await self.line())
            try #require(await self.line() == "ok", "\(offsets)")
            return offsets.split(separator: " ").compactMap { Int64($0) }
        }

        /// What is in a partition: of each message the key, the value and headers as `NAME=VALUE`.
        func messages(of topic: String, partition: Int) async throws -> [[String]] {
            try self.write(Data("read\t\(topic)\t\(partition)\n".utf8))
            var messages: [[String]] = []
            while let line = await self.line(), line != "ok" {
                try #require(!line.hasPrefix("failed"), "\(line)")
                messages.append(line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init))
            }
            return messages
        }

        /// Sends messages to the partitions that their keys' first numbers name, and waits until they are stored.
        func send(_ topic: String, _ messages: [(partition: Int, key: String, value: String)]) async throws {
            try await self.perform(
                messages.map { ["send", topic, "\($0.partition)", $0.key, $0.value] } + [["flush"]]
            )
        }
    }
#endif
