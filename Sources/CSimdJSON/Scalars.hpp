#ifndef TM_JSON_SCALARS_HPP
#define TM_JSON_SCALARS_HPP

#include "Parser.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// What may stand right behind a number or a word.
struct tm_json_terminators {
    bool is[256] = {};
    constexpr tm_json_terminators() {
        for (const char byte : {' ', '\t', '\n', '\r', ',', ']', '}', ':'}) is[static_cast<uint8_t>(byte)] = true;
    }
};
inline constexpr tm_json_terminators tm_json_terminates;

// The length of a number as it nearly always comes: a few digits, perhaps with a decimal point. Branch-free:
// digit counts are unpredictable. Sixteen bytes can be read, since there is padding behind the text.
// Returns 0 for any other number, and for what is none.
inline size_t tm_json_short_number(const uint8_t *text) {
#if defined(__SSE2__)
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i *>(text));
    const __m128i values = _mm_sub_epi8(block, _mm_set1_epi8('0'));
    const __m128i are_digits = _mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values);
    const uint32_t others = ~static_cast<uint32_t>(_mm_movemask_epi8(are_digits)) & 0xFFFF;
    if (others == 0) return 0;
    const uint32_t whole = static_cast<uint32_t>(__builtin_ctz(others));
    if (whole == 0 || (whole > 1 && text[0] == '0')) return 0;
    if (tm_json_terminates.is[text[whole]]) return whole;
    const uint32_t behind = others >> (whole + 1);
    if (text[whole] != '.' || behind == 0) return 0;
    const uint32_t fraction = static_cast<uint32_t>(__builtin_ctz(behind));
    const uint32_t count = whole + 1 + fraction;
    return fraction > 0 && tm_json_terminates.is[text[count]] ? count : 0;
#else
    (void)text;
    return 0;
#endif
}

// The space behind the text ends a number that the text ends with.
inline int tm_json_parser::number(size_t start, tm_json_node &node) {
    const uint8_t *const text = bytes.data;
    if (const size_t count = tm_json_short_number(text + start)) {
        node.kind = TM_JSON_NUMBER;
        node.children = 0;
        node.start = static_cast<uint32_t>(start);
        node.count = static_cast<uint32_t>(count);
        return TM_JSON_OK;
    }
    size_t at = start + (text[start] == '-');
    if (text[at] == '0') {
        at++;
    } else {
        if (!tm_json_is_digit(text[at])) return fail(TM_JSON_ERROR_NUMBER, start, "a digit is missing in a number");
        while (tm_json_is_digit(text[at])) at++;
    }
    if (text[at] == '.') {
        at++;
        if (!tm_json_is_digit(text[at])) return fail(TM_JSON_ERROR_NUMBER, start, "a number ends in its decimal point");
        while (tm_json_is_digit(text[at])) at++;
    }
    if ((text[at] | 0x20) == 'e') {
        at++;
        if (text[at] == '+' || text[at] == '-') at++;
        if (!tm_json_is_digit(text[at])) return fail(TM_JSON_ERROR_NUMBER, start, "a number has an empty exponent");
        while (tm_json_is_digit(text[at])) at++;
    }
    if (!tm_json_terminates.is[text[at]]) return fail(TM_JSON_ERROR_NUMBER, start, "a malformed number");
    node.kind = TM_JSON_NUMBER;
    node.children = 0;
    node.start = static_cast<uint32_t>(start);
    node.count = static_cast<uint32_t>(at - start);
    return TM_JSON_OK;
}

inline int tm_json_parser::word(size_t start, const char *text, size_t count, uint8_t kind, tm_json_node &node) {
    // Behind the text there is padding, so the comparison stays within the buffer.
    const uint8_t *const at = bytes.data + start;
    if (start + count > text_count || std::memcmp(at, text, count) != 0 || !tm_json_terminates.is[at[count]]) {
        return fail(TM_JSON_ERROR_SYNTAX, start, "an unknown word");
    }
    node.kind = kind;
    node.children = 0;
    node.start = static_cast<uint32_t>(start);
    node.count = static_cast<uint32_t>(count);
    return TM_JSON_OK;
}

inline int tm_json_parser::scalar(size_t at, tm_json_node &node) {
    switch (bytes.data[at]) {
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        return number(at, node);
    case 't': return word(at, "true", 4, TM_JSON_TRUE, node);
    case 'f': return word(at, "false", 5, TM_JSON_FALSE, node);
    case 'n': return word(at, "null", 4, TM_JSON_NULL, node);
    default:
        return fail(TM_JSON_ERROR_SYNTAX, at, at == text_count ? "the text ends early" : "a value is expected");
    }
}

#endif
