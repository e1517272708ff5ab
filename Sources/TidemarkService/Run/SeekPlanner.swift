package import TidemarkConfiguration
package import TidemarkCore
import TidemarkDecoding
import TidemarkSources
package import TidemarkStore

/// Finds where a source's streams are to be read from, in their files.
package struct SeekPlanner {
    package enum Target: Sendable, Equatable {
        case start
        /// Behind the last whole line that there is now.
        case end
        /// A byte of the decompressed content, at which a message begins.
        case offset(UInt64)
        /// The first message with an event of that time or a later one, in microseconds since 1970.
        case time(Int64)
    }

    package struct Plan {
        /// The streams that change their offsets.
        package var moves: [SeekMove] = []
        /// Streams whose files are gone, or have other content than was read. They stay where they are.
        package var gone: [SoughtStream] = []
        /// Streams whose files cannot be read as far as it takes to find the target. They stay where they are too: one bad
        /// file holds up no other.
        package var unreadable: [(stream: SoughtStream, reason: String)] = []
        /// Why a stream cannot be read from the target.
        package var refusal: String?
    }

    private let settings: SourceSettings
    private let isBroker: Bool
    private let messageBytesMax: Int

    package init(_ source: SourceConfiguration, _ limits: Limits) {
        self.settings = source.settings
        self.isBroker = source.type.isBroker
        self.messageBytesMax = limits.messageBytes
    }

    package func plan(_ streams: [SoughtStream], _ target: Target) throws -> Plan {
        if self.isBroker { return Self.partitions(streams, target) }
        var plan = Plan()
        for stream in streams {
            guard let file = self.file(of: stream) else {
                // Where it ends, nothing has to be found.
                if target != .end || !stream.level.isAtEnd { plan.gone.append(stream) }
                continue
            }
            do {
                var move = SeekMove(stream, to: try self.find(target, file, stream))
                guard move.to.offset != stream.level.offset || stream.isFurther else { continue }
                // A last line without an end has been read already.
                if target == .end, !move.isForward { continue }
                if move.isForward { move.leftOut = try file.count(from: stream.level, to: move.to.offset) }
                plan.moves.append(move)
            } catch let error as FileSeeker.NotALine {
                plan.refusal = Self.refusal(error, target, stream)
            } catch let error as InputError where error.code != .interrupted && error.code != .tooManyOpen {
                plan.unreadable.append((stream, error.detail))
            }
        }
        return plan
    }

    /// An offset of a partition or a queue is known without a look at it; what else there is only the broker can tell.
    private static func partitions(_ streams: [SoughtStream], _ target: Target) -> Plan {
        var plan = Plan()
        for stream in streams {
            var move: SeekMove
            switch target {
            case .start: move = SeekMove(stream, to: .start)
            case .offset(let offset):
                let ordinal = Int64(clamping: offset) + 1
                move = SeekMove(stream, to: StreamProgress(offset: StreamOffset(major: offset), ordinal: ordinal))
            case .end, .time:
                plan.refusal =
                    "the end of \(stream.name), and the messages of a time, are known to the broker alone; name the offset: "
                    + "`tidemark status` shows where it is, and how far behind"
                return plan
            }
            guard move.to.offset != stream.level.offset || stream.isFurther else { continue }
            if move.isForward { move.leftOut = Self.offsets(move) }
            plan.moves.append(move)
        }
        return plan
    }

    private static func offsets(_ move: SeekMove) -> Int64 {
        Int64(clamping: move.to.offset.major) - Int64(clamping: move.stream.level.offset.major)
    }

    /// How many messages lie between a stream's level and where it is to be.
    package func leftOut(by move: SeekMove) throws -> Int64 {
        if self.isBroker { return max(0, Self.offsets(move)) }
        guard let file = self.file(of: move.stream) else { return move.leftOut }
        return try file.count(from: move.stream.level, to: move.to.offset)
    }

    private func file(of stream: SoughtStream) -> FileSeeker? {
        FileSeeker(
            stream.name,
            incarnation: stream.incarnation,
            level: stream.level,
            messageBytesMax: self.messageBytesMax
        )
    }

    private func find(_ target: Target, _ file: FileSeeker, _ stream: SoughtStream) throws -> StreamProgress {
        switch target {
        case .start: return .start
        case .end: return try file.find(.end, from: stream.level)
        case .offset(let offset): return try file.find(.offset(offset), from: stream.level)
        case .time(let time):
            let clock = EventClock(self.settings)
            return try file.find(.first { clock.reaches(time, $0) }, from: stream.level)
        }
    }

    private static func refusal(_ error: FileSeeker.NotALine, _ target: Target, _ stream: SoughtStream) -> String {
        guard case .offset(let offset) = target else { return "" }
        let nearest = [
            error.before.map { "\($0) before it" }, error.behind.map { "\($0) behind it" },
        ].compactMap { $0 }.joined(separator: ", and ")
        return "no message of \(stream.name) begins at byte \(offset); the nearest is at \(nearest)"
    }
}

/// Compares the times of a message's events.
private final class EventClock {
    private var decoder: MessageDecoder
    private var message = DecodedMessage()

    init(_ settings: SourceSettings) {
        self.decoder = MessageDecoder(settings: settings, wants: [])
    }

    func reaches(_ time: Int64, _ line: UnsafeRawBufferPointer) -> Bool {
        self.decoder.decode(line, into: &self.message)
        return self.message.events.contains { ($0.eventTime ?? .min) >= time }
    }
}
