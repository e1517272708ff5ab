import CAllocator

/// Settings of the C allocator.
enum Allocator {
    /// Limits malloc arenas to two. glibc keeps one for each of many threads, and memory freed in one is not reused by
    /// the others: with batches of megabytes that pass between threads, a sixth of the peak.
    static func limitMallocArenas() {
        tidemark_limit_heaps(2)
        // Large buffers are mapped: a batch's buffers differ in size with every transaction, and would fragment heaps.
        tidemark_return_blocks(128 << 10)
    }
}
