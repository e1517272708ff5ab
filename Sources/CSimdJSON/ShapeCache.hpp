#ifndef TM_JSON_SKELETONS_HPP
#define TM_JSON_SKELETONS_HPP

#include "Buffer.hpp"
#include "CSimdJSON.h"

// What texts of one making have in common: all of their bytes but the scalars'. A producer writes the same names in the
// same order, so a text whose skeleton is known needs no grammar: its literals are compared with those that were read
// before, and only the scalars between them are checked.
//
// ShapeCache are a tree. A vertex is the literal before a scalar, with the nodes that begin in it and the containers that
// end in it; what may follow behind the scalar are its children. A skeleton is the way from the root to a vertex whose
// literal ends a text: one that was read and checked whole before it was learnt.
struct tm_json_skeletons {
    struct vertex {
        // The literal's first sixteen bytes, and which of them it has; what it has beyond them is kept apart.
        uint64_t head[2], mask[2];
        vertex *first_child, *next_sibling;
        // The child that was last taken.
        vertex *recent;
        uint32_t literal_count, rest;
        // How many nodes stand before those of the vertex on the way to it.
        uint32_t first_node;
        uint32_t node, node_count;
        uint32_t closing, closing_count;
        uint32_t child_count;
        // Not 0 where the literal ends the text.
        uint32_t skeleton;

        static constexpr uint32_t head_count = 16;
    };

    // A container that ends in a literal.
    struct closing {
        uint32_t node;
        // Behind its bracket, from the literal's beginning.
        uint32_t end;
        uint32_t next, children;
    };

    // From larger texts nothing is learnt.
    static constexpr size_t text_max = 64 * 1024;
    static constexpr uint32_t children_max = 16;
    // What all skeletons take together; when it is full they are forgotten, and learnt anew.
    static constexpr uint32_t vertices_max = 4 * 1024;
    static constexpr uint32_t literals_max = 256 * 1024;
    static constexpr uint32_t nodes_max = 16 * 1024;
    static constexpr uint32_t closings_max = 8 * 1024;
    // A lesson takes longer than reading does. Each text earns one and each lesson costs some, so that a log whose texts
    // have nothing in common is hardly slower for it.
    static constexpr uint32_t credit_max = 512;
    static constexpr uint32_t learn_cost = 16;

    tm_json_buffer<vertex> vertices;
    tm_json_buffer<uint8_t> literals;
    tm_json_buffer<tm_json_node> nodes;
    tm_json_buffer<closing> closings;
    uint32_t vertex_count = 0, literal_count = 0, node_count = 0, closing_count = 0;
    // Nodes of the largest skeleton.
    uint32_t largest = 0;
    // ShapeCache ever learnt: the number of the latest.
    uint32_t latest = 0;
    uint32_t credit = credit_max;

    bool prepare();
    bool may_learn(size_t text_count, uint32_t text_nodes);
    bool is_literal(const vertex &vertex, const uint8_t *text) const;
    vertex *learn(vertex *parent, vertex child, const uint8_t *literal, size_t count, bool ends_text);
};

// Whether `text`, of which as many bytes and TM_JSON_PADDING more can be read, begins with the vertex's literal.
inline bool tm_json_skeletons::is_literal(const vertex &vertex, const uint8_t *text) const {
    const uint64_t first = (tm_json_load(text) ^ vertex.head[0]) & vertex.mask[0];
    const uint64_t second = (tm_json_load(text + 8) ^ vertex.head[1]) & vertex.mask[1];
    if ((first | second) != 0) return false;
    return vertex.literal_count <= vertex::head_count
        || std::memcmp(literals.data + vertex.rest, text + vertex::head_count, vertex.literal_count - vertex::head_count)
        == 0;
}

#endif
