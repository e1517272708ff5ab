#ifndef TM_JSON_PARSER_HPP
#define TM_JSON_PARSER_HPP

#include "CSimdJSON.h"
#include "ShapeCache.hpp"

#include <memory>
#include <simdjson.h>

// A lambda that is called at several places, and not worth a call.
#define TM_JSON_INLINE __attribute__((always_inline))

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
    // While a skeleton is learnt, the next member's name.
    uint32_t name;
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
    tm_json_skeletons known;
    uint32_t oversized_texts = 0;

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

    int take(const uint8_t *text, size_t count);
    uint32_t follow(uint32_t &node_count);
    bool follow_scalar(size_t &at, tm_json_node &node);
    tm_json_node *emit_nodes(const tm_json_skeletons::vertex &vertex, size_t at);
    size_t string_end(size_t at, bool &is_escaped) const;
    void learn(uint32_t node_count);
    int read(uint32_t &node_count);
    int tokenize();
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

// By the first and the last eight bytes and the length: without a branch, since lengths cannot be foretold.
inline uint32_t tm_json_hash_name(const uint8_t *at, size_t count) {
    const size_t bits = count < 8 ? 8 * count : 64;
    const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    const uint64_t first = tm_json_load(at) & mask;
    const uint64_t last = tm_json_load(at + (count > 8 ? count - 8 : 0)) & mask;
    return static_cast<uint32_t>(((first ^ (last << 29 | last >> 35)) + count) * 0x9E3779B97F4A7C15 >> 32);
}

inline bool tm_json_is_digit(uint8_t byte) { return static_cast<uint8_t>(byte - '0') < 10; }

// The length of the UTF-8 sequence of several bytes that `text` begins with (Unicode 15, table 3-7); 0 for none.
inline size_t tm_json_utf8_length(const uint8_t *text, size_t count) {
    const uint8_t lead = text[0];
    size_t length;
    uint8_t low = 0x80, high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        return 0;
    }
    if (count < length || text[1] < low || text[1] > high) return 0;
    for (size_t index = 2; index < length; index++) {
        if ((text[index] & 0xC0) != 0x80) return 0;
    }
    return length;
}

// The first byte that is no UTF-8, or `count`.
size_t tm_json_invalid_utf8(const uint8_t *text, size_t count);

// The first control character within a string, or the quote of a string that never ends; `count` without either.
size_t tm_json_broken_string(const uint8_t *text, size_t count);

#endif
