#ifndef CSIMDJSON_H
#define CSIMDJSON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A strict JSON reader: simdjson finds the tokens, our own state machine checks every one of them. It knows nothing of
   numbers but their grammar: a number is its literal, so that no digit is ever lost. */

enum {
    TM_JSON_OBJECT = 0,
    TM_JSON_ARRAY = 1,
    TM_JSON_STRING = 2,
    TM_JSON_NUMBER = 3,
    TM_JSON_TRUE = 4,
    TM_JSON_FALSE = 5,
    TM_JSON_NULL = 6,
};

enum {
    TM_JSON_OK = 0,
    /* Nothing but white space. */
    TM_JSON_ERROR_EMPTY,
    /* A token where it may not stand, a bracket that is not closed, something behind the value. */
    TM_JSON_ERROR_SYNTAX,
    TM_JSON_ERROR_UTF8,
    /* A control character, an unknown escape, half a surrogate pair, a missing quote. */
    TM_JSON_ERROR_STRING,
    TM_JSON_ERROR_NUMBER,
    /* One object has one name twice, as their unescaped text. */
    TM_JSON_ERROR_DUPLICATE_NAME,
    TM_JSON_ERROR_DEPTH,
    /* Over 2 GiB - 128. */
    TM_JSON_ERROR_TOO_LARGE,
    TM_JSON_ERROR_MEMORY,
};

typedef struct tm_json_node {
    /* The node's bytes: of a string its unescaped content without quotes, of anything else its text. */
    uint32_t start;
    uint32_t count;
    /* The node behind this one and all that is in it. */
    uint32_t next;
    /* Elements of an array; members of an object, each of them a string node and the node of its value. Of a member's
       name, its tm_json_name_hash. */
    uint32_t children;
    uint8_t kind;
} tm_json_node;

typedef struct tm_json_document {
    /* The text, one space, and the unescaped content of those strings that have escapes. At least
       TM_JSON_PADDING more bytes may be read behind `byte_count`. */
    const uint8_t *bytes;
    size_t byte_count;
    const tm_json_node *nodes;
    uint32_t node_count;
    /* Not 0: every text of this parser with this number has the same nodes, but for where they begin and end and the
       kinds of its scalars. Never given to another skeleton. */
    uint32_t skeleton;
    /* Where in the text the error is. */
    size_t error_offset;
    /* After TM_JSON_ERROR_DUPLICATE_NAME, where in `bytes` the name is. */
    uint32_t error_name_start;
    uint32_t error_name_count;
} tm_json_document;

#define TM_JSON_PADDING 64

typedef struct tm_json_parser tm_json_parser;

/* `max_depth` is how many arrays and objects may stand one in another; 0 means 256.
   Returns NULL when memory is short. */
tm_json_parser *tm_json_new(uint32_t max_depth);
void tm_json_free(tm_json_parser *parser);

/* Reads one JSON text. What `out` points at is the parser's and lasts until its next call. Buffers are used again; those
   that one huge text needed are given back after a while. Not to be called by two threads at once.
   Returns TM_JSON_OK or one of the errors, with only `error_offset` (and what names the duplicate) set in `out`. */
int tm_json_parse(tm_json_parser *parser, const uint8_t *text, size_t count, tm_json_document *out);

/* Spreads names over 32 bits, best over the upper ones. The same in every process, so no defence against names that
   are chosen to collide. TM_JSON_PADDING bytes must be readable behind the name. */
uint32_t tm_json_name_hash(const uint8_t *name, size_t count);

/* What the last call found wrong, in English; an empty string when nothing was. Static storage. */
const char *tm_json_last_error_message(const tm_json_parser *parser);

#ifdef __cplusplus
}
#endif

#endif
