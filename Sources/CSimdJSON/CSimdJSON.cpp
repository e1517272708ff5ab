#include "Parser.hpp"

#include <new>
#include <random>

namespace {

constexpr uint32_t default_depth = 256;
constexpr uint32_t largest_depth = 65536;
constexpr size_t largest_text = (size_t{1} << 31) - 128;
// Buffers above this size are given back once so many texts in a row had no use for them.
constexpr size_t retained_bytes = size_t{1} << 20;
constexpr uint32_t shrink_after = 256;

uint64_t random_word() {
    try {
        std::random_device device;
        return static_cast<uint64_t>(device()) << 32 | device();
    } catch (...) {
        return 0x9E3779B97F4A7C15;
    }
}

}  // namespace

void tm_json_parser::shrink(size_t count) {
    if (bytes.capacity <= retained_bytes || count > retained_bytes / 4) {
        oversized_texts = 0;
        return;
    }
    if (++oversized_texts < shrink_after) return;
    oversized_texts = 0;
    bytes.release();
    nodes.release();
    names.release();
    // Failing here leaves a capacity of nothing, and the next text asks for what it needs.
    (void)!stage1->set_capacity(retained_bytes / 4);
}

extern "C" {

tm_json_parser *tm_json_new(uint32_t max_depth) {
    auto *parser = new (std::nothrow) tm_json_parser;
    if (parser == nullptr) return nullptr;
    parser->max_depth = max_depth == 0 ? default_depth : max_depth < largest_depth ? max_depth : largest_depth;
    parser->seeds[0] = random_word();
    parser->seeds[1] = random_word() | 1;
    // simdjson's own depth is for its own second stage, which is not used.
    const auto code =
        simdjson::get_active_implementation()->create_dom_parser_implementation(4096, 1, parser->stage1);
    if (code != simdjson::SUCCESS || !parser->open.ensure(parser->max_depth)) {
        delete parser;
        return nullptr;
    }
    return parser;
}

void tm_json_free(tm_json_parser *parser) { delete parser; }

int tm_json_parse(tm_json_parser *parser, const uint8_t *text, size_t count, tm_json_document *out) {
    *out = {};
    parser->message = "";
    parser->error_offset = 0;
    if (count == 0) return parser->fail(TM_JSON_ERROR_EMPTY, 0, "there is nothing");
    if (count > largest_text) return parser->fail(TM_JSON_ERROR_TOO_LARGE, 0, "the text is too large");
    parser->shrink(count);
    uint32_t node_count = 0;
    uint32_t skeleton = 0;
    int code = parser->take(text, count);
    if (code == TM_JSON_OK) {
        skeleton = parser->follow(node_count);
        if (skeleton == 0) code = parser->read(node_count);
    }
    if (code != TM_JSON_OK) {
        out->error_offset = parser->error_offset;
        if (code == TM_JSON_ERROR_DUPLICATE_NAME) {
            out->bytes = parser->bytes.data;
            out->byte_count = parser->scratch;
            out->error_name_start = parser->nodes.data[parser->duplicate].start;
            out->error_name_count = parser->nodes.data[parser->duplicate].count;
        }
        return code;
    }
    out->bytes = parser->bytes.data;
    out->byte_count = parser->scratch;
    out->nodes = parser->nodes.data;
    out->node_count = node_count;
    out->skeleton = skeleton;
    return TM_JSON_OK;
}

uint32_t tm_json_name_hash(const uint8_t *name, size_t count) { return tm_json_hash_name(name, count); }

const char *tm_json_last_error_message(const tm_json_parser *parser) { return parser->message; }

}
