#include "Scalars.hpp"

// Copies the text into our own buffer, with room for its unescaped strings behind it.
int tm_json_parser::take(const uint8_t *text, size_t count) {
    // What an escape stands for is never longer than the escape.
    if (!bytes.ensure(2 * count + 1 + TM_JSON_PADDING)) return fail(TM_JSON_ERROR_MEMORY, 0, "out of memory");
    if (count > 0) std::memcpy(bytes.data, text, count);
    bytes.data[count] = ' ';
    text_count = count;
    scratch = count + 1;
    return TM_JSON_OK;
}

// Reads a text of which nothing is known.
int tm_json_parser::read(uint32_t &node_count) {
    error_offset = 0;
    message = "";
    scratch = text_count + 1;
    int code = tokenize();
    if (code == TM_JSON_OK) code = walk(node_count);
    if (code == TM_JSON_OK) learn(node_count);
    return code;
}

// Lets simdjson find the tokens.
int tm_json_parser::tokenize() {
    const size_t count = text_count;
    has_escapes = std::memchr(bytes.data, '\\', count) != nullptr;
    // simdjson reads a last, incomplete block from a copy of its own, so nothing behind the text is looked at.
    if (stage1->capacity() < count) {
        size_t capacity = stage1->capacity() + stage1->capacity() / 2;
        if (capacity < count) capacity = count;
        if (stage1->set_capacity(capacity) != simdjson::SUCCESS) {
            return fail(TM_JSON_ERROR_MEMORY, 0, "out of memory");
        }
    }
    const auto code = stage1->stage1(bytes.data, count, simdjson::stage1_mode::regular);
    if (code != simdjson::SUCCESS) return index_failure(code);
    if (!nodes.ensure(stage1->n_structural_indexes)) return fail(TM_JSON_ERROR_MEMORY, 0, "out of memory");
    return TM_JSON_OK;
}

int tm_json_parser::index_failure(simdjson::error_code code) {
    const size_t count = text_count;
    switch (code) {
    case simdjson::EMPTY: return fail(TM_JSON_ERROR_EMPTY, 0, "there is nothing but white space");
    case simdjson::UTF8_ERROR: return fail(TM_JSON_ERROR_UTF8, tm_json_invalid_utf8(bytes.data, count), "invalid UTF-8");
    case simdjson::UNESCAPED_CHARS:
        return fail(TM_JSON_ERROR_STRING, tm_json_broken_string(bytes.data, count), "a control character in a string");
    case simdjson::UNCLOSED_STRING:
        return fail(TM_JSON_ERROR_STRING, tm_json_broken_string(bytes.data, count), "a string that does not end");
    case simdjson::CAPACITY: return fail(TM_JSON_ERROR_TOO_LARGE, 0, "the text is too large");
    case simdjson::MEMALLOC: return fail(TM_JSON_ERROR_MEMORY, 0, "out of memory");
    default: return fail(TM_JSON_ERROR_SYNTAX, 0, "no JSON");
    }
}

inline int tm_json_parser::close(const tm_json_level &level, size_t end, uint32_t node_count) {
    tm_json_node &node = nodes.data[level.container];
    node.count = static_cast<uint32_t>(end + 1 - node.start);
    node.next = node_count;
    return level.has_suspects ? check_names(level.container) : static_cast<int>(TM_JSON_OK);
}

// The grammar, over simdjson's tokens: each bracket, colon and comma outside of strings, and the first byte of each
// string, number and word. A token takes at most one node, and depth is an array's, not the stack's.
int tm_json_parser::walk(uint32_t &node_count) {
    const uint8_t *const text = bytes.data;
    uint32_t *const tokens = stage1->structural_indexes.get();
    tm_json_node *const out = nodes.data;
    tokens[stage1->n_structural_indexes] = static_cast<uint32_t>(text_count);  // a space: no token at all
    const bool is_plain = !has_escapes;
    const uint32_t *token = tokens;
    tm_json_level *level = nullptr;
    uint32_t count = 0, depth = 0;
    bool in_object = false;
    size_t at;
    int code;

    // A string ends with the last quote before the token that follows: mostly the byte before it.
    const auto read_string = [&](size_t quote, size_t following, tm_json_node &node) TM_JSON_INLINE {
        node.kind = TM_JSON_STRING;
        if (is_plain && following - quote > 1 && text[following - 1] == '"') {
            node.start = static_cast<uint32_t>(quote + 1);
            node.count = static_cast<uint32_t>(following - quote - 2);
            return static_cast<int>(TM_JSON_OK);
        }
        return string(quote, following, node);
    };

value:
    at = *token++;
    if (text[at] == '"') {
        code = read_string(at, *token, out[count]);
        out[count].children = 0;
    } else if (text[at] == '{' || text[at] == '[') {
        if (depth == max_depth) return fail(TM_JSON_ERROR_DEPTH, at, "nested too deeply");
        in_object = text[at] == '{';
        out[count].kind = in_object ? TM_JSON_OBJECT : TM_JSON_ARRAY;
        out[count].start = static_cast<uint32_t>(at);
        out[count].children = 0;
        level = open.data + depth++;
        level->container = count++;
        level->has_suspects = false;
        if (text[*token] == (in_object ? '}' : ']')) goto close;
        if (in_object) {
            level->seen[0] = level->seen[1] = level->seen[2] = level->seen[3] = 0;
            goto name;
        }
        out[level->container].children = 1;
        goto value;
    } else {
        code = scalar(at, out[count]);
    }
    if (code != TM_JSON_OK) return code;
    out[count].next = count + 1;
    count++;

behind:
    at = *token;
    if (depth == 0) {
        if (at != text_count) return fail(TM_JSON_ERROR_SYNTAX, at, "something stands behind the value");
        node_count = count;
        return TM_JSON_OK;
    }
    if (in_object) {
        if (text[at] == '}') goto close;
        if (text[at] != ',') return fail(TM_JSON_ERROR_SYNTAX, at, "a comma or } is expected");
        token++;
        goto name;
    }
    if (text[at] == ']') goto close;
    if (text[at] != ',') return fail(TM_JSON_ERROR_SYNTAX, at, "a comma or ] is expected");
    token++;
    out[level->container].children++;
    goto value;

name:
    at = *token++;
    if (text[at] != '"') return fail(TM_JSON_ERROR_SYNTAX, at, "a name in quotes is expected");
    code = read_string(at, *token, out[count]);
    if (code != TM_JSON_OK) return code;
    {
        const uint32_t hash = tm_json_hash_name(text + out[count].start, out[count].count);
        out[count].children = hash;
        uint64_t &seen = level->seen[hash >> 30];
        const uint64_t bit = uint64_t{1} << (hash >> 24 & 63);
        level->has_suspects |= (seen & bit) != 0;
        seen |= bit;
    }
    out[count].next = count + 1;
    count++;
    out[level->container].children++;
    if (text[*token] != ':') return fail(TM_JSON_ERROR_SYNTAX, *token, "a colon is expected");
    token++;
    goto value;

close:
    code = close(*level, *token++, count);
    if (code != TM_JSON_OK) return code;
    depth--;
    if (depth > 0) {
        level--;
        in_object = out[level->container].kind == TM_JSON_OBJECT;
    }
    goto behind;
}
