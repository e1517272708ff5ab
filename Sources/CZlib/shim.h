#pragma once
#include <zlib.h>

// zlib's initialisers are macros, which Swift does not import.
static inline int tidemark_inflateInit2(z_stream *stream, int window_bits) {
    return inflateInit2(stream, window_bits);
}
