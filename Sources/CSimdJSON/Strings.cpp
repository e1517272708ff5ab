#include "Parser.hpp"

namespace {

inline int hex_digit(uint8_t byte) {
    if (tm_json_is_digit(byte)) return byte - '0';
    const uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

// The first byte that is no UTF-8, or `count`.
size_t tm_json_invalid_utf8(const uint8_t *text, size_t count) {
    size_t at = 0;
    while (at < count) {
        const size_t length = text[at] < 0x80 ? 1 : tm_json_utf8_length(text + at, count - at);
        if (length == 0) return at;
        at += length;
    }
    return count;
}

// The first control character within a string, or the quote of a string that never ends.
size_t tm_json_broken_string(const uint8_t *text, size_t count) {
    size_t opened = count;
    bool inside = false;
    for (size_t at = 0; at < count; at++) {
        const uint8_t byte = text[at];
        if (!inside) {
            inside = byte == '"';
            opened = at;
        } else if (byte == '"') {
            inside = false;
        } else if (byte == '\\') {
            at += 1;
        } else if (byte < 0x20) {
            return at;
        }
    }
    return inside ? opened : count;
}

// White space stands between the string and the token that follows, or it does not end.
int tm_json_parser::string(size_t quote, size_t following, tm_json_node &node) {
    const uint8_t *const text = bytes.data;
    size_t end = following - 1;
    while (end > quote && text[end] != '"') end--;
    if (end == quote) return fail(TM_JSON_ERROR_STRING, quote, "a string that does not end");
    node.start = static_cast<uint32_t>(quote + 1);
    node.count = static_cast<uint32_t>(end - quote - 1);
    if (has_escapes && std::memchr(text + quote + 1, '\\', node.count) != nullptr) return unescape(quote + 1, end, node);
    return TM_JSON_OK;
}

int tm_json_parser::unescape(size_t start, size_t end, tm_json_node &node) {
    const uint8_t *const text = bytes.data;
    uint8_t *to = bytes.data + scratch;
    size_t at = start;
    while (at < end) {
        const auto *found = static_cast<const uint8_t *>(std::memchr(text + at, '\\', end - at));
        const size_t run = (found == nullptr ? text + end : found) - (text + at);
        std::memcpy(to, text + at, run);
        to += run;
        at += run;
        if (at == end) break;
        const int code = escape(at, end, to);
        if (code != TM_JSON_OK) return code;
    }
    node.start = static_cast<uint32_t>(scratch);
    node.count = static_cast<uint32_t>(to - (bytes.data + scratch));
    scratch += node.count;
    return TM_JSON_OK;
}

// Reads the escape at `at`, a backslash, and appends what it stands for.
int tm_json_parser::escape(size_t &at, size_t end, uint8_t *&to) {
    const uint8_t *const text = bytes.data;
    const size_t start = at;
    const auto unit = [&](size_t from) -> int {
        if (end - from < 6 || text[from] != '\\' || text[from + 1] != 'u') return -1;
        int value = 0;
        for (size_t index = from + 2; index < from + 6; index++) {
            const int digit = hex_digit(text[index]);
            if (digit < 0) return -1;
            value = value << 4 | digit;
        }
        return value;
    };
    at += 2;
    switch (text[start + 1]) {
    case '"': case '\\': case '/': *to++ = text[start + 1]; return TM_JSON_OK;
    case 'b': *to++ = 0x08; return TM_JSON_OK;
    case 'f': *to++ = 0x0C; return TM_JSON_OK;
    case 'n': *to++ = 0x0A; return TM_JSON_OK;
    case 'r': *to++ = 0x0D; return TM_JSON_OK;
    case 't': *to++ = 0x09; return TM_JSON_OK;
    case 'u': break;
    default: return fail(TM_JSON_ERROR_STRING, start, "an unknown escape in a string");
    }
    int scalar = unit(start);
    if (scalar < 0) return fail(TM_JSON_ERROR_STRING, start, "\\u needs four hexadecimal digits");
    at += 4;
    if (scalar >= 0xD800 && scalar < 0xE000) {
        const int low = scalar < 0xDC00 && at < end ? unit(at) : -1;
        if (low < 0xDC00 || low > 0xDFFF) return fail(TM_JSON_ERROR_STRING, start, "half a surrogate pair in a string");
        scalar = 0x10000 + ((scalar - 0xD800) << 10) + (low - 0xDC00);
        at += 6;
    }
    if (scalar < 0x80) {
        *to++ = static_cast<uint8_t>(scalar);
    } else {
        if (scalar < 0x800) {
            *to++ = static_cast<uint8_t>(0xC0 | scalar >> 6);
        } else {
            if (scalar < 0x10000) {
                *to++ = static_cast<uint8_t>(0xE0 | scalar >> 12);
            } else {
                *to++ = static_cast<uint8_t>(0xF0 | scalar >> 18);
                *to++ = static_cast<uint8_t>(0x80 | (scalar >> 12 & 0x3F));
            }
            *to++ = static_cast<uint8_t>(0x80 | (scalar >> 6 & 0x3F));
        }
        *to++ = static_cast<uint8_t>(0x80 | (scalar & 0x3F));
    }
    return TM_JSON_OK;
}
