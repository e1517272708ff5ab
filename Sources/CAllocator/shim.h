#pragma once
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

// glibc's allocator settings, which Swift's overlay leaves out.
static inline void tidemark_limit_heaps(int heaps) {
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, heaps);
#else
    (void)heaps;
#endif
}

// From this size on a block is the system's, and goes back to it when it is freed. Without it glibc raises the bound
// with each large block that is freed.
static inline void tidemark_return_blocks(int bytes) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, bytes);
#else
    (void)bytes;
#endif
}
