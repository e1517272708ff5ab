import CAllocator

/// How the process takes memory from the system.
enum Allocator {
    /// glibc keeps a heap for each of many threads, and what one has freed the others cannot use: with batches of
    /// megabytes that pass from thread to thread, a sixth of the peak. Two heaps are enough for a handful of threads.
    static func limitMallocArenas() {
        tidemark_limit_heaps(2)
        // A batch's buffers come and go with every transaction, never quite of the same size: between them heaps grow
        // with the length of a replay.
        tidemark_return_blocks(128 << 10)
    }
}
