import LibPQ
import Logging
import TidemarkCore
import TidemarkSources
import TidemarkStore

/// All configured sources of a service as one. A source that fails is begun again with growing delays, beside the others.
struct ServiceSources: Source {
    /// A source, and what begins it again.
    struct Member: Sendable {
        var name: String
        var source: any Source
    }

    /// How long a source that has failed is read until it counts as running.
    private static let trial = Duration.seconds(15)

    let members: [Member]
    let checks: SourceChecks
    var streams: [StreamDescription] { [] }

    func beginning(of stream: Int) -> MessageBlock? { nil }
    func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? { nil }

    /// - Throws: what the store throws; `CancellationError`.
    func run(_ host: some StreamHost) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for member in self.members {
                group.addTask { try await self.run(member, host) }
            }
            // A pass of the service has no end, whatever its sources have: a gate that is never opened.
            group.addTask { try await Gate().wait() }
        }
    }

    private func run(_ member: Member, _ host: some StreamHost) async throws {
        var backoff = Backoff(limit: nil)
        while true {
            self.checks.begin(member.name)
            // One that has failed runs once it has been read for a while.
            let trial = Task {
                try await Task.sleep(for: Self.trial)
                self.checks.settle(member.name)
            }
            defer { trial.cancel() }
            do {
                try await member.source.run(host)
                self.checks.set(member.name, .running)
                // It is read to its end, and need not be watched for longer.
                return self.checks.settle(member.name)
            } catch let error as StreamDataError {
                self.checks.set(
                    member.name,
                    .failed,
                    reason: error.description,
                    remedy: "mend or move the file; it is tried again by itself"
                )
            } catch let error as any SourceFailure {
                self.checks.set(member.name, .failed, reason: "\(error)", remedy: error.remedy)
            } catch let error as InputError {
                self.checks.set(
                    member.name,
                    .failed,
                    reason: error.description,
                    remedy: "it is tried again by itself"
                )
            }
            try await Task.sleep(for: backoff.next() ?? .seconds(10))
        }
    }
}

/// Reads files as they are when the service begins, each to its end.
struct BoundedFiles: Source {
    let name: String
    let paths: [String]
    let settings: SourceSettings
    let messageBytesMax: Int
    var streams: [StreamDescription] { [] }

    func beginning(of stream: Int) -> MessageBlock? { nil }
    func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? { nil }

    func run(_ host: some StreamHost) async throws {
        let files = try InputResolver.resolve(self.paths).map { ($0, self.settings) }
        let source = FileSource(files, messageBytesMax: self.messageBytesMax)
        try await withThrowingDiscardingTaskGroup { group in
            for index in source.streams.indices {
                group.addTask {
                    try await host.assign(source.streams[index]) { try source.reader(of: index, from: $0) }
                }
            }
        }
    }
}
