package import LibPQ
package import Logging
package import TidemarkConfiguration
import TidemarkCore
import TidemarkDecoding
package import TidemarkStore

/// What was erased of a key.
package struct ForgetOutcome: Sendable {
    package var erased: ForgetStore.Erased
    /// Dead letters whose keys are unknown: they are no messages, have no key, or are not kept whole.
    package var unreadable: Int
}

/// Forgets a key: its content goes from row, timeline, deliveries and dead letters, its order keys stay.
package struct KeyForgetter {
    private let configuration: Configuration
    private let options: ConnectionOptions
    private let logger: Logger
    private static let pageLetters: Int64 = 500

    package init(_ configuration: Configuration, options: ConnectionOptions, logger: Logger) {
        self.configuration = configuration
        self.options = options
        self.logger = logger
    }

    /// - Parameters:
    ///   - key: its parts, as a person writes them.
    ///   - connection: ready and migrated.
    package func forget(
        _ key: [String],
        of projection: String,
        on connection: Connection
    ) async throws -> ForgetOutcome {
        guard let definition = self.configuration.projections.first(where: { $0.name == projection }) else {
            throw StoreError(.failed, "projection \(projection) is not configured")
        }
        guard try await Inspection.key(of: projection, on: connection) != nil else {
            throw Inspection.unknown(projection)
        }
        let settings = ProcessSession.Settings(
            self.options,
            projections: [],
            operations: [projection],
            leaseTTL: self.configuration.service.leaseTTL,
            logger: self.logger
        )
        return try await ProcessSession.with(connection, settings) { _ in
            try await self.erase(key, of: definition, on: connection)
        }
    }

    private func erase(
        _ key: [String],
        of definition: ProjectionDefinition,
        on connection: Connection
    ) async throws -> ForgetOutcome {
        let projection = definition.name
        // A version that a rebuild has begun may hold the key's content: it is begun again.
        _ = try await RebuildStore.discard(projection, on: connection)
        try await Self.removeComparisons(on: connection)
        let plans = try await ProjectionRegistry.withStoredDigests([definition], on: connection)
        let plan = plans[0]
        guard key.count == plan.keyColumns.count else {
            let names = plan.keyColumns.map(\.name).joined(separator: ", ")
            throw StoreError(
                .failed,
                "the key of \(projection) has \(plan.keyColumns.count) parts (\(names)), not \(key.count)"
            )
        }
        var changeEncoder = ChangeEncoder(plan: plan, index: 0)
        let bytes: [UInt8]
        do throws(Rejection) {
            bytes = try changeEncoder.key(ofTexts: key)
        } catch {
            throw StoreError(.failed, "the key given is none of this projection's: \(error.detail)")
        }
        var letters: [Int64] = []
        var unreadable = 0
        for scope in [projection, ""] {
            let found = try await self.letters(of: scope, with: bytes, &changeEncoder, on: connection)
            letters += found.matching
            unreadable += found.unreadable
        }
        let text = KeyText(plan, bytes[...])
        let erased = try await ForgetStore.erase(
            text.parts,
            json: text.json,
            of: projection,
            letters: letters,
            on: connection
        )
        return ForgetOutcome(erased: erased, unreadable: unreadable)
    }

    /// Removes the rows of killed comparisons, which may hold the key's content.
    private static func removeComparisons(on connection: Connection) async throws {
        do {
            try await Verification.removeAbandoned(on: connection)
        } catch let error as PostgresError where error.sqlState == "42501" {
            throw StoreError(
                .failed,
                "a comparison that was killed has left rows that may hold the key (schemas that begin with "
                    + "\(Verification.scratchPrefix)), which this role may not remove; run `forget` as the owner of the tables"
            )
        }
    }

    /// Dead letters whose message speaks of the key, in whatever row of it, or by the key that its broker kept.
    private func letters(
        of projection: String,
        with key: [UInt8],
        _ changeEncoder: inout ChangeEncoder,
        on connection: Connection
    ) async throws -> (matching: [Int64], unreadable: Int) {
        var filter = DeadLetterFilter()
        filter.projection = projection
        var matching: [Int64] = []
        var unreadable = 0
        var done: Int64 = 0
        var message = DecodedMessage()
        while true {
            let page = try await DeadLetterStore.page(
                filter,
                after: done,
                limit: Self.pageLetters,
                on: connection
            )
            guard let behind = page.last?.id else { return (matching, unreadable) }
            for letter in page {
                let settings = self.configuration.settings(of: letter.origin)
                var decoder = MessageDecoder(settings: settings, headers: changeEncoder.plan.headerNames)
                decoder.decode(letter.raw, letter.record, into: &message)
                var isTold = message.failure == nil && projection.isEmpty
                var keys: [[UInt8]] = []
                for event in message.events where changeEncoder.plan.takes(event, of: message) {
                    keys += changeEncoder.keys(of: event, message, settings)
                }
                if let record = letter.record ?? decoder.dumpedMessage?.record {
                    decoder.decodeKey(of: record, into: &message)
                    for event in message.events {
                        if !projection.isEmpty || changeEncoder.plan.takes(event, of: message) {
                            keys += changeEncoder.keys(of: event, message, settings)
                        } else if settings.table != nil || event.isDatabaseApart {
                            // Of another table. A topic of one word need not have the name of one.
                            isTold = true
                        }
                    }
                }
                if keys.contains(key) {
                    matching.append(letter.id)
                } else if keys.isEmpty, !isTold {
                    unreadable += 1
                }
            }
            done = behind
        }
    }
}
