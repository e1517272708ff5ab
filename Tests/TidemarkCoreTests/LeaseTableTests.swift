import Testing
import TidemarkCore
import TidemarkTesting

/// Processes that share streams, each by what it sees of the others.
@Suite struct LeaseTableTests {
    /// What is stored, and what each process finds.
    private struct Pass {
        var holders: [StreamID: Int32?] = [:]
        var visible: [Int32: Set<StreamID>] = [:]
        var wants: [Int32: Set<StreamID>] = [:]
        private(set) var moves = 0

        func held(by process: Int32) -> Set<StreamID> { Set(self.holders.filter { $0.value == process }.keys) }

        /// One look of a process at the table: it gives up, takes, and tells what it wants.
        mutating func look(_ process: Int32) {
            let held = self.held(by: process)
            let waiting = (self.visible[process] ?? []).subtracting(held)
            var table = LeaseTable(
                streams: self.holders.mapValues { $0.map { $0 == process ? .own : .other($0) } ?? .nobody }
            )
            table.wants = self.wants.filter { $0.key != process }
            let (take, give) = table.decisions(held: held, waiting: waiting)
            for stream in give { self.holders[stream] = .some(nil) }
            for stream in take { self.holders[stream] = process }
            self.moves += give.count + take.count
            self.wants[process] = waiting.subtracting(take)
        }
    }

    private static func streams(_ numbers: Range<Int64>) -> Set<StreamID> {
        Set(numbers.map { StreamID(rawValue: $0) })
    }

    @Test func aProcessAloneTakesEverythingAndSharesItWithTheNext() {
        var pass = Pass(holders: [:], visible: [1: Self.streams(0..<16)])
        for stream in Self.streams(0..<16) { pass.holders[stream] = .some(nil) }
        pass.look(1)
        #expect(pass.held(by: 1).count == 16)
        pass.visible[2] = Self.streams(0..<16)
        for _ in 0..<4 { for process: Int32 in [2, 1] { pass.look(process) } }
        #expect(pass.held(by: 1).count == 8)
        #expect(pass.held(by: 2).count == 8)
    }

    @Test func oneStreamHasOneReaderAndStandbys() {
        var pass = Pass()
        pass.holders[StreamID(rawValue: 1)] = .some(nil)
        for process: Int32 in 1...3 { pass.visible[process] = [StreamID(rawValue: 1)] }
        for _ in 0..<5 { for process: Int32 in 1...3 { pass.look(process) } }
        #expect(pass.held(by: 1).count == 1)
        #expect(pass.moves == 1)
    }

    @Test func streamsOfAPausedSourceAreGivenBackAndNotTaken() {
        let (one, two) = (StreamID(rawValue: 1), StreamID(rawValue: 2))
        let table = LeaseTable(streams: [two: LeaseTable.Holder.nobody], paused: [one])
        let (take, give) = table.decisions(held: [one], waiting: [two])
        #expect(give == [one])
        #expect(take == [two])
    }

    /// Whatever processes see of the streams: all that somebody sees are held in the end, by one who sees them, fairly
    /// where all see them, and then nothing moves.
    @Test func everyStreamIsHeldAndNothingMovesForEver() {
        var generator = SeededGenerator.forTest("lease table")
        for _ in 0..<300 {
            let count = Int64.random(in: 1...20, using: &generator)
            let processes = Int32.random(in: 1...4, using: &generator)
            let sharesAll = Bool.random(using: &generator)
            var pass = Pass()
            for stream in Self.streams(0..<count) { pass.holders[stream] = .some(nil) }
            for process in 1...processes {
                pass.visible[process] = Self.streams(0..<count).filter { _ in
                    sharesAll || Int.random(in: 0..<3, using: &generator) > 0
                }
            }
            var moves = 0
            for round in 0..<40 {
                if round == 35 { moves = pass.moves }
                for process in (1...processes).shuffled(using: &generator) { pass.look(process) }
            }
            let name: Comment = "seed \(generator.seed), \(count) streams, \(processes) processes"
            #expect(moves == pass.moves, name)
            let seen = pass.visible.values.reduce(into: Set()) { $0.formUnion($1) }
            for (stream, holder) in pass.holders where seen.contains(stream) {
                guard let holder else {
                    Issue.record("stream \(stream.rawValue) is held by nobody; \(name.rawValue)")
                    continue
                }
                #expect(pass.visible[holder]?.contains(stream) == true, name)
            }
            let counts = (1...processes).map { pass.held(by: $0).count }
            if sharesAll { #expect((counts.max() ?? 0) <= (Int(count) + Int(processes) - 1) / Int(processes), name) }
        }
    }
}
