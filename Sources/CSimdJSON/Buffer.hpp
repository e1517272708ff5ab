#ifndef TM_JSON_BUFFER_HPP
#define TM_JSON_BUFFER_HPP

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

// A growing array that never initialises, never throws, and forgets its content when it grows.
template <typename T>
struct tm_json_buffer {
    T *data = nullptr;
    size_t capacity = 0;

    tm_json_buffer() = default;
    tm_json_buffer(const tm_json_buffer &) = delete;
    tm_json_buffer &operator=(const tm_json_buffer &) = delete;
    ~tm_json_buffer() { std::free(data); }

    bool ensure(size_t count) {
        if (count <= capacity) return true;
        size_t wanted = capacity + capacity / 2;
        if (wanted < count) wanted = count;
        release();
        data = static_cast<T *>(std::malloc(wanted * sizeof(T)));
        capacity = data == nullptr ? 0 : wanted;
        return data != nullptr;
    }

    void release() {
        std::free(data);
        data = nullptr;
        capacity = 0;
    }
};

inline uint64_t tm_json_load(const uint8_t *at) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
}

#endif
