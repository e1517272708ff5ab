import Testing
import TidemarkCore

/// Messages that the real programs wrote, where they lie beside the checkout.
@Suite(.enabled(if: SharedData.folder != nil))
struct SampleDataTests {
    @Test("Every line that Debezium wrote for PostgreSQL is accounted for")
    func readsDebeziumLog() throws {
        var counts: [String: Int] = [:]
        var unavailable = 0
        for line in try SharedData.lines("data/debezium-postgres-3.6.ndjson") {
            let message = decode(line)
            message.expectConsistent()
            #expect(message.failure == nil)
            if message.isControl { counts["control", default: 0] += 1 }
            for event in message.events {
                counts["\(event.operation) \(message.text(event.table))", default: 0] += 1
                #expect(event.position?.kind == .lsn && event.eventTime != nil && event.writesJSONAsText)
                #expect(event.position?.isSnapshot == (event.operation == .snapshot))
                #expect(event.beforeTrust == (event.operation == .delete ? .key : .whole))
            }
            unavailable += message.fields.count(where: { $0.kind == .unavailable })
        }
        print("debezium-postgres-3.6:", counts.sorted(by: { $0.key < $1.key }), "unavailable:", unavailable)
        #expect(counts.values.reduce(0, +) == 107)
        #expect(counts["control"] == 23 + 36 + 4 + 1)
        #expect(counts["truncate public.orders_full"] == 1)
        #expect(unavailable > 0)
    }

    @Test("Every message of another reader's tests decodes")
    func readsPaimonFiles() throws {
        for file in try SharedData.files(in: "peers/paimon") {
            let format = try #require(["canal", "debezium", "maxwell"].first { file.contains("/\($0).") })
            let declared = try #require(SourceSettings.Format(rawValue: format))
            for line in try SharedData.lines(file) {
                for format in [declared, .auto] {
                    let message = decode(line, settings(format))
                    message.expectConsistent()
                    #expect(message.failure == nil && message.rowFailures.isEmpty, "\(file): \(format)")
                    if format == .debezium {
                        #expect(message.events.count == 1)
                    }
                }
            }
        }
    }

    @Test("The schema of a row of all types gives the encodings")
    func readsAllTypes() throws {
        let lines = try SharedData.lines("peers/paimon/debezium.table.schema.alltype.debezium-data-1.txt")
        let message = decode(try #require(lines.first))
        let event = try #require(message.events.first)
        let row = try #require(message.row(event.after))
        // Its converter wrote decimals as numbers, so the schema's word for them does not apply.
        #expect(row.contains("pt=number:1.1"))
        #expect(row.contains { $0.hasPrefix("_date=number:") && $0.hasSuffix("[epoch_days]") })
        #expect(row.contains { $0.hasPrefix("_datetime6=number:") && $0.hasSuffix("[epoch_us]") })
        #expect(row.contains { $0.hasPrefix("_bit=string:") && $0.hasSuffix("[bits_base64]") })
        #expect(row.contains { $0.hasPrefix("_blob=string:") && $0.hasSuffix("[base64]") })
    }
}
