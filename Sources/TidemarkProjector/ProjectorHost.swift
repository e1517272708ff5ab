import Synchronization
import TidemarkCore

/// Gives each assigned stream a pump, in the task that assigns it.
final class ProjectorHost: StreamHost {
    private let pass: PassContext
    private let join: @Sendable (ProgressKey, StreamOffset) async throws -> Void
    private let descriptions: [StreamDescription]
    private let levels: StreamLevels
    private let pump: PumpContext
    private let readBefore = Atomic<Int64>(0)

    /// - Parameter join: stores where a projection is read together with the others.
    init(
        pass: PassContext,
        join: @escaping @Sendable (ProgressKey, StreamOffset) async throws -> Void,
        descriptions: [StreamDescription],
        levels: StreamLevels,
        pump: PumpContext
    ) {
        self.pass = pass
        self.join = join
        self.descriptions = descriptions
        self.levels = levels
        self.pump = pump
    }

    /// Projections that are behind catch up first, each by a reading of its own, up to where the others are.
    func assign(_ index: Int, _ open: (StreamProgress) throws -> any StreamReader) async throws {
        var (stream, description) = (self.pass.streams[index], self.descriptions[index])
        let furthest = stream.committed.furthest
        for var detached in self.pass.detached where detached.id == stream.id {
            if detached.limit == nil, !description.isAtEnd(stream.committed.level) {
                try await self.join(detached.key, furthest.offset)
                detached.limit = furthest.offset
            }
            stream.joins[detached.key.projection] = detached.limit
            try await self.read(detached, description, open)
        }
        try await self.read(stream, description, open)
        self.readBefore.wrappingAdd(description.size ?? 0, ordering: .relaxed)
    }

    func assign(
        _ stream: StreamDescription,
        _ open: @escaping @Sendable (StreamProgress) async throws -> any StreamReader
    ) async throws {
        preconditionFailure("the streams of this pass are known before it begins")
    }

    private func read(
        _ stream: PassStream,
        _ description: StreamDescription,
        _ open: (StreamProgress) throws -> any StreamReader
    ) async throws {
        let level = stream.committed.level
        if description.isAtEnd(level) || stream.limit.map({ $0 <= level.offset }) ?? false {
            _ = self.levels.track(stream.key, of: stream.settings.name, from: level, nil)
            return
        }
        let reader = try open(level)
        let pump = StreamPump(
            self.pump,
            stream,
            reader: reader,
            // The source is told of what the projections that are read together have committed.
            tracker: self.levels.track(
                stream.key,
                of: stream.settings.name,
                from: level,
                stream.projection == nil ? reader.acknowledger : nil
            ),
            hasUnknownBeginning: !description.isResumable,
            readBefore: self.readBefore.load(ordering: .relaxed)
        )
        try await pump.run()
    }
}
