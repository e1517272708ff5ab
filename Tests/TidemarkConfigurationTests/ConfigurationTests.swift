import Foundation
import Testing
import TidemarkCore

@testable import TidemarkConfiguration

/// Loads a file as if it were in /srv/shop.
func load(_ yaml: String, _ environment: [String: String] = [:]) throws(ConfigurationError) -> LoadedConfiguration {
    try ConfigurationLoader.load(yaml: yaml, fileName: "/srv/shop/tidemark.yaml", environment: environment)
}

/// One valid projection with further lines from line 6 on.
func orders(_ more: String = "", sequence: String = "version") -> String {
    let lines = more.split(separator: "\n").map { "    \($0)\n" }.joined()
    return "projections:\n  - name: orders\n    from: shop.orders\n    key: id\n    sequence: \(sequence)\n" + lines
}

@Suite("A configuration")
struct ConfigurationTests {
    static let example = """
        database: ${DATABASE_URL}
        lanes: 4                             # default: cores
        limits: { batch_events: 20000, pending_batches: 2, message_bytes: 16MiB, cache_bytes: 64MiB, max_dead_letters: 10% }
        sources:
          - { name: shop, type: files, paths: ["logs/*.ndjson.gz"], format: auto, timezone: UTC, absent: unchanged, replica_identity: default, epoch: 1 }
        projections:
          - name: orders
            from: [shop.orders]            # database.table or schema.table; globs allowed
            key: id                        # or [tenant_id, id]
            sequence: version              # or [updated_at, $position]
            contiguous: true               # needs one integer column as sequence
            state: status
            table: public.orders
            on_truncate: record
            tags: { from: status, accept: "paid || shipped" }   # optional: take only these
            timeline: true                 # without it no timeline, history, verify, conflicts
            columns:
              id: bigint
              status: text
              amount: { type: "numeric(12,2)", from: total_amount }
              updated_at: { type: timestamptz, encoding: epoch_us }
            lifecycle: { initial: created, transitions: { created: [paid, cancelled], paid: [shipped, refunded] } }
            milestones:
              shipped: { state: shipped, notify: [warehouse], unless: [cancelled], mute_before: null }
        notifiers:
          warehouse: { type: webhook, url: "https://wms.example/hooks", secret: "${WEBHOOK_SECRET}" }
        """

    @Test("as the documentation shows it loads to what it says")
    func loadsTheExample() throws {
        let environment = ["DATABASE_URL": "postgres://shop@db/shop", "WEBHOOK_SECRET": "whsec_c2VjcmV0"]
        let loaded = try load(Self.example, environment)
        let configuration = loaded.configuration
        #expect(loaded.warnings.isEmpty)
        #expect(configuration.database == "postgres://shop@db/shop")
        #expect(configuration.lanes == 4)
        #expect(configuration.limits == Limits())

        let source = try #require(configuration.sources.first)
        #expect(source.name == "shop" && source.type == .files && source.settings.name == "shop")
        #expect(source.paths == ["/srv/shop/logs/*.ndjson.gz"])
        #expect(source.settings.format == .auto && source.settings.absent == .unchanged && source.settings.epoch == 1)
        #expect(source.settings.zone.instant(ofLocal: 5) == 5)
        #expect(source.settings.replicaIdentities.rest == .default && !source.settings.sendsMinimalImages)

        var orders = ProjectionDefinition(
            name: "orders",
            from: ["shop.orders"],
            key: ["id"],
            sequence: [.column("version", type: nil)]
        )
        orders.contiguous = .fromOne
        orders.state = ProjectionDefinition.StateRule(column: "status")
        orders.tags = ProjectionDefinition.TagRule(column: "status", accepted: ["paid", "shipped"])
        orders.columns = [
            .init(name: "id", type: .bigint), .init(name: "status", type: .text),
            .init(name: "amount", from: "total_amount", type: .numeric(precision: 12, scale: 2)),
            .init(name: "updated_at", type: .timestamptz, encoding: .epochMicroseconds),
        ]
        orders.lifecycle = Lifecycle(
            initial: "created",
            transitions: ["created": ["paid", "cancelled"], "paid": ["shipped", "refunded"]]
        )
        orders.milestones = [
            Milestone(name: "shipped", state: "shipped", notify: ["warehouse"], unless: ["cancelled"])
        ]
        #expect(configuration.projections == [orders])
        #expect(configuration.projectionLocations["orders"]?.description == "/srv/shop/tidemark.yaml:7")

        let notifier = try #require(configuration.notifiers.first)
        #expect(notifier.name == "warehouse" && notifier.type == .webhook && !notifier.allowPrivate)
        #expect(
            notifier.url == "https://wms.example/hooks" && notifier.secrets.map { $0.reveal() } == ["whsec_c2VjcmV0"]
        )
    }

    @Test("of four lines has a default for everything else")
    func hasDefaults() throws {
        let configuration = try load(orders()).configuration
        #expect(configuration.database == nil && configuration.sources.isEmpty && configuration.notifiers.isEmpty)
        #expect(configuration.lanes == ProcessInfo.processInfo.activeProcessorCount)
        #expect(configuration.limits.batchEvents == 20_000 && configuration.limits.pendingBatches == 2)
        #expect(configuration.limits.messageBytes == 16_777_216 && configuration.limits.cacheBytes == 67_108_864)
        #expect(configuration.limits.maxDeadLetters == .fraction(0.1))
        let plain = ProjectionDefinition(
            name: "orders",
            from: ["shop.orders"],
            key: ["id"],
            sequence: [.column("version", type: nil)]
        )
        #expect(configuration.projections == [plain])
        #expect(plain.schema == "public" && plain.table == "orders" && plain.timeline && plain.columns == nil)
    }

    @Test("says sizes, shares and durations in several ways")
    func readsUnits() throws {
        let yaml = """
            limits: { message_bytes: 64MB, cache_bytes: 1GiB, max_dead_letters: 500 }
            notifiers:
              b: { type: webhook, url: "http://10.0.0.7/", secret: s, allow_private: true, timeout: 2min }
              a: { type: webhook, url: "https://a.example/", secret: s, connect_timeout: 500ms, timeout: 7, max_attempts: 3 }
            """
        let configuration = try load(yaml + "\n" + orders()).configuration
        #expect(configuration.limits.messageBytes == 64_000_000 && configuration.limits.cacheBytes == 1 << 30)
        #expect(configuration.limits.maxDeadLetters == .count(500))
        #expect(configuration.notifiers.map(\.name) == ["a", "b"])
        #expect(configuration.notifiers[0].connectTimeout == .milliseconds(500))
        #expect(configuration.notifiers[0].timeout == .seconds(7) && configuration.notifiers[0].maxAttempts == 3)
        #expect(configuration.notifiers[1].timeout == .seconds(120) && configuration.notifiers[1].allowPrivate)
        let half = try load("limits: { cache_bytes: 0, max_dead_letters: 0.5% }\n" + orders()).configuration
        #expect(half.limits.cacheBytes == 0 && half.limits.maxDeadLetters == .fraction(0.005))
    }

    @Test("takes each kind of notifier, its limits and its filter")
    func readsNotifiers() throws {
        let yaml = """
            projections:
              - name: orders
                from: shop.orders
                key: id
                sequence: version
                state: status
                columns: { id: bigint, status: text, version: bigint, country: text, amount: "numeric(12,2)", paid: boolean }
                milestones: { shipped: { notify: [wms, tell, listen, mine] } }
            notifiers:
              wms:
                type: webhook
                url: "https://a.example/"
                secret: [new, old]
                ca_file: ca.pem
                concurrency: 3
                rate: 60/min
                circuit: { failures: 5, pause: 1min }
                schedule: [0s, 10s, 2h]
                on_failure: skip
                when: { country: [DE, 7, null], amount: 12.50, paid: true }
                body: thin
              tell: { type: command, command: [bin/tell, "--now"], environment: TOKEN }
              listen: { type: postgres, channel: shipped, database: "postgres://u:pw@h/d" }
              mine: { type: custom }
              note: { type: log }
            """
        let configuration = try ConfigurationLoader.load(yaml: yaml, fileName: "/etc/tidemark.yaml", environment: [:])
            .configuration
        let notifiers = Dictionary(uniqueKeysWithValues: configuration.notifiers.map { ($0.name, $0) })
        let wms = try #require(notifiers["wms"])
        #expect(wms.secrets.map { $0.reveal() } == ["new", "old"] && wms.authorityFile == "/etc/ca.pem")
        #expect(wms.concurrency == 3 && wms.rate == .init(attempts: 60, period: .seconds(60)))
        #expect(wms.circuit.failures == 5 && wms.circuit.pause == .seconds(60) && wms.onFailure == .skip)
        #expect(wms.schedule == [.zero, .seconds(10), .seconds(7200)] && wms.maxAttempts == nil)
        #expect(
            notifiers["tell"]?.command == ["/etc/bin/tell", "--now"] && notifiers["tell"]?.environment == ["TOKEN"]
        )
        #expect(
            notifiers["listen"]?.channel == "shipped" && notifiers["listen"]?.database?.reveal().contains("pw") == true
        )
        #expect(notifiers["mine"]?.type == .custom && notifiers["note"]?.type == .log)
        #expect(
            configuration.projections[0].notifications == [
                "wms": .init(
                    when: ["country": [#""DE""#, #""7""#, "null"], "amount": ["12.50"], "paid": ["true"]],
                    isThin: true
                )
            ]
        )
    }

    @Test("is refused where a filter names what the row has not, or cannot be compared")
    func refusesFilters() throws {
        let yaml = """
            projections:
              - name: orders
                from: shop.orders
                key: id
                sequence: version
                state: status
                columns: { id: bigint, status: text, version: bigint, at: timestamptz }
                milestones: { shipped: { notify: wms } }
            notifiers:
              wms: { type: webhook, url: "https://a.example/", secret: x, when: { stauts: a, at: b, id: c } }
            """
        let error = #expect(throws: ConfigurationError.self) {
            _ = try ConfigurationLoader.load(yaml: yaml, fileName: "t.yaml", environment: [:])
        }
        let text = "\(try #require(error))"
        #expect(text.contains("t.yaml:10: notifiers.wms.when.stauts: is not a column of projection orders"))
        #expect(text.contains("did you mean \"status\"?"))
        #expect(text.contains("t.yaml:10: notifiers.wms.when.at: is timestamptz in projection orders"))
        #expect(text.contains("t.yaml:10: notifiers.wms.when.id: \"c\" is not a number such as 7 or 12.50"))
    }

    @Test("takes every form of a source")
    func readsSources() throws {
        let yaml = """
            sources:
              - name: a
                type: files
                paths: [/var/log/a, b.ndjson]
                format: maxwell
                timezone: "+08:00"
                absent: null
                replica_identity: full
                row_image: minimal
                gtid_order: [u1, u2]
            """
        let source = try load(yaml + "\n" + orders()).configuration.sources[0]
        #expect(source.paths == ["/var/log/a", "/srv/shop/b.ndjson"])
        #expect(source.settings.format == .maxwell && source.settings.absent == .null && source.settings.epoch == 0)
        #expect(source.settings.replicaIdentities.rest == .full && source.settings.sendsMinimalImages)
        #expect(source.settings.gtidOrder == ["u1", "u2"])
        #expect(source.settings.zone.instant(ofLocal: 0) == -28_800_000_000)
    }

    @Test("takes every form of a replica identity, and the first rule that matches a table")
    func readsReplicaIdentities() throws {
        func identities(_ text: String) throws -> ReplicaIdentities {
            let yaml = "sources: [{ name: a, type: files, replica_identity: \(text) }]\n"
            return try load(yaml + orders()).configuration.sources[0].settings.replicaIdentities
        }
        #expect(try identities("default").rest == .default)
        #expect(try identities("[id, email]").rest == .columns(["id", "email"]))
        let each = try identities("{ shop.orders: [id], 'shop.\"a.b\"': full, shop.*: default, default: full }")
        func identity(_ table: String) -> ReplicaIdentity { each[each.index(of: TableName(table))] }
        #expect(identity("shop.orders") == .columns(["id"]) && identity("west.shop.orders") == .columns(["id"]))
        #expect(identity("shop.\"a.b\"") == .full && identity("shop.other") == .default && identity("x.y") == .full)
    }

    @Test("takes the database as a part of a key")
    func readsDatabaseInKey() throws {
        let projection = try load(
            orders().replacing("key: id", with: "key: [id, $database]")
        ).configuration.projections[0]
        #expect(projection.key == ["id", "_database"])
    }

    @Test("takes every form of a sequence")
    func readsSequences() throws {
        func parts(_ sequence: String) throws -> [ProjectionDefinition.SequencePart] {
            try load(orders(sequence: sequence)).configuration.projections[0].sequence
        }
        #expect(try parts("$position") == [.position])
        #expect(try parts("[updated_at, \"$position\"]") == [.column("updated_at", type: nil), .position])
        #expect(try parts("{ column: v, type: bigint }") == [.column("v", type: .bigint)])
        #expect(
            try parts("[{ column: updated_at, type: timestamptz }, $event_time, $received]")
                == [.column("updated_at", type: .timestamptz), .eventTime, .received]
        )
    }

    @Test("takes every form of a projection's rules")
    func readsRules() throws {
        let yaml = orders(
            """
            contiguous: from_first
            state: { from: status, map: { "3": shipped, 4: "delivered" } }
            table: sales.facts
            tags: { accept: "*" }
            timeline: false
            lifecycle:
              initial: created
              transitions: { created: shipped, shipped: [delivered], delivered: [] }
            milestones:
              shipped:
              done: { state: delivered, unless: created, mute_before: 2026-03-01T08:00:00+08:00 }
            """
        )
        let loaded = try load(yaml)
        let projection = loaded.configuration.projections[0]
        #expect(loaded.warnings.isEmpty)
        #expect(projection.contiguous == .fromFirst && !projection.timeline)
        #expect(projection.state?.map == ["3": "shipped", "4": "delivered"])
        #expect(projection.schema == "sales" && projection.table == "facts")
        #expect(projection.tags == ProjectionDefinition.TagRule(column: nil, accepted: nil))
        #expect(projection.lifecycle?.states == ["created", "shipped", "delivered"])
        #expect(
            projection.milestones == [
                Milestone(name: "shipped", state: "shipped"),
                Milestone(
                    name: "done",
                    state: "delivered",
                    unless: ["created"],
                    muteBefore: 1_772_323_200_000_000
                ),
            ]
        )
        let listed = try load(orders("state: status\nmilestones: [paid, shipped]")).configuration.projections[0]
        #expect(listed.milestones.map(\.state) == ["paid", "shipped"])
        let deleting = try load(orders("on_truncate: delete", sequence: "$position")).configuration.projections[0]
        #expect(deleting.onTruncate == .delete)
    }

    @Test("keeps a column's default as a text, and null apart from none")
    func readsDefaults() throws {
        let yaml = orders(
            """
            columns:
              id: bigint
              a: { type: "numeric(10,2)", default: 1.10 }
              b: { type: text, default: "1.10" }
              c: { type: boolean, default: true }
              d: { type: text, default: null }
              e: { type: jsonb, default: '{"a":1}' }
              f: { type: bigint, unsigned: false }
            """
        )
        let columns = try #require(try load(yaml).configuration.projections[0].columns)
        #expect(columns.map(\.absentValue) == [nil, "1.10", "1.10", "true", .some(nil), "{\"a\":1}", nil])
    }

    @Test("that is lawful but doubtful is warned about, with its line")
    func warns() throws {
        func warnings(_ yaml: String) throws -> [String] {
            try load(yaml).warnings.map { "\($0.path), line \($0.location.line ?? 0)" }
        }
        #expect(try warnings(orders(sequence: "$event_time")) == ["projections[0].sequence, line 5"])
        #expect(try warnings(orders(sequence: "$received")) == ["projections[0].sequence, line 5"])
        #expect(try warnings(orders(sequence: "[version, $received]")) == ["projections[0].sequence, line 5"])
        #expect(try warnings(orders(sequence: "[$event_time, $position]")) == [])
        let states = """
            state: { from: status, map: { "3": shiped } }
            lifecycle:
              initial: created
              transitions:
                created: [shipped]
                lost: [found]
            """
        #expect(
            try warnings(orders(states)) == [
                "projections[0].state.map.3, line 6", "projections[0].lifecycle.transitions.lost, line 11",
                "projections[0].lifecycle.transitions.lost[0], line 11",
            ]
        )
        let canal = "sources:\n  - { name: shop, type: files, format: canal }\n"
        let positions = try load(canal + orders(sequence: "$position")).warnings
        #expect(positions.map(\.path) == ["projections[0].sequence"])
        #expect(positions.allSatisfy { $0.message.contains("\"shop\"") && $0.message.contains("gtid_order") })
        let declared = canal.replacingOccurrences(of: "canal }", with: "canal, gtid_order: [a] }")
        #expect(try load(declared + orders(sequence: "$position")).warnings.isEmpty)
        let unsigned = "columns: { id: { type: bigint, unsigned: true } }"
        #expect(try warnings(orders(unsigned)) == ["projections[0].columns.id.unsigned, line 6"])
    }

    @Test("takes at most twenty errors' worth of a reader's time")
    func capsErrors() throws {
        let columns = (1...30).map { "c\($0): nonsense" }.joined(separator: "\n  ")
        let error = try #require(throws: ConfigurationError.self) { try load(orders("columns:\n  " + columns)) }
        #expect(error.issues.count == 20 && error.omittedCount == 10)
        #expect(error.issues.map(\.location.line) == (7...26).map { $0 })
        #expect(error.description.hasSuffix("\nand 10 more"))
    }
}
