extension FuzzMutator {
    /// Values that have been trouble somewhere.
    static let atoms = [
        "null", "true", "false", "{}", "[]", "\"\"", "0", "-0", "-1", "1.0", "0.1", "1e400", "1E-400", "1e2147483648",
        "9007199254740993", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616", "99999999999999999999999999999999999999999", "\"18446744073709551615\"", "\"NaN\"",
        "\"Infinity\"", "\"-1\"", "\"1.50\"", "\"AP//////////\"", "\"Ths=\"", "\"====\"", "\"A\"", "\"\\u0000\"",
        "\"\\ud83d\\ude00\"", "\"0000-00-00 00:00:00\"", "\"2026-03-01T09:30:15.123456Z\"", "\"2026-03-01 24:00:00\"",
        "\"294276-12-31T23:59:59Z\"", "\"0001-01-01\"", "\"838:59:59\"", "\"mysql-bin.000042:1288\"", "\":\"", "\".\"",
        "\"b.18446744073709551615:18446744073709551615\"", "\"3e11fa47-71ca-11e1-9e33-c80aa9429562:77\"", "\"0-1-270\"",
        "\"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77:tag:1-3,0-2-9\"", "\"[null,\\\"5\\\"]\"", "[1,2,3,4]", "[1]",
        "{\"long\":123}", "{\"scale\":3,\"value\":\"Bdw=\"}", "{\"scale\":99999,\"value\":\"\"}",
        "{\"srv.t.Value\":{\"id\":1}}",
        "\"__debezium_unavailable_value\"", "[\"__debezium_unavailable_value\"]",
        "{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}", "\"INSERT\"", "\"UPDATE\"", "\"delete\"",
        "\"u\"", "\"d\"", "\"c\"", "\"r\"", "\"t\"", "\"m\"", "\"incremental\"", "\"paid\"", "1772357415000", "20513",
        "[[[[]]]]", "[{\"id\":\"1\"},{\"id\":\"2\"}]",
    ]

    /// Names that formats and projections know.
    static let names = [
        "table", "op", "before", "after", "ts", "position", "tag", "source", "payload", "schema", "transaction",
        "database", "type", "data", "old", "xoffset", "commit", "gtid", "encrypted", "primary_key_columns", "isDdl",
        "es",
        "pkNames", "mysqlType", "sqlType", "id", "status", "event_count", "data_collections", "databaseName", "ddl",
        "tableChanges", "serverName", "connector", "db", "snapshot", "lsn", "sequence", "file", "pos", "row",
        "total_order", "name", "fields", "field", "parameters", "scale", "ts_ms", "ts_us", "ts_ns", "__table", "__op",
        "__deleted", "__lsn", "__source_sequence", "__schema", "__source_file", "__pos", "__gtid", "__snapshot",
        "version",
        "amount", "updated_at", "note", "doc", "raw", "day", "us", "tod", "bool", "d", "n", "u", "big", "", "\\u0069d",
    ]

    static let wrappings: [([UInt8], [UInt8])] = [
        ("[", "]"), ("{\"long\":", "}"), ("{\"schema\":null,\"payload\":", "}"), ("{\"a\":[", "]}"), (" ", " "),
        ("{\"shop.public.orders.Value\":", "}"), ("[null,", ",null]"),
    ].map { (Array($0.utf8), Array($1.utf8)) }

    /// Pieces of text, some of them no UTF-8 where they are cut.
    static let tokens = [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "true", "-", "0", "\\u0000", "\\ud800", "\u{7F}", "é", "€",
        "😀",
        "\u{0}", "\n", "\u{1F}", "\u{FEFF}", "\"op\":", "\"__table\":\"t\",", "\"file\":\"b.1\",", "1e999", "  \t",
    ]
}
