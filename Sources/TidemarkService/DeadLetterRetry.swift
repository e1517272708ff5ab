package import LibPQ
package import Logging
package import TidemarkConfiguration
package import TidemarkCore
import TidemarkProjector
import TidemarkSources
package import TidemarkStore

/// Runs dead letters again, after the configuration or a column's type was mended: the projector reads them as a source,
/// each for its own projection and row only, with the offset of its first reading. A letter goes away in the transaction
/// that writes its rows. When it is done does not matter: the rows go through the gate like any other.
package struct DeadLetterRetry {
    private let configuration: Configuration
    private let options: ConnectionOptions
    private let logger: Logger
    private let databaseWait: Duration?

    package init(
        _ configuration: Configuration,
        options: ConnectionOptions,
        databaseWait: Duration? = .seconds(300),
        logger: Logger
    ) {
        self.configuration = configuration
        self.options = options
        self.databaseWait = databaseWait
        self.logger = logger
    }

    /// Writes the projections that the letters belong to, beside other processes; all configured ones for letters that
    /// belong to no one.
    /// - Parameter connection: ready and migrated.
    /// - Throws: `StoreError` when a process allows no other to write one of them.
    package func run(_ filter: DeadLetterFilter, on connection: Connection) async throws -> RetryOutcome {
        let concerned = try await DeadLetterStore.projections(filter, on: connection)
        let definitions = self.configuration.projections.filter {
            concerned.contains("") || concerned.contains($0.name)
        }
        let names = definitions.map(\.name)
        return try await ProcessSession.with(
            connection,
            .init(
                self.options,
                projections: names,
                leaseTTL: self.configuration.service.leaseTTL,
                logger: self.logger
            )
        ) { try await self.run(filter, definitions, as: $0, on: connection) }
    }

    private func run(
        _ filter: DeadLetterFilter,
        _ definitions: [ProjectionDefinition],
        as process: ProcessSession,
        on connection: Connection
    ) async throws -> RetryOutcome {
        let report = RetryReport()
        let (configuration, wait) = (self.configuration, self.databaseWait)
        let source = try await DeadLetterSource(
            filter,
            .init(
                options: self.options,
                wait: wait,
                messageBytesMax: configuration.limits.messageBytes,
                obstacle: { Self.obstacle($0, definitions) },
                report: report,
                outage: process.outage
            ),
            read: configuration.settings(of:),
            on: connection
        )
        guard !source.streams.isEmpty else { return report.outcome(PassSummary()) }
        var settings = ProjectorSettings(limits: configuration.limits)
        // What is refused again is told letter by letter.
        settings.limits.maxDeadLetters = .fraction(1)
        settings.check = { _ = try await process.held(wait: wait) }
        let store = PostgresProjection(
            .init(
                definitions,
                options: self.options,
                kind: .retry(report),
                lanes: 1,
                cacheBytes: 1 << 20,
                databaseWait: wait
            ),
            as: process,
            logger: self.logger
        )
        let projector = Projector(store, source, settings, progress: PassProgress(), logger: self.logger)
        let outcome = report.outcome(try await projector.run().summary)
        try await DeadLetterStore.tidy(on: connection)
        return outcome
    }

    /// An earlier version kept so much of a message of very many bad rows.
    private static let beginningBytes = 4096

    /// Why a letter cannot be tried, and what would help.
    private static func obstacle(_ letter: StoredDeadLetter, _ projections: [ProjectionDefinition]) -> String? {
        if let name = letter.projection, !projections.contains(where: { $0.name == name }) {
            return "projection \(name) is not configured"
        }
        guard letter.isComplete else {
            // A message over `message_bytes`, which may be few, is cut there.
            let isBeginning =
                letter.reason == Rejection.Reason.tooLarge.rawValue || letter.raw.count >= DeadLetter.rawBytesMax
                || letter.raw.count == Self.beginningBytes
            return "only the \(isBeginning ? "beginning of its message" : "image of its row") is kept; \(letter.remedy)"
        }
        let ordered = projections.first { projection in
            (letter.projection == nil || letter.projection == projection.name)
                && projection.sequence.contains(.received)
        }
        if letter.reading == nil, let ordered {
            return
                "projection \(ordered.name) is ordered by $received, and the place of its reading is not known; read "
                + "its file again (tidemark replay)"
        }
        return nil
    }
}

extension Configuration {
    /// What is configured now of the source that dead letters were read from.
    package func settings(of origin: DeadLetterOrigin) -> SourceSettings {
        var settings =
            self.sources.first { $0.name == origin.source }?.settings
            ?? origin.stream.map(self.settings(forFile:)) ?? SourceSettings(name: origin.source)
        settings.name = origin.source
        return settings
    }
}
