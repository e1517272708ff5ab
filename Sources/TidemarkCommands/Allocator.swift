import PlatformC

/// Settings of the C allocator.
enum Allocator {
    /// Has glibc keep two malloc arenas instead of one for each of many threads, since memory freed in one is not reused by
    /// the others, and map only blocks from 1 MiB on, giving back what is free at a heap's end from 8 MiB on. Batches, blocks
    /// of messages and answers of brokers are of some hundred KiB, and each would be new memory, which the kernel clears page
    /// by page: mapped from 128 KiB on, a replay of a million events took a tenth more processor time of the client's, and
    /// reading them from RocketMQ too. Its peak is 166 MB instead of 163.
    static func configure() {
        // Looked up by name: only glibc has it, and Swift's overlay leaves out <malloc.h>.
        guard let symbol = dlsym(nil, "mallopt") else { return }
        let mallopt = unsafeBitCast(symbol, to: (@convention(c) (CInt, CInt) -> CInt).self)
        let (arenaMax, mmapThreshold, trimThreshold): (CInt, CInt, CInt) = (-8, -3, -1)
        _ = mallopt(arenaMax, 2)
        _ = mallopt(mmapThreshold, 1 << 20)
        _ = mallopt(trimThreshold, 8 << 20)
    }
}
