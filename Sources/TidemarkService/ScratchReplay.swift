import Foundation
package import LibPQ
import Logging
package import TidemarkConfiguration
package import TidemarkCore
package import TidemarkSources
import TidemarkStore

/// Replays logs into a projection of the same meaning that lives for the time of a comparison: in a schema of its own,
/// without deliveries, and without a trace in the dead letters.
package struct ScratchReplay {
    private let configuration: Configuration
    private let definition: ProjectionDefinition
    private let options: ConnectionOptions
    /// Names projection, schema and folder.
    private let name: String

    package init(
        _ configuration: Configuration,
        _ definition: ProjectionDefinition,
        options: ConnectionOptions
    ) {
        self.configuration = configuration
        self.options = options
        self.name = Verification.scratchPrefix + String(UInt64.random(in: .min ... .max), radix: 36)
        var definition = definition
        definition.name = self.name
        definition.schema = self.name
        for index in definition.milestones.indices { definition.milestones[index].notify = [] }
        self.definition = definition
    }

    /// Replays the files as they are, and lends what they came to.
    package func withLog<R>(
        _ files: [InputFile],
        on connection: Connection,
        _ body: (ProjectionPlan) async throws -> R
    ) async throws -> R {
        try await self.withProjection(on: connection) { plan in
            try await self.replay(files, self.configuration.sources, on: connection)
            return try await body(plan)
        }
    }

    /// Replays a permutation of the files, and lends what it came to.
    package func withPermutation<R>(
        of files: [InputFile],
        seed: UInt64,
        on connection: Connection,
        _ body: (ProjectionPlan) async throws -> R
    ) async throws -> R {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(self.name)
        try FileManager.default.createDirectory(
            at: folder,
            withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700]
        )
        defer { try? FileManager.default.removeItem(at: folder) }
        var sources: [SourceSettings] = []
        var inputs: [(file: InputFile, source: Int)] = []
        for file in files {
            let settings = self.configuration.settings(forFile: file.absolutePath)
            let known = sources.firstIndex { $0.name == settings.name }
            if known == nil { sources.append(settings) }
            inputs.append((file, known ?? sources.count - 1))
        }
        var log = ShuffledLog(in: folder, sources: sources, seed: seed)
        let written = try log.write(inputs, messageBytes: self.configuration.limits.messageBytes)
        return try await self.withProjection(on: connection) { plan in
            try await self.replay(
                try InputResolver.resolve(written),
                ShuffledLog.configurations(sources, in: folder),
                on: connection
            )
            return try await body(plan)
        }
    }

    private func withProjection<R>(
        on connection: Connection,
        _ body: (ProjectionPlan) async throws -> R
    ) async throws -> R {
        try await ProjectionLocks.lockOperations(on: self.name, with: connection)
        do {
            let result = try await body(ProjectionPlan(self.definition))
            try await Verification.removeScratch(self.name, on: connection)
            return result
        } catch {
            // What is left behind is removed by the next comparison, so that a lock is not waited for.
            try? await connection.execute("set lock_timeout = '1s'")
            try? await Verification.removeScratch(self.name, on: connection)
            throw error
        }
    }

    private func replay(
        _ files: [InputFile],
        _ sources: [SourceConfiguration],
        on connection: Connection
    ) async throws {
        var configuration = self.configuration
        configuration.sources = sources
        configuration.projections = [self.definition]
        configuration.limits.maxDeadLetters = .fraction(1)
        var request = ReplayRequest(configuration: configuration, files: files, options: self.options)
        request.keepsDeadLetters = false
        let quiet = Logger(label: "tidemark.verify") { _ in SwiftLogNoOpLogHandler() }
        let outcome = try await ReplayRunner(request, logger: quiet).run(on: connection)
        if case .badInput(let problem) = outcome.ending { throw BadLog(description: problem) }
    }

    /// An input that could not be read to its end.
    package struct BadLog: Error, CustomStringConvertible {
        package var description: String
    }
}
