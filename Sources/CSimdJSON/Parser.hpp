#ifndef TM_JSON_PARSER_HPP
#define TM_JSON_PARSER_HPP

#include "CSimdJSON.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <simdjson.h>

// A lambda that is called at several places, and not worth a call.
#define TM_JSON_INLINE __attribute__((always_inline))

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

struct tm_json_name_slot {
    uint32_t hash;
    uint32_t name;
};

// An array or object whose end has not come.
struct tm_json_level {
    uint32_t container;
    // Two names share a bit: they may be the same.
    bool has_suspects;
    // A bit out of 256 for each name.
    uint64_t seen[4];
};

struct tm_json_parser {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> stage1;
    uint32_t max_depth = 0;
    // Names come from strangers: with a secret in the hash they cannot be chosen to collide.
    uint64_t seeds[2] = {0, 1};
    tm_json_buffer<uint8_t> bytes;
    tm_json_buffer<tm_json_node> nodes;
    tm_json_buffer<tm_json_level> open;
    tm_json_buffer<tm_json_name_slot> names;
    uint32_t quiet_calls = 0;

    size_t text_count = 0;
    size_t scratch = 0;
    bool has_escapes = false;
    size_t error_offset = 0;
    uint32_t duplicate = 0;
    const char *message = "";

    int fail(int code, size_t offset, const char *what) {
        error_offset = offset;
        message = what;
        return code;
    }

    // A name with escapes stands in the scratch space: for its place in the text, its object's must do.
    int fail_twice(uint32_t object, uint32_t name) {
        const uint32_t start = nodes.data[name].start;
        duplicate = name;
        return fail(
            TM_JSON_ERROR_DUPLICATE_NAME, start <= text_count ? start - 1 : nodes.data[object].start,
            "a name occurs twice in one object");
    }

    int prepare(const uint8_t *text, size_t count);
    int index_failure(simdjson::error_code code);
    int walk(uint32_t &node_count);
    int string(size_t quote, size_t following, tm_json_node &node);
    int scalar(size_t at, tm_json_node &node);
    int unescape(size_t start, size_t end, tm_json_node &node);
    int escape(size_t &at, size_t end, uint8_t *&to);
    int number(size_t start, tm_json_node &node);
    int word(size_t start, const char *text, size_t count, uint8_t kind, tm_json_node &node);
    int close(const tm_json_level &level, size_t end, uint32_t node_count);
    int check_names(uint32_t object);
    int check_few_names(uint32_t object);
    int check_many_names(uint32_t object);
    bool is_same_name(const tm_json_node &left, const tm_json_node &right) const;
    uint64_t hash(const uint8_t *at, size_t count) const;
    void shrink(size_t count);
};

inline uint64_t tm_json_load(const uint8_t *at) {
    uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
}

// By the first and the last eight bytes and the length: without a branch, since lengths cannot be foretold.
inline uint32_t tm_json_hash_name(const uint8_t *at, size_t count) {
    const size_t bits = count < 8 ? 8 * count : 64;
    const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    const uint64_t first = tm_json_load(at) & mask;
    const uint64_t last = tm_json_load(at + (count > 8 ? count - 8 : 0)) & mask;
    return static_cast<uint32_t>(((first ^ (last << 29 | last >> 35)) + count) * 0x9E3779B97F4A7C15 >> 32);
}

inline bool tm_json_is_digit(uint8_t byte) { return static_cast<uint8_t>(byte - '0') < 10; }

// The first byte that is no UTF-8, or `count`.
size_t tm_json_invalid_utf8(const uint8_t *text, size_t count);

// The first control character within a string, or the quote of a string that never ends; `count` without either.
size_t tm_json_broken_string(const uint8_t *text, size_t count);

#endif
