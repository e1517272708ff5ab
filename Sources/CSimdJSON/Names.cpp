#include "Parser.hpp"

namespace {

// Up to here a name is compared with its predecessors, above it is looked up in a table.
constexpr uint32_t few_names = 24;

inline uint64_t mix(uint64_t left, uint64_t right) {
    const auto product = static_cast<unsigned __int128>(left) * right;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

bool tm_json_parser::is_same_name(const tm_json_node &left, const tm_json_node &right) const {
    return left.count == right.count
        && std::memcmp(bytes.data + left.start, bytes.data + right.start, left.count) == 0;
}

int tm_json_parser::check_names(uint32_t object) {
    return nodes.data[object].children <= few_names ? check_few_names(object) : check_many_names(object);
}

// Each with each: only where two of them share a bit, and there are few.
int tm_json_parser::check_few_names(uint32_t object) {
    const tm_json_node *const all = nodes.data;
    const uint32_t first = object + 1;
    for (uint32_t name = first, left = all[object].children; left > 0; left--, name = all[name + 1].next) {
        for (uint32_t other = first; other != name; other = all[other + 1].next) {
            if (all[other].children == all[name].children && is_same_name(all[other], all[name])) {
                return fail_twice(object, name);
            }
        }
    }
    return TM_JSON_OK;
}

int tm_json_parser::check_many_names(uint32_t object) {
    const tm_json_node *const all = nodes.data;
    size_t capacity = 64;
    while (capacity < size_t{2} * all[object].children) capacity *= 2;
    if (!names.ensure(capacity)) return fail(TM_JSON_ERROR_MEMORY, 0, "out of memory");
    std::memset(names.data, 0, capacity * sizeof(tm_json_name_slot));
    for (uint32_t name = object + 1, left = all[object].children; left > 0; left--, name = all[name + 1].next) {
        const tm_json_node &node = all[name];
        const uint64_t digest = hash(bytes.data + node.start, node.count);
        const uint32_t check = static_cast<uint32_t>(digest >> 32);
        // Node 0 is never a name, so a slot without one is free.
        size_t slot = digest & (capacity - 1);
        while (names.data[slot].name != 0) {
            if (names.data[slot].hash == check && is_same_name(all[names.data[slot].name], node)) {
                return fail_twice(object, name);
            }
            slot = (slot + 1) & (capacity - 1);
        }
        names.data[slot] = {check, name};
    }
    return TM_JSON_OK;
}

uint64_t tm_json_parser::hash(const uint8_t *at, size_t count) const {
    uint64_t state = seeds[0] ^ count;
    for (; count > 8; at += 8, count -= 8) state = mix(state ^ tm_json_load(at), seeds[1]);
    uint64_t tail = tm_json_load(at);
    if (count < 8) tail &= (uint64_t{1} << (8 * count)) - 1;
    return mix(mix(state ^ tail, seeds[1]), 0xA0761D6478BD642F);
}
