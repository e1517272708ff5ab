import Synchronization

/// A partition of Kafka or a queue of RocketMQ as a stream. When history was lost, offsets begin at 0 again, and what comes is
/// another stream, with the next number; the first one is 1. The incarnation, by which streams are looked up, is the source's
/// name with that number, so that partitions of one name in two clusters are two streams.
package final class BrokerStream: Sendable {
    private let name: String
    private let settings: SourceSettings
    private let state = Mutex((number: 1, isAnew: false))

    package init(_ name: String, of settings: SourceSettings) {
        self.name = name
        self.settings = settings
    }

    /// History was lost: the next stream begins.
    package func beginAnew() { self.state.withLock { $0 = ($0.number + 1, true) } }

    /// History was lost since the source began.
    package var isAnew: Bool { self.state.withLock { $0.isAnew } }

    /// The stream that is read, where others came before it, which are over.
    package var successor: StreamName? {
        let number = self.state.withLock { $0.number }
        return number > 1 ? self.streamName(number) : nil
    }

    private var prefix: String { "\(self.settings.name) " }

    private func streamName(_ number: Int) -> StreamName {
        StreamName(source: self.settings.name, name: self.name, incarnation: "\(self.prefix)\(number)")
    }

    package var description: StreamDescription {
        var description = StreamDescription(
            name: self.streamName(1),
            label: self.name,
            settings: self.settings,
            identify: { [self] in self.identify($0) }
        )
        description.tellsUnits = false
        return description
    }

    private func identify(_ known: [KnownStream]) -> StreamDescription.Identity {
        let own = known.compactMap { stream in
            stream.name == self.name && stream.incarnation.hasPrefix(self.prefix)
                ? Int(stream.incarnation.dropFirst(self.prefix.count)).map { ($0, stream) } : nil
        }.max { $0.0 < $1.0 }
        let number = self.state.withLock { state in
            state.number = max(state.number, own?.0 ?? 1)
            return state.number
        }
        if let own, own.0 == number { return .known(own.1) }
        return .new(incarnation: self.streamName(number).incarnation)
    }
}

extension StreamProgress {
    /// The resume token of a partition that was begun while it was empty: it goes on at its beginning, whatever `start` says.
    package static let begunEmpty: [UInt8] = [0]

    /// Nothing was read of the stream, and it was not begun while it was empty either.
    package var isUnbegun: Bool { self.offset == .start && self.resume.isEmpty }
}
