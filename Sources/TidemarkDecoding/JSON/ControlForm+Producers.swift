/// What producers write beside rows, in the forms of all their versions that are known.
extension ControlForm {
    private static let clocks: [(StaticString, Value)] = [
        ("ts_ms", .nullable(.number)), ("ts_us", .nullable(.number)), ("ts_ns", .nullable(.number)),
    ]

    // MARK: Debezium

    /// Heartbeats, the bounds of transactions, changes of the schema, notifications, signals.
    static let debezium = [
        ControlForm(
            required: [("ts_ms", .number)],
            optional: [("ts_us", .number), ("ts_ns", .number), ("serverName", .text)]
        ),
        transactionBound, schemaChange(required: "ddl", optional: "tableChanges"),
        schemaChange(required: "tableChanges", optional: "ddl"), notification, signal,
    ]

    private static let transactionBound = ControlForm(
        required: [
            ("status", .word(["BEGIN", "END"])), ("id", .text), ("event_count", .nullable(.number)),
            (
                "data_collections",
                .nullable(
                    .records(ControlForm(required: [("data_collection", .text), ("event_count", .number)]))
                )
            ),
        ],
        optional: clocks
    )

    /// Of the topic for them, and of the connector's own history, whose `source` is the server's name and whose
    /// `position` stands beside it.
    private static func schemaChange(required: StaticString, optional: StaticString) -> ControlForm {
        let values: [(StaticString, Value)] = [
            ("ddl", .nullable(.text)), ("tableChanges", .nullable(.records(tableChange))),
        ]
        func member(_ name: StaticString) -> (StaticString, Value) {
            values[name.utf8CodeUnitCount == 3 ? 0 : 1]
        }
        return ControlForm(
            required: [("source", .map(.scalar)), ("databaseName", .nullable(.text)), member(required)],
            optional: clocks + [
                member(optional), ("schemaName", .nullable(.text)), ("position", .nullable(.map(.scalar))),
            ]
        )
    }

    private static let tableChange = ControlForm(
        required: [("type", .word(["CREATE", "ALTER", "DROP"])), ("id", .text)],
        optional: [
            ("previousId", .nullable(.text)), ("table", .nullable(.object)), ("comment", .nullable(.text)),
        ]
    )

    private static let notification = ControlForm(
        required: [
            ("id", .text), ("aggregate_type", .text), ("type", .text),
            ("additional_data", .nullable(.map(.nullable(.text)))),
        ],
        optional: [("timestamp", .nullable(.number))]
    )

    private static let signal = ControlForm(
        required: [
            (
                "type",
                .word([
                    "execute-snapshot", "stop-snapshot", "pause-snapshot", "resume-snapshot", "log", "schema-changes",
                    "snapshot-window-open", "snapshot-window-close", "set-binlog-position",
                ])
            ),
            ("data", .nullable(.anything)),
        ],
        optional: [("id", .text)]
    )

    /// `op` m: a logical message of PostgreSQL, or TiCDC's watermark, which has no `message` and is of no table.
    static let debeziumMessages = [
        debeziumMessage(
            ControlForm(required: [("connector", .text)], others: .scalar),
            [
                (
                    "message",
                    .record(ControlForm(required: [("prefix", .text)], optional: [("content", .nullable(.text))]))
                )
            ]
        ),
        debeziumMessage(
            ControlForm(required: [("connector", .word(["TiCDC"])), ("table", .nothing)], others: .scalar)
        ),
    ]

    private static func debeziumMessage(
        _ source: ControlForm,
        _ required: [(StaticString, Value)] = []
    ) -> ControlForm {
        ControlForm(
            required: [("op", .word(["m"])), ("source", .record(source))] + required,
            optional: clocks + [
                ("transaction", .nullable(.map(.scalar))), ("before", .nothing), ("after", .nothing),
            ]
        )
    }

    // MARK: Maxwell

    static let maxwell = [maxwellDDL, maxwellBootstrap]

    /// Members that options of Maxwell add, under either of its naming strategies.
    private static let maxwellOptions: [(StaticString, Value)] = [
        ("position", .nullable(.text)), ("gtid", .nullable(.text)), ("schema_id", .nullable(.number)),
        ("schemaId", .nullable(.number)), ("server_id", .nullable(.number)), ("serverId", .nullable(.number)),
        ("thread_id", .nullable(.number)), ("threadId", .nullable(.number)), ("push_ts", .nullable(.scalar)),
        ("pushTs", .nullable(.scalar)), ("xid", .nullable(.number)), ("xoffset", .nullable(.number)),
        ("commit", .nullable(.boolean)),
    ]

    private static let maxwellDDL = ControlForm(
        required: [
            (
                "type",
                .word([
                    "database-create", "database-alter", "database-drop", "table-create", "table-alter", "table-drop",
                ])
            ),
            ("database", .nullable(.text)), ("ts", .number), ("sql", .nullable(.text)),
        ],
        optional: maxwellOptions + [
            ("table", .nullable(.text)), ("charset", .nullable(.text)), ("old", .nullable(.object)),
            ("def", .nullable(.object)),
        ]
    )

    private static let maxwellBootstrap = ControlForm(
        required: [
            ("type", .word(["bootstrap-start", "bootstrap-complete"])), ("database", .text), ("table", .text),
            ("data", .nothing),
        ],
        optional: maxwellOptions + [
            ("ts", .number), ("old", .nothing), ("comment", .nullable(.text)), ("query", .nullable(.text)),
            ("primary_key", .nothing), ("primaryKey", .nothing), ("primary_key_columns", .nullable(.list)),
            ("primaryKeyColumns", .nullable(.list)),
        ]
    )

    // MARK: Canal

    static let canalTypes: [StaticString] = [
        "CREATE", "ALTER", "ERASE", "QUERY", "RENAME", "CINDEX", "DINDEX", "XACOMMIT", "XAROLLBACK", "GTID",
        "MHEARTBEAT",
    ]

    static let canal = [
        canal(type: .text, isDDL: true),
        canal(
            type: .word(canalTypes)
        ),
        canal(
            type: .word(["TIDB_WATERMARK"]),
            required: [("_tidb", .record(ControlForm(required: [("watermarkTs", .number)], others: .scalar)))]
        ),
    ]

    private static func canal(
        type: Value,
        isDDL: Bool = false,
        required: [(StaticString, Value)] = []
    ) -> ControlForm {
        let optional: [(StaticString, Value)] = [
            ("id", .nullable(.number)), ("database", .nullable(.text)), ("table", .nullable(.text)),
            ("pkNames", .nullable(.list)), ("es", .nullable(.number)), ("ts", .nullable(.number)),
            ("sql", .nullable(.text)), ("sqlType", .nullable(.object)), ("mysqlType", .nullable(.object)),
            ("data", .nothing), ("old", .nothing), ("gtid", .nullable(.text)), ("serverId", .nullable(.scalar)),
            ("proto", .anything),
        ]
        return ControlForm(
            required: [("type", type)] + (isDDL ? [("isDdl", .true)] : []) + required,
            optional: optional + (isDDL ? [] : [("isDdl", .nullable(.boolean))])
                + (required.isEmpty ? [("_tidb", .nullable(.map(.scalar)))] : [])
        )
    }
}
