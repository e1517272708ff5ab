import PlatformC

/// Settings of the C allocator.
enum Allocator {
    /// Has glibc keep two malloc arenas instead of one for each of many threads, since memory freed in one is not reused by
    /// the others, and map blocks from 128 KiB on: a batch's buffers differ in size with every transaction, and would
    /// fragment heaps. Without both, replays of a million events peak at 192 MB and 172 MB instead of 174 MB and 158 MB.
    static func limitMallocArenas() {
        // Looked up by name: only glibc has it, and Swift's overlay leaves out <malloc.h>.
        guard let symbol = dlsym(nil, "mallopt") else { return }
        let mallopt = unsafeBitCast(symbol, to: (@convention(c) (CInt, CInt) -> CInt).self)
        let (arenaMax, mmapThreshold): (CInt, CInt) = (-8, -3)
        _ = mallopt(arenaMax, 2)
        _ = mallopt(mmapThreshold, 128 << 10)
    }
}
