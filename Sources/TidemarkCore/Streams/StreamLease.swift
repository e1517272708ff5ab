/// The right of this process to read a stream. Whoever reads it gives it back once the lease is revoked.
package struct StreamLease: Sendable {
    package let stream: StreamID
    /// Open once another process is to read the stream, or nobody.
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
    /// How many streams each of the other processes of the pass could read and does not hold.
    package var wants: [Int32: Int]

    package init(streams: [StreamID: Holder], paused: Set<StreamID> = [], wants: [Int32: Int] = [:]) {
        self.streams = streams
        self.paused = paused
        self.wants = wants
    }

    /// What a process does to have its share: all streams by the number of processes, rounded up. It takes free streams up
    /// to that; beyond, only where no other process is short of them. It gives up what it has beyond its share as far as
    /// others are short of streams.
    /// - Parameters:
    ///   - held: the streams that the process reads.
    ///   - waiting: those that it could read and does not.
    package func decisions(held: Set<StreamID>, waiting: Set<StreamID>) -> (take: [StreamID], give: [StreamID]) {
        let stopped = held.intersection(self.paused)
        let rest = held.subtracting(stopped)
        let processes = self.wants.count + 1
        let share = (self.streams.count + processes - 1) / processes
        var counts: [Int32: Int] = [:]
        for case .other(let process) in self.streams.values { counts[process, default: 0] += 1 }
        let shortage = self.wants.reduce(0) { sum, other in
            sum + max(0, min(other.value, share - counts[other.key, default: 0]))
        }
        func ordered(_ streams: Set<StreamID>) -> [StreamID] { streams.sorted { $0.rawValue < $1.rawValue } }
        let free = ordered(waiting.filter { self.streams[$0] == .nobody })
        let room = shortage == 0 ? free.count : max(0, share - rest.count)
        let excess = max(0, min(rest.count - share, shortage - free.count))
        return (Array(free.prefix(room)), ordered(stopped) + ordered(rest).suffix(excess))
    }
}
