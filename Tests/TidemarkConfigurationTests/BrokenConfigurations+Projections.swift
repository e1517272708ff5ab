import TidemarkCore

extension BrokenConfiguration {
    // MARK: Projections

    static let projections = [
        Self(
            name: "Orders",
            ".name, line 2: \"Orders\" is not a name of lower-case letters, digits and _ that begins with no digit, up to 40 bytes"
        ),
        Self(
            name: String(repeating: "o", count: 41),
            ".name, line 2: \"ooooooooooooooooooooooooooooooooooooooooo\" is not a name of lower-case letters, digits and _ that begins with no digit, up to 40 bytes"
        ),
        Self(
            name: "7",
            ".name, line 2: 7 is a number, where a name of lower-case letters, digits and _ that begins with no digit, up to 40 bytes is expected; put it in quotes if it is one"
        ),
        Self(
            from: "orders",
            ".from, line 3: \"orders\" is not a table such as shop.orders or shop.order_*: database.table or schema.table"
        ),
        Self(from: "[shop.orders, shop.orders]", ".from[1], line 3: \"shop.orders\" is named twice"),
        Self(from: "[]", ".from, line 3: is an empty list; name at least one table"),
        Self(
            from: "[shop.]",
            ".from[0], line 3: \"shop.\" is not a table such as shop.orders or shop.order_*: database.table or schema.table"
        ),
        Self(from: "[shop.orders, '\"shop\".orders']", ".from[1], line 3: \"\\\"shop\\\".orders\" is named twice"),
        Self(
            from: "[a.b.c.d]",
            ".from[0], line 3: \"a.b.c.d\" is not a table such as shop.orders or shop.order_*: it has more than 3 parts; a name that holds a dot stands in double quotes: shop.\"a.b\""
        ),
        Self(
            from: "['shop.\"a']",
            ".from[0], line 3: \"shop.\\\"a\" is not a table such as shop.orders or shop.order_*: a double quote is not closed"
        ),
        Self(
            from: "['shop.a\"b']",
            ".from[0], line 3: \"shop.a\\\"b\" is not a table such as shop.orders or shop.order_*: a name that holds a double quote stands in double quotes, with the quote doubled: shop.\"a\"\"b\""
        ),
        Self(
            from: "['shop.\"a\"*']",
            ".from[0], line 3: \"shop.\\\"a\\\"*\" is not a table such as shop.orders or shop.order_*: a dot or the end has to follow a closing double quote"
        ),
        Self(
            from: "[shop. orders]",
            ".from[0], line 3: \"shop. orders\" is not a table such as shop.orders or shop.order_*: a name that begins or ends with a space, or holds a control character, stands in double quotes: shop.\" orders\""
        ),
        Self(key: "[id, id]", ".key[1], line 4: \"id\" is named twice"),
        Self(key: "[$database, id, $database]", ".key[2], line 4: \"$database\" is named twice"),
        Self(
            key: "[\((1...32).map { "c\($0)" }.joined(separator: ", "))]",
            ".key, line 4: names 32 columns; an index of PostgreSQL has 32 at most, and that of the timeline has one more than the key: name up to 31"
        ),
        Self(
            key: "$database",
            ".key, line 4: holds $database alone, so that a database is one row; name a column of the row beside it"
        ),
        Self(
            orders: "columns: { id: bigint, .status: text, status: text, version: bigint }",
            key: "[.status, id]",
            ".key[0], line 4: \".status\" cannot be a key column beside \"status\": the timeline's storage has a column of that name; give one of them another name, and from: for its name at the source"
        ),
        Self(
            key: "missing",
            ".key, line 4: \"missing\" cannot be a key column: the relations that show keys have a column of that name; rename it with columns: { order_missing: { type: …, from: missing } }"
        ),
        Self(
            key: "sequence",
            ".key, line 4: \"sequence\" cannot be a key column: the relations that show keys have a column of that name; rename it with columns: { order_sequence: { type: …, from: sequence } }"
        ),
        Self(
            key: "_id",
            ".key, line 4: \"_id\": names that begin with _ are Tidemark's own; give it another name, and from: for its name at the source"
        ),
        Self(key: "{ id: 1 }", ".key, line 4: is a mapping, where one column or a list of them is expected"),
        Self(
            orders: "columns: { id: jsonb }",
            ".key, line 4: \"id\" is jsonb, which cannot be a key; use bigint, integer, smallint, numeric, text, varchar, uuid, date, timestamptz, timestamp or boolean"
        ),
        Self(
            orders: "columns: { order_id: { type: bigint, from: id } }",
            ".key, line 4: \"id\" is called \"order_id\" under columns; use that name"
        ),
        Self(
            sequence: "\"$postion\"",
            ".sequence, line 5: \"$postion\" is not a sequence part; use a column name, $header.NAME, $position, $event_time or $received"
        ),
        Self(sequence: "[version, version]", ".sequence[1], line 5: \"version\" is named twice"),
        Self(
            sequence: "{ column: updated_at, type: datetime }",
            ".sequence.type, line 5: \"datetime\" is not a type; use \(ColumnType.supportedNames)"
        ),
        Self(
            sequence: "[{ column: updated_at, type: jsonb }, $position]",
            ".sequence[0].type, line 5: jsonb has no order to compare; use a number, a timestamp or a text"
        ),
        Self(
            sequence: "{ column: $position }",
            ".sequence.column, line 5: \"$position\" is not a column; write it without braces"
        ),
        Self(
            sequence: "{ column: $position, type: bigint }",
            ".sequence.type, line 5: \"bigint\" is not binlog, lsn, gtid, numbers or offset"
        ),
        Self(
            sequence: "{ type: bigint }",
            ".sequence.column, line 5: is missing; name a column, or write the part without braces"
        ),
        Self(
            orders: "columns: { version: boolean }",
            ".sequence, line 5: boolean has no order to compare; use a number, a timestamp or a text"
        ),
        Self(
            orders: "columns: { version: bigint }",
            sequence: "{ column: version, type: text }",
            ".sequence.type, line 5: \"version\" is bigint under columns; leave the type out here, or make them one"
        ),
        Self(
            orders: "columns: { v: { type: bigint, from: version } }",
            ".sequence, line 5: \"version\" is called \"v\" under columns; use that name, or declare its type here"
        ),
        Self(orders: "contiguous: yes", ".contiguous, line 6: \"yes\" is not true, from_first or false"),
        Self(
            orders: "contiguous: true",
            sequence: "[version, $position]",
            ".contiguous, line 6: needs exactly one column as sequence, a whole number, where sequence has 2 parts"
        ),
        Self(
            orders: "contiguous: from_first",
            sequence: "$position",
            ".contiguous, line 6: needs exactly one column as sequence, a whole number, where sequence is $position"
        ),
        Self(
            orders: "contiguous: true\ncolumns: { version: \"numeric(12,2)\" }",
            ".contiguous, line 6: needs exactly one column as sequence, a whole number, where it is numeric(12,2); make it bigint, or leave contiguous out"
        ),
        Self(
            orders: "contiguous: true",
            sequence: "{ column: updated_at, type: timestamptz }",
            ".contiguous, line 6: needs exactly one column as sequence, a whole number, where it is timestamptz; make it bigint, or leave contiguous out"
        ),
        Self(
            orders: "table: a.b.c",
            ".table, line 6: \"a.b.c\" is not a table such as public.orders: letters, digits, _ and $, beginning with no digit"
        ),
        Self(
            orders: "table: my table",
            ".table, line 6: \"my table\" is not a table such as public.orders: letters, digits, _ and $, beginning with no digit"
        ),
        Self(
            orders: "table: tidemark.orders",
            ".table, line 6: is in a schema that is not for tables of yours; use another"
        ),
        Self(
            orders: "table: tidemark_internal.orders",
            ".table, line 6: is in a schema that is not for tables of yours; use another"
        ),
        Self(
            orders: "table: \(String(repeating: "t", count: 53))",
            ".table, line 6: is too long: with _milestones behind it a name has up to 63 bytes, which leaves 52"
        ),
        Self(orders: "on_truncate: drop", ".on_truncate, line 6: \"drop\" is not record or delete"),
        Self(
            orders: "on_truncate: delete",
            ".on_truncate, line 6: delete needs $position as the first part of sequence"
        ),
        Self(
            orders: "timeline: \"true\"",
            ".timeline, line 6: \"true\" is a text because of its quotes, where true or false is expected; leave them out"
        ),
        Self(orders: "timeline: off", ".timeline, line 6: \"off\" is not true or false"),
        Self(orders: "tags: paid", ".tags, line 6: is a text, where a mapping with the keys from, accept is expected"),
        Self(
            orders: "tags: { from: status }",
            ".tags.accept, line 6: is missing; write \"paid || shipped\", or \"*\" for all"
        ),
        Self(
            orders: "tags: { accept: \"paid | shipped\" }",
            ".tags.accept, line 6: \"paid | shipped\" is not a list of tags; write \"paid || shipped\", or \"*\" for all"
        ),
        Self(
            orders: "tags: { accept: \"paid || *\" }",
            ".tags.accept, line 6: \"paid || *\" takes all tags and some; write \"*\" alone, or leave it out"
        ),
        Self(
            orders: "tags: { from: $database, accept: \"*\" }",
            ".tags.from, line 6: \"$database\" is not a column of the row; it belongs in key"
        ),
        Self(
            "projections: [{ name: a, form: b.c }]",
            "projections[0].key, line 1: is missing; name the column or columns of the key",
            "projections[0].from, line 1: is missing; name the tables, as in shop.orders",
            "projections[0].sequence, line 1: is missing; name what orders the events: a column name, $header.NAME, $position, $event_time or $received",
            "projections[0].form, line 1: is not a key that belongs here; did you mean \"from\"?"
        ),
    ]

    static let columns = [
        Self(orders: "columns: {}", ".columns, line 6: names no column; leave the key out to keep each row as jsonb"),
        Self(
            orders: "columns: [id, status]",
            ".columns, line 6: is a list, where a mapping of columns and their types is expected"
        ),
        Self(
            orders: "columns: { id: bigit }",
            ".columns.id, line 6: \"bigit\" is not a type; use \(ColumnType.supportedNames)"
        ),
        Self(
            orders: "columns: { id: bigint, _sequence: text }",
            ".columns._sequence, line 6: \"_sequence\": names that begin with _ are Tidemark's own; give it another name, and from: for its name at the source"
        ),
        Self(
            orders: "columns: { id: bigint, valid_from: date }",
            ".columns.valid_from, line 6: \"valid_from\" is a column of the history; give it another name, and from: for its name at the source"
        ),
        Self(
            orders: "columns: { id: bigint, xmin: bigint }",
            ".columns.xmin, line 6: \"xmin\" is a column that PostgreSQL has in every table; give it another name, and from: for its name at the source"
        ),
        Self(
            orders: "columns: { id: bigint, region: { type: text, from: $database } }",
            ".columns.region.from, line 6: \"$database\" is not a column of the row; it belongs in key"
        ),
        Self(
            orders: "columns: { id: bigint, at: { type: timestamptz, from: $event_time } }",
            ".columns.at.from, line 6: \"$event_time\" is not a column of the row; it belongs in sequence"
        ),
        Self(
            orders: "columns: { id: { from: order_id } }",
            ".columns.id.type, line 6: is missing; use \(ColumnType.supportedNames)"
        ),
        Self(
            orders: "columns: { amount: { type: \"numeric(12,2)\", form: total } }",
            ".columns.amount.form, line 6: is not a key that belongs here; did you mean \"from\"?"
        ),
        Self(
            orders: "columns: { status: { type: text, encoding: epoch_us } }",
            ".columns.status.encoding, line 6: epoch_us does not go with text, which takes none"
        ),
        Self(
            orders: "columns: { at: { type: timestamptz, encoding: epoch } }",
            ".columns.at.encoding, line 6: \"epoch\" is not none, epoch_s, epoch_ms, epoch_us, epoch_ns, epoch_days, base64, base64_url, hex, latin1, utf8, decimal_base64 or bits_base64; did you mean \"epoch_s\"?"
        ),
        Self(
            orders: "columns: { status: { type: text, unsigned: true } }",
            ".columns.status.unsigned, line 6: does not go with text; it is for whole numbers"
        ),
        Self(
            orders: "columns: { amount: { type: integer, default: many } }",
            ".columns.amount.default, line 6: \"many\" is not a value of type integer: expected a whole number"
        ),
        Self(
            orders: "columns: { code: { type: varchar(2), default: \"long\" } }",
            ".columns.code.default, line 6: \"long\" is not a value of type varchar(2): expected at most 2 characters, not 4"
        ),
        Self(
            orders: "columns:\n  id: bigint\n  amount: numeric(1001,12)\n  id: text",
            ".columns.amount, line 8: \"numeric(1001,12)\" is not a type; use \(ColumnType.supportedNames)",
            ".columns.id, line 9: is given a second time; it stands on line 7 already"
        ),
    ]

    static let states = [
        Self(orders: "milestones: [shipped]", ".milestones, line 6: needs state: the column that holds it"),
        Self(
            orders: "lifecycle: { initial: a, transitions: {} }",
            ".lifecycle, line 6: needs state: the column that holds it"
        ),
        Self(
            orders: "state: { map: { \"3\": shipped } }",
            ".state.from, line 6: is missing; name the column that holds the state"
        ),
        Self(
            orders: "state: $database",
            ".state, line 6: \"$database\" is not a column of the row; it belongs in key"
        ),
        Self(
            orders: "state: { from: $table, map: { a: b } }",
            ".state.from, line 6: \"$table\" is not a column of the row: names that begin with $ stand for parts of messages, of which $header.NAME can be a column"
        ),
        Self(
            orders: "state: { from: status, map: { 3: 4 } }",
            ".state.map.3, line 6: 4 is a number, where a state is expected; put it in quotes if it is one"
        ),
        Self(
            orders: "state: status\nlifecycle: { transitions: { a: [b, b] } }",
            ".lifecycle.initial, line 7: is missing; name the state that entities begin in",
            ".lifecycle.transitions.a[1], line 7: \"b\" is named twice"
        ),
        Self(
            orders: "state: status\nlifecycle: { initial: a }",
            ".lifecycle.transitions, line 7: is missing; write created: [paid, cancelled] for each state that is left"
        ),
        Self(
            orders: "state: status\nlifecycle: { initial: a, transitions: { a: [b] } }\nmilestones: [b, c, b]",
            ".milestones[1], line 8: the state \"c\" is not in the lifecycle; its states are a, b",
            ".milestones[2], line 8: \"b\" is named twice"
        ),
        Self(
            orders: """
                state: status
                lifecycle: { initial: created, transitions: { created: [shipped] } }
                milestones:
                  shipped: { notify: warehouse, unless: [canceled, shipped] }
                  delivered: { mute_before: yesterday }
                """,
            ".milestones.shipped.notify, line 9: \"warehouse\" is not a notifier under notifiers; there are none",
            ".milestones.shipped.unless[0], line 9: the state \"canceled\" is not in the lifecycle; its states are created, shipped",
            ".milestones.shipped.unless[1], line 9: \"shipped\" is the milestone's own state, which would hold back what it tells",
            ".milestones.delivered, line 10: the state \"delivered\" is not in the lifecycle; its states are created, shipped",
            ".milestones.delivered.mute_before, line 10: \"yesterday\" is not a time such as 2026-03-01T09:30:00Z"
        ),
        Self(
            orders: "state: status\nmilestones: { shipped: { until: x } }",
            ".milestones.shipped.until, line 7: is not a key that belongs here; the keys are state, notify, unless, mute_before"
        ),
        Self(
            orders: "state: status\nmilestones: [\((1...64).map { "s\($0)" }.joined(separator: ", "))]",
            ".milestones, line 7: has 64 milestones, of which there are at most 63"
        ),
    ]
}
