#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How many processors there are in truth. A virtual machine that has two may get the time of one from its host, for
/// seconds or minutes: whoever keeps both busy is half as fast then, and whoever keeps one busy notices nothing.
enum ProcessorProbe {
    private static let rounds = 60_000_000

    /// What two threads do at once, beside one alone: 2.0 on two processors of one's own, 1.0 where they share one. Takes
    /// a fifth of a second.
    static func atHand() -> Double {
        // Somebody else's memory: nobody may leave out work whose result ends there.
        let results = UnsafeMutablePointer<UInt>.allocate(capacity: 2)
        defer { results.deallocate() }
        let alone = Self.seconds { Self.work(results) }
        let together = Self.seconds {
            var thread = pthread_t()
            let start: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
                argument.map { ProcessorProbe.work($0.assumingMemoryBound(to: UInt.self)) }
                return nil
            }
            let isStarted = pthread_create(&thread, nil, start, results + 1) == 0
            Self.work(results)
            if isStarted { pthread_join(thread, nil) }
        }
        return 2 * alone / together
    }

    /// From here on there are two. Where they are threads of one core they never get to 2.0.
    private static let twoProcessors = 1.6

    /// Waits for two processors.
    /// - Parameter seconds: at most so long, 0 not at all.
    /// - Returns: what there is then.
    static func wait(seconds: Int) throws -> Double {
        let end = Self.now() + Double(seconds)
        while true {
            try Main.checkInterrupt()
            let processors = Self.atHand()
            guard processors < Self.twoProcessors, Self.now() < end else { return processors }
            usleep(500_000)
        }
    }

    /// In registers only, so that nothing but the processor is measured.
    private static func work(_ result: UnsafeMutablePointer<UInt>) {
        var (first, second, third): (UInt, UInt, UInt) = (1, 2, 3)
        for round in 0..<UInt(Self.rounds) {
            first = first &* 3 &+ round
            second ^= first >> 3
            third = third &* 5 &+ second
        }
        result.pointee = third
    }

    private static func seconds(_ body: () -> Void) -> Double {
        let start = Self.now()
        body()
        return Self.now() - start
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
