#include "Scalars.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace {

constexpr size_t no_end = ~size_t{0};

#if defined(__SSE2__)
constexpr size_t stride = 16;
constexpr size_t bits_of_byte = 1;

// The bits of those of `stride` bytes that a string may not simply go on with: quotes, backslashes, control characters,
// and what is not ASCII.
inline uint64_t special_bits(const uint8_t *at) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
    const __m128i quotes = _mm_cmpeq_epi8(block, _mm_set1_epi8('"'));
    const __m128i backslashes = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));
    // As signed numbers, bytes from 0x80 on are below all others.
    const __m128i controls = _mm_cmplt_epi8(block, _mm_set1_epi8(0x20));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, backslashes), controls)));
}
#else
constexpr size_t stride = 8;
constexpr size_t bits_of_byte = 8;

// A borrow may set bits above the lowest, never below: the lowest is right.
inline uint64_t special_bits(const uint8_t *at) {
    constexpr uint64_t ones = 0x0101010101010101;
    const uint64_t word = tm_json_load(at);
    const auto zeros = [](uint64_t bytes) { return (bytes - ones) & ~bytes; };
    return (zeros(word ^ ones * '"') | zeros(word ^ ones * '\\') | ((word - ones * 0x20) & ~word) | word) & ones * 0x80;
}
#endif

// What a scalar may begin with.
struct beginning_table {
    bool is[256] = {};
    constexpr beginning_table() {
        for (const char byte : {'"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 't', 'f', 'n'}) {
            is[static_cast<uint8_t>(byte)] = true;
        }
    }
};
constexpr beginning_table beginnings;

inline bool is_container(const tm_json_node &node) {
    return node.kind == TM_JSON_OBJECT || node.kind == TM_JSON_ARRAY;
}

inline bool is_punctuation(uint8_t byte) { return byte == ':' || byte == ',' || byte == '}' || byte == ']'; }

}  // namespace

bool tm_json_skeletons::prepare() {
    if (vertex_count > 0) return true;
    if (!vertices.ensure(vertices_max) || !literals.ensure(literals_max) || !nodes.ensure(nodes_max)
        || !closings.ensure(closings_max)) {
        return false;
    }
    vertices.data[0] = {};
    vertex_count = 1;
    return true;
}

// Whether a text that was not known is worth a lesson, with room for all that it may bring.
bool tm_json_skeletons::may_learn(size_t text_count, uint32_t text_nodes) {
    if (credit < learn_cost || text_count > text_max || text_nodes >= vertices_max / 4 || !prepare()) return false;
    credit -= learn_cost;
    if (vertex_count + text_nodes + 1 > vertices_max || literal_count + text_count > literals_max
        || node_count + text_nodes > nodes_max || closing_count + text_nodes > closings_max) {
        vertices.data[0] = {};
        vertex_count = 1;
        literal_count = node_count = closing_count = largest = 0;
    }
    return true;
}

// Adds a vertex behind `parent`, its nodes and closings being those behind the last ones that are kept.
// Returns it, or the one that is there already; nullptr where there are too many.
tm_json_skeletons::vertex *tm_json_skeletons::learn(
    vertex *parent, vertex child, const uint8_t *literal, size_t count, bool ends_text) {
    for (vertex *other = parent->first_child; other != nullptr; other = other->next_sibling) {
        if (other->literal_count == count && (other->skeleton != 0) == ends_text && is_literal(*other, literal)) {
            return other;
        }
    }
    if (parent->child_count == children_max) return nullptr;
    const size_t head = count < vertex::head_count ? count : vertex::head_count;
    std::memcpy(child.head, literal, head);
    std::memset(child.mask, 0xFF, head);
    std::memcpy(literals.data + literal_count, literal + head, count - head);
    child.literal_count = static_cast<uint32_t>(count);
    child.rest = literal_count;
    child.node = node_count;
    child.closing = closing_count;
    child.next_sibling = parent->first_child;
    child.skeleton = ends_text ? ++latest : 0;
    literal_count += static_cast<uint32_t>(count - head);
    node_count += child.node_count;
    closing_count += child.closing_count;
    // The scalar behind it has a node too.
    const uint32_t reach = child.first_node + child.node_count + 1;
    if (largest < reach) largest = reach;
    vertex *const added = vertices.data + vertex_count++;
    *added = child;
    parent->first_child = parent->recent = added;
    parent->child_count++;
    return added;
}

// The first quote, from behind the opening one, that no backslash stands before; `no_end` where the string is broken.
inline size_t tm_json_parser::string_end(size_t at, bool &is_escaped) const {
    const uint8_t *const text = bytes.data;
    while (at < text_count) {
        const uint64_t special = special_bits(text + at);
        if (special == 0) {
            at += stride;
            continue;
        }
        at += static_cast<size_t>(__builtin_ctzll(special)) / bits_of_byte;
        if (at >= text_count) break;
        if (text[at] == '"') return at;
        if (text[at] == '\\') {
            is_escaped = true;
            at += 2;
            continue;
        }
        do {
            const size_t length = tm_json_utf8_length(text + at, text_count - at);
            if (length == 0) return no_end;
            at += length;
        } while (text[at] >= 0x80);
    }
    return no_end;
}

// Reads the scalar at `at`, and goes behind it.
inline bool tm_json_parser::follow_scalar(size_t &at, tm_json_node &node) {
    node.children = 0;
    if (bytes.data[at] != '"') {
        if (scalar(at, node) != TM_JSON_OK) return false;
        at = size_t{node.start} + node.count;
        return true;
    }
    bool is_escaped = false;
    const size_t end = string_end(at + 1, is_escaped);
    if (end == no_end) return false;
    node.kind = TM_JSON_STRING;
    if (is_escaped) {
        if (unescape(at + 1, end, node) != TM_JSON_OK) return false;
    } else {
        node.start = static_cast<uint32_t>(at + 1);
        node.count = static_cast<uint32_t>(end - at - 1);
    }
    at = end + 1;
    return true;
}

// Writes the nodes that begin and ends those that end in the literal of `vertex`, which stands at `at`.
// Returns the index of the next node.
inline tm_json_node *tm_json_parser::emit_nodes(const tm_json_skeletons::vertex &vertex, size_t at) {
    tm_json_node *node = nodes.data + vertex.first_node;
    const tm_json_node *model = known.nodes.data + vertex.node;
    for (uint32_t left = vertex.node_count; left > 0; left--, node++, model++) {
        *node = *model;
        node->start += static_cast<uint32_t>(at);
    }
    const tm_json_skeletons::closing *closing = known.closings.data + vertex.closing;
    for (uint32_t left = vertex.closing_count; left > 0; left--, closing++) {
        tm_json_node &container = nodes.data[closing->node];
        container.count = static_cast<uint32_t>(at) + closing->end - container.start;
        container.next = closing->next;
        container.children = closing->children;
    }
    return node;
}

// Reads a text whose skeleton is known. What it finds is what `read` would.
// Returns the skeleton's number, or 0 for any other text, valid or not.
uint32_t tm_json_parser::follow(uint32_t &node_count) {
    if (known.credit < tm_json_skeletons::credit_max) known.credit++;
    if (known.vertex_count == 0 || !nodes.ensure(known.largest)) return 0;
    const uint8_t *const text = bytes.data;
    size_t at = 0;
    const auto stands_here = [&](const tm_json_skeletons::vertex &vertex) TM_JSON_INLINE {
        const size_t end = at + vertex.literal_count;
        if (end > text_count || !known.is_literal(vertex, text + at)) return false;
        return vertex.skeleton != 0 ? end == text_count : end < text_count && beginnings.is[text[end]];
    };
    tm_json_skeletons::vertex *parent = known.vertices.data;
    while (true) {
        tm_json_skeletons::vertex *child = parent->recent;
        if (child == nullptr || !stands_here(*child)) {
            child = parent->first_child;
            while (child != nullptr && !stands_here(*child)) child = child->next_sibling;
            if (child == nullptr) return 0;
            parent->recent = child;
        }
        tm_json_node *const node = emit_nodes(*child, at);
        const uint32_t behind = child->first_node + child->node_count;
        if (child->skeleton != 0) {
            node_count = behind;
            return child->skeleton;
        }
        at += child->literal_count;
        node->next = behind + 1;
        if (!follow_scalar(at, *node)) return 0;
        parent = child;
    }
}

// Learns the skeleton of the text that was just read: from its nodes, and from its tokens, since an unescaped string does
// not tell where it stood.
void tm_json_parser::learn(uint32_t count) {
    if (!is_container(nodes.data[0]) || !known.may_learn(text_count, count)) return;
    const uint8_t *const text = bytes.data;
    const tm_json_node *const all = nodes.data;
    const uint32_t *token = stage1->structural_indexes.get();
    tm_json_skeletons::vertex next = {};
    size_t literal = 0;
    tm_json_skeletons::vertex *parent = known.vertices.data;
    uint32_t depth = 0;
    for (uint32_t index = 0;; index++) {
        while (depth > 0 && all[open.data[depth - 1].container].next == index) {
            const uint32_t container = open.data[--depth].container;
            const size_t end = size_t{all[container].start} + all[container].count;
            known.closings.data[known.closing_count + next.closing_count++] = {
                container, static_cast<uint32_t>(end - literal), index, all[container].children};
        }
        if (index == count) break;
        const tm_json_node &node = all[index];
        while (is_punctuation(text[*token])) token++;
        const size_t at = *token++;
        if (depth > 0 && open.data[depth - 1].name == index) {
            // Where it stood is not known.
            if (node.start > text_count) return;
            open.data[depth - 1].name = all[index + 1].next;
        } else if (is_container(node)) {
            open.data[depth].container = index;
            open.data[depth++].name = node.kind == TM_JSON_OBJECT ? index + 1 : 0;
        } else {
            parent = known.learn(parent, next, text + literal, at - literal, false);
            if (parent == nullptr) return;
            literal = size_t{node.start} + node.count;
            if (node.kind == TM_JSON_STRING) {
                literal = *token;
                while (text[literal - 1] != '"') literal--;
            }
            next = {};
            next.first_node = index + 1;
            continue;
        }
        tm_json_node &pattern = known.nodes.data[known.node_count + next.node_count++];
        pattern = node;
        pattern.start -= static_cast<uint32_t>(literal);
    }
    known.learn(parent, next, text + literal, text_count - literal, true);
}
