/// The right of this process to read a stream. The task that reads it gives it back once the lease is revoked.
package struct StreamLease: Sendable {
    package let stream: StreamID
    /// Open once this process is to stop reading the stream.
    package let revocation = Gate()

    package init(_ stream: StreamID) { self.stream = stream }
}

/// How the streams of a pass are shared by its processes.
package struct LeaseTable: Sendable, Equatable {
    package enum Holder: Sendable, Equatable {
        case nobody
        case own
        case other(Int32)
    }

    /// The streams that have not ended and whose sources are not paused.
    package var streams: [StreamID: Holder]
    /// Those of paused sources.
    package var paused: Set<StreamID>
    /// The streams that each of the other processes of the pass could read and does not hold.
    package var wants: [Int32: Set<StreamID>]

    package init(
        streams: [StreamID: Holder],
        paused: Set<StreamID> = [],
        wants: [Int32: Set<StreamID>] = [:]
    ) {
        self.streams = streams
        self.paused = paused
        self.wants = wants
    }

    /// What a process does to have its share: all streams by the number of processes, rounded up. Streams that nobody holds
    /// and this process does not find, such as files that are gone, do not count. It takes free streams that no process
    /// with less than its share wants, and others up to its own share. It gives up what it has beyond its share to
    /// processes that have less and want it.
    /// - Parameters:
    ///   - held: the streams that the process reads.
    ///   - waiting: those that it could read and does not.
    package func decisions(held: Set<StreamID>, waiting: Set<StreamID>) -> (take: [StreamID], give: [StreamID]) {
        func ordered(_ streams: some Sequence<StreamID>) -> [StreamID] { streams.sorted { $0.rawValue < $1.rawValue } }
        let stopped = held.intersection(self.paused)
        let kept = held.subtracting(stopped)
        // A lease may have been taken, and the answer lost with the connection, or left over by an earlier attempt.
        let unread = waiting.subtracting(held)
        let free = ordered(unread.filter { self.streams[$0] == .nobody || self.streams[$0] == .own })
        let total =
            self.streams.count { $0.value != .nobody && !(unread.contains($0.key) && $0.value == .own) } + free.count
        let processes = self.wants.count + 1
        let share = (total + processes - 1) / processes
        var counts: [Int32: Int] = [:]
        for case .other(let process) in self.streams.values { counts[process, default: 0] += 1 }
        var short: [(room: Int, wants: Set<StreamID>)] = []
        for (process, wants) in self.wants.sorted(by: { $0.key < $1.key }) {
            let room = share - counts[process, default: 0]
            if room > 0, !wants.isEmpty { short.append((room, wants)) }
        }
        let contested = free.filter { stream in short.contains { $0.wants.contains(stream) } }
        let uncontested = free.filter { stream in !short.contains { $0.wants.contains(stream) } }
        let take = uncontested + contested.prefix(max(0, share - kept.count - uncontested.count))
        var excess = kept.count + take.count - share
        var give = ordered(stopped)
        for other in short {
            // What is free already comes first.
            let room = other.room - free.count { other.wants.contains($0) && !take.contains($0) }
            let offered = ordered(kept.intersection(other.wants).subtracting(give)).suffix(max(0, min(room, excess)))
            give += offered
            excess -= offered.count
        }
        return (take, give)
    }
}
