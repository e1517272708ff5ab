extension BrokenConfiguration {
    static let all =
        Self.files + Self.tops + Self.services + Self.sources + Self.notifiers + Self.projections + Self.columns
        + Self.states

    // MARK: The file

    static let files = [
        Self("", "line 1: the configuration is empty; it needs at least projections"),
        Self("# nothing", "line 1: the configuration is empty; it needs at least projections"),
        Self("lanes: 4", "projections, line 1: is missing; list at least one projection"),
        Self("projections: []", "projections, line 1: is empty; list at least one"),
        Self("projections: {}", "projections, line 1: is a mapping, where a list of projections is expected"),
        Self(
            "- a\n- b",
            "line 1: is a list, where a mapping with the keys database, lanes, limits, server, service, sources, projections, notifiers, publications is expected"
        ),
        Self(
            "projections:\n  - name: orders\n   from: x\n",
            "line 3: not valid YAML: did not find expected '-' indicator, column 4 (while parsing a block collection on line 2)"
        ),
        Self(
            "lanes: [1, 2\n",
            "line 2: not valid YAML: did not find expected ',' or ']', column 1 (while parsing a flow sequence on line 1)"
        ),
        Self("lanes: *cores", "line 1: not valid YAML: found undefined alias, column 8"),
        Self("lanes: 1\n---\nlanes: 2\n", "line 2: another YAML document begins, where one is expected"),
        Self("lanes: \"\u{7}\"", "line 1: not valid YAML: control characters are not allowed"),
        Self(
            "lanes: 1\nlanes: 2\nlanes: 3\nlimits: { batch_event: 1 }",
            "projections, line 1: is missing; list at least one projection",
            "lanes, line 2: is given a second time; it stands on line 1 already",
            "lanes, line 3: is given a second time; it stands on line 1 already",
            "limits.batch_event, line 4: is not a key that belongs here; did you mean \"batch_events\"?"
        ),
        Self(
            "? [a, b]\n: 1\n? b\n",
            "projections, line 1: is missing; list at least one projection",
            "line 1: has a list or a mapping as key; a key is a text",
            "b, line 3: is not a key that belongs here; the keys are database, lanes, limits, server, service, sources, projections, notifiers, publications"
        ),
        Self(
            "lanes: 1\n? &a lanes\n: 2\n",
            "projections, line 1: is missing; list at least one projection",
            "lanes, line 2: is given a second time; it stands on line 1 already"
        ),
    ]

    // MARK: Top and limits

    static let tops = [
        Self(top: "lane: 4", "lane, line 1: is not a key that belongs here; did you mean \"lanes\"?"),
        Self(
            top: "colour: red",
            "colour, line 1: is not a key that belongs here; the keys are database, lanes, limits, server, service, sources, projections, notifiers, publications"
        ),
        Self(top: "lanes: four", "lanes, line 1: \"four\" is not a whole number from 1 to 256"),
        Self(
            top: "lanes: \"4\"",
            "lanes, line 1: \"4\" is a text because of its quotes, where a whole number from 1 to 256 is expected; leave them out"
        ),
        Self(top: "lanes: 0", "lanes, line 1: \"0\" is not a whole number from 1 to 256"),
        Self(top: "lanes: 1.5", "lanes, line 1: \"1.5\" is not a whole number from 1 to 256"),
        Self(top: "lanes:", "lanes, line 1: is empty, where a whole number from 1 to 256 is expected"),
        Self(top: "lanes: [4]", "lanes, line 1: is a list, where a whole number from 1 to 256 is expected"),
        Self(
            top: "lanes: !cores 4",
            "lanes, line 1: has a YAML tag, which has no meaning here; write a whole number from 1 to 256"
        ),
        Self(
            top: "base: &base { lanes: 1 }\n<<: *base",
            "base, line 1: is not a key that belongs here; the keys are database, lanes, limits, server, service, sources, projections, notifiers, publications",
            "<<, line 2: merge keys are not part of YAML 1.2; write the keys out"
        ),
        Self(
            top: "database: shop",
            "database, line 1: is not a connection string; write postgres://user@host/database or host=… dbname=…"
        ),
        Self(
            top: "database: ${NOPE}",
            "database, line 1: the environment variable NOPE is not set; set it, or write ${NOPE:-default}"
        ),
        Self(top: "database: ${NOPE", "database, line 1: has a ${ that begins neither ${NAME} nor ${NAME:-default}"),
        Self(
            top: "limits: 5",
            "limits, line 1: is a number, where a mapping with the keys batch_events, pending_batches, message_bytes, cache_bytes, max_dead_letters is expected"
        ),
        Self(
            top: "limits: { batch_events: -1 }",
            "limits.batch_events, line 1: \"-1\" is not a whole number from 1 to 1000000"
        ),
        Self(
            top: "limits: { message_bytes: 16 pounds }",
            "limits.message_bytes, line 1: \"16 pounds\" is not a size such as 16MiB or 64MB"
        ),
        Self(
            top: "limits: { message_bytes: 2GiB }",
            "limits.message_bytes, line 1: \"2GiB\" is not between 1024 and 1073741824 bytes"
        ),
        Self(
            top: "limits: { cache_bytes: 99999999999GiB }",
            "limits.cache_bytes, line 1: \"99999999999GiB\" is not a size such as 16MiB or 64MB"
        ),
        Self(
            top: "limits: { max_dead_letters: 0.1 }",
            "limits.max_dead_letters, line 1: \"0.1\" is not a percentage such as 10% or a whole number of messages"
        ),
        Self(
            top: "limits: { max_dead_letters: 101% }",
            "limits.max_dead_letters, line 1: \"101%\" is not a percentage such as 10% or a whole number of messages"
        ),
        Self(
            top: "limits: { batchEvents: 5 }",
            "limits.batchEvents, line 1: is not a key that belongs here; did you mean \"batch_events\"?"
        ),
        Self(top: "sources: shop", "sources, line 1: is a text, where a list of sources is expected"),
        Self(
            top: "sources:\n  - { name: shop, type: files }\n  - { name: shop, type: files }\n  - { type: files }",
            "sources[1].name, line 3: \"shop\" names the source of line 2 too",
            "sources[2].name, line 4: is missing; give the source a name"
        ),
        Self(
            """
            projections:
              - { name: orders, from: shop.orders, key: id, sequence: version }
              - { name: orders, from: shop.old_orders, key: id, sequence: version }
              - { name: other, from: shop.o, key: id, sequence: version, table: orders_history }
            """,
            "projections[1].name, line 3: \"orders\" names the projection of line 2 too",
            "projections[2].table, line 4: shares a relation (public.orders_history) with the projection of line 2; give it another table"
        ),
        Self(
            top: "lanes: x\nlimits: { batch_events: y }\nbad: 1",
            "lanes, line 1: \"x\" is not a whole number from 1 to 256",
            "limits.batch_events, line 2: \"y\" is not a whole number from 1 to 1000000",
            "bad, line 3: is not a key that belongs here; the keys are database, lanes, limits, server, service, sources, projections, notifiers, publications"
        ),
    ]

    static let sources = [
        Self(source: "patsh: []", ".patsh, line 1: is not a key that belongs here; did you mean \"paths\"?"),
        Self(source: "paths: []", ".paths, line 1: is an empty list; name at least one path"),
        Self(
            source: "paths: [\"-\"]",
            ".paths[0], line 1: \"-\" is standard input, which is named on the command line"
        ),
        Self(
            source: "paths: [5]",
            ".paths[0], line 1: 5 is a number, where a path or a pattern such as logs/*.ndjson.gz is expected; put it in quotes if it is one"
        ),
        Self(
            source: "format: debezum",
            ".format, line 1: \"debezum\" is not auto, tidemark, debezium, maxwell or canal; did you mean \"debezium\"?"
        ),
        Self(
            source: "timezone: Asia/Shangai",
            ".timezone, line 1: \"Asia/Shangai\" is not a time zone; use UTC, an offset such as +08:00, or a name such as Asia/Shanghai; did you mean \"Asia/Shanghai\"?"
        ),
        Self(
            source: "timezone: +8",
            ".timezone, line 1: \"+8\" is not a time zone; use UTC, an offset such as +08:00, or a name such as Asia/Shanghai"
        ),
        Self(source: "absent: maybe", ".absent, line 1: \"maybe\" is not unchanged or null"),
        Self(
            source: "replica_identity: all",
            ".replica_identity, line 1: \"all\" is not default, full, or a list of columns such as [id]"
        ),
        Self(
            source:
                "replica_identity: { default: ful, orders: [id], shop.a: [], shop.b: [id, id], shop.c: full, '\"shop\".c': default }",
            ".replica_identity.default, line 1: \"ful\" is not default, full, or a list of columns such as [id]",
            ".replica_identity.orders, line 1: \"orders\" is not a table such as shop.orders or shop.order_*: database.table or schema.table",
            ".replica_identity[\"shop.a\"], line 1: is an empty list; name at least one column",
            ".replica_identity[\"shop.b\"][1], line 1: \"id\" is named twice",
            ".replica_identity[\"\\\"shop\\\".c\"], line 1: \"\\\"shop\\\".c\" is named twice"
        ),
        Self(source: "follow: yes, paths: [a]", ".follow, line 1: \"yes\" is not true or false"),
        Self(source: "follow: true", ".follow, line 1: is true, and there is nothing to follow; name paths"),
        Self(source: "row_image: noblob", ".row_image, line 1: \"noblob\" is not full or minimal"),
        Self(source: "epoch: -1", ".epoch, line 1: \"-1\" is not a whole number from 0 to 4294967295"),
        Self(source: "gtid_order: [a, b, a]", ".gtid_order[2], line 1: names the same server twice"),
        Self(
            top: "sources: [{ name: shop, type: mysql }, { name: b, type: file }, { name: c }]",
            "sources[0].type, line 1: \"mysql\" is not supported yet; use files, http, kafka, rocketmq",
            "sources[1].type, line 1: \"file\" is not a type; use files, http, kafka, rocketmq",
            "sources[2].type, line 1: is missing; write type: files, type: http, type: kafka or type: rocketmq"
        ),
        Self(
            top:
                "sources: [{ name: a, type: kafka, paths: [x], topics: [\"a b\", \"^ok\", t, t], start: end, options: { enable.auto.commit: true } }]",
            "sources[0].brokers, line 1: is missing; name at least one: brokers: [\"127.0.0.1:9092\"]",
            "sources[0].group, line 1: is missing; name the consumer group: group: tidemark",
            "sources[0].paths, line 1: belongs to sources of files; write topics: [...]",
            "sources[0].topics[0], line 1: \"a b\" is no name of a topic: those have 1 to 249 letters, digits, dots, underscores and hyphens; a pattern begins with ^",
            "sources[0].topics[3], line 1: \"t\" names the same topic twice",
            "sources[0].start, line 1: \"end\" is not earliest, latest or fail",
            "sources[0].options[\"enable.auto.commit\"], line 1: is not passed on: progress is committed with the rows, and reported to the group behind that"
        ),
        Self(
            top:
                "sources: [{ name: a, type: kafka, brokers: [\"a:0\", \"a b:1\", \"a:1,b:2\", \"::1\", \"[::1]:9\", \"SSL://a:1\", a], topics: t, group: g }]",
            "sources[0].brokers[0], line 1: \"a:0\" is not host:port; write 127.0.0.1:9092, or \"[::1]:9092\"",
            "sources[0].brokers[1], line 1: \"a b:1\" is not host:port; write 127.0.0.1:9092, or \"[::1]:9092\"",
            "sources[0].brokers[2], line 1: \"a:1,b:2\" is several brokers; write each as an item of the list",
            "sources[0].brokers[3], line 1: \"::1\" is not host:port; write 127.0.0.1:9092, or \"[::1]:9092\""
        ),
        Self(source: "brokers: [x]", ".brokers, line 1: belongs to sources of type kafka"),
        Self(source: "group: x", ".group, line 1: belongs to sources of type kafka and rocketmq"),
        Self(source: "tags: x", ".tags, line 1: belongs to sources of type rocketmq"),
        Self(
            top:
                "sources: [{ name: a, type: rocketmq, brokers: [x], paths: [y], topics: [\"a b\", t, t], tags: \" || \", access_key: k, tls: { certificate: c } }]",
            "sources[0].name_servers, line 1: is missing; name at least one: name_servers: [\"127.0.0.1:9876\"]",
            "sources[0].group, line 1: is missing; name the consumer group: group: tidemark",
            "sources[0].brokers, line 1: belongs to sources of type kafka",
            "sources[0].paths, line 1: belongs to sources of files; write topics: [...]",
            "sources[0].topics[0], line 1: \"a b\" is no name of a topic: those have 1 to 255 letters, digits, hyphens, underscores, % and |",
            "sources[0].topics[2], line 1: \"t\" names the same topic twice",
            "sources[0].tags, line 1: \" || \" names no tag; write * for all",
            "sources[0].access_key, line 1: needs secret_key beside it, which signs the requests",
            "sources[0].tls.certificate, line 1: goes with the other of certificate and key; write both"
        ),
        Self(
            top:
                "sources: [{ name: a, type: rocketmq, name_servers: [\"a:0\", \"a\", \"a:1;b:2\", \"::1:9\", \"[::1]:9\"], topics: t, group: g, tags: \"a || *\", expression: x, secret_key: k, start: end }]",
            "sources[0].name_servers[0], line 1: \"a:0\" is not host:port; write 127.0.0.1:9876, or \"[::1]:9876\"",
            "sources[0].name_servers[1], line 1: \"a\" is not host:port; write 127.0.0.1:9876, or \"[::1]:9876\"",
            "sources[0].name_servers[2], line 1: \"a:1;b:2\" is several name servers; write each as an item of the list",
            "sources[0].name_servers[3], line 1: \"::1:9\" is not host:port; write 127.0.0.1:9876, or \"[::1]:9876\"",
            "sources[0].tags, line 1: \"a || *\" has * beside tags; write * alone for all",
            "sources[0].expression, line 1: stands beside tags; leave one of them out",
            "sources[0].secret_key, line 1: needs access_key beside it, which names whose it is",
            "sources[0].start, line 1: \"end\" is not earliest, latest or fail"
        ),
        Self(
            top: "sources: [{ name: a, type: http, table: from_topic, tombstones: delete, partitioned_by_key: true }]",
            "sources[0].table, line 1: names no table: what comes over HTTP comes from no topic",
            "sources[0].tombstones, line 1: belongs to sources of type kafka and rocketmq, and to files that are dumps of topics",
            "sources[0].partitioned_by_key, line 1: belongs to sources of type kafka and rocketmq, and to files that are dumps of topics"
        ),
        Self(
            source: "format: maxwell, table: shop.orders",
            ".table, line 1: is for flattened rows, which format: maxwell does not read"
        ),
        Self(
            source: "tombstones: delete",
            ".tombstones, line 1: is delete, and a message without a value names no table; write table: from_topic, or a name"
        ),
        Self(
            top:
                "sources: [{ name: a, type: http }]\npublications: [{ source: a, brokers: x, topic: \"^t\" }, { source: b, brokers: x, topic: t, options: { acks: 1 } }]",
            "publications[0].source, line 2: \"a\" is of type http: what clients send cannot be read again",
            "publications[0].topic, line 2: \"^t\" is a pattern; name one topic",
            "publications[1].source, line 2: \"b\" is no source of this configuration",
            "publications[1].options.acks, line 2: is not passed on: messages of an entity would be repeated, lost, or change places when one is sent again"
        ),
        Self(
            source: "position: offset",
            ".position, line 1: is offset, which orders an entity's events only where partitioned_by_key: true"
        ),
        Self(
            source: "position: message, partitioned_by_key: true",
            ".position, line 1: is message, and partitioned_by_key: true has $position be the offset; leave one of them out"
        ),
    ]

    static let notifiers = [
        Self(
            notifier: "url: \"https://wms.example/\"",
            ".secret, line 1: is missing; deliveries are signed with it; write secret: ${WEBHOOK_SECRET}"
        ),
        Self(
            notifier: "url: wms.example, secret: hush",
            ".url, line 1: is not an address such as https://wms.example/hooks"
        ),
        Self(
            notifier: "url: \"ftp://wms.example/\", secret: hush",
            ".url, line 1: is not an address such as https://wms.example/hooks"
        ),
        Self(
            notifier: "url: \"https://me:pw@wms.example/#f\", secret: hush",
            ".url, line 1: holds a user or a password; deliveries are signed with secret instead",
            ".url, line 1: holds a fragment, which is never sent; leave out # and what follows"
        ),
        Self(
            notifier: "url: \"http://127.0.0.1:8080/\", secret: hush",
            ".url, line 1: is a loopback or private address, where nothing is delivered without allow_private: true"
        ),
        Self(
            notifier: "url: \"http://localhost/\", secret: hush, allow_private: no",
            ".url, line 1: is a loopback or private address, where nothing is delivered without allow_private: true",
            ".allow_private, line 1: \"no\" is not true or false"
        ),
        Self(notifier: "url: \"https://wms.example/\", secret: \"\"", ".secret, line 1: is empty"),
        Self(
            notifier: "url: \"https://wms.example/\", secret: 12345",
            ".secret, line 1: is not a text; put it in quotes"
        ),
        Self(
            notifier: "url: \"https://wms.example/\", secret: whsec_%%%",
            ".secret, line 1: begins with whsec_, and what follows is not base64"
        ),
        Self(
            notifier: "url: \"https://wms.example/\", secret: hush, timeout: 1h",
            ".timeout, line 1: \"1h\" is not a duration such as 15s, 500ms or 2min, up to 600s"
        ),
        Self(
            notifier: "url: \"https://wms.example/\", secret: hush, timeout: 1s, connect_timeout: 2s",
            ".connect_timeout, line 1: is longer than timeout, which is for the whole attempt"
        ),
        Self(
            notifier: "url: \"https://wms.example/\", secret: hush, max_attempts: 0",
            ".max_attempts, line 1: \"0\" is not a whole number from 1 to 1000"
        ),
        Self(
            top: "notifiers: { a: { type: notify, url: \"https://a.b/\", secret: x }, b: 5 }",
            "notifiers.a.type, line 1: \"notify\" is not a type; use webhook, postgres, command, kafka, rocketmq, log, custom",
            "notifiers.b, line 1: is a number, where a mapping with the keys type, url, secret, allow_private, ca_file, channel, database, command, environment, connect_timeout, timeout, concurrency, rate, circuit, schedule, max_attempts, on_failure, when, body, brokers, topic, options, name_servers, tls, access_key, secret_key, security_token is expected"
        ),
        Self(
            top:
                "notifiers: { a: { type: rocketmq, topic: \"a.b\", brokers: [x] }, b: { type: log, name_servers: [x] } }",
            "notifiers.a.name_servers, line 1: is missing; name at least one: name_servers: [\"127.0.0.1:9876\"]",
            "notifiers.a.topic, line 1: \"a.b\" is no name of a topic: those have 1 to 255 letters, digits, hyphens, underscores, % and |",
            "notifiers.a.brokers, line 1: belongs to type: kafka, and this one is rocketmq",
            "notifiers.b.name_servers, line 1: belongs to type: rocketmq, and this one is log"
        ),
        Self(
            top: "notifiers: { a: { type: kafka, url: \"https://a.b/\", secret: x } }",
            "notifiers.a.brokers, line 1: is missing; name at least one: brokers: [\"127.0.0.1:9092\"]",
            "notifiers.a.topic, line 1: is missing; name the topic that is written to",
            "notifiers.a.url, line 1: belongs to type: webhook, and this one is kafka",
            "notifiers.a.secret, line 1: belongs to type: webhook, and this one is kafka"
        ),
        Self(
            top: "notifiers: { a: { type: command, command: tell, url: \"https://a.b/\", timeout: 1s } }",
            "notifiers.a.command, line 1: begins with no path; the program is not looked for in PATH, and there is no shell",
            "notifiers.a.url, line 1: belongs to type: webhook, and this one is command"
        ),
        Self(
            top: "notifiers: { a: { type: postgres, timeout: 1s } }",
            "notifiers.a.channel, line 1: is missing; write the channel that programs LISTEN to",
            "notifiers.a.timeout, line 1: belongs to type: webhook and command, and this one is postgres"
        ),
        Self(
            notifier: "url: \"https://wms.example/\", secret: hush, rate: 0/s, concurrency: 0",
            ".rate, line 1: \"0/s\" is not a rate such as 100/s, 60/min or 10/h",
            ".concurrency, line 1: \"0\" is not a whole number from 1 to 256"
        ),
        Self(
            notifier: "url: \"https://wms.example/\", secret: hush, schedule: [5s, 1min]",
            ".schedule[0], line 1: is before the first attempt, which is made at once; write 0s"
        ),
        Self(
            notifier: "url: \"https://wms.example/\", secret: hush, on_failure: stop, circuit: { after: 3 }",
            ".on_failure, line 1: \"stop\" is not hold or skip",
            ".circuit.after, line 1: is not a key that belongs here; the keys are failures, pause"
        ),
    ]
}
