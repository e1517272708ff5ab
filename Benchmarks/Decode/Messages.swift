import TidemarkCore

/// Logs like those that the goals are about: orders of nine columns that change eight times each.
struct Messages {
    enum Kind: String, CaseIterable {
        case maxwell, debezium, canal, tidemark
    }

    private static let states = [
        "created", "paid", "packed", "shipped", "delivered", "returned", "refunded", "completed",
    ]
    private static let streets = ["Hauptstrasse", "Rue de Rivoli", "Via Roma", "Calle Mayor", "Kungsgatan"]

    /// A log of `count` lines, the same for one kind and count everywhere.
    static func log(_ kind: Kind, count: Int) -> [UInt8] {
        var random = SplitMix64(seed: 42)
        var log: [UInt8] = []
        log.reserveCapacity(count * 600)
        for number in 0..<count {
            log.append(contentsOf: Self.line(kind, number, &random).utf8)
            log.append(0x0A)
        }
        return log
    }

    private static func line(_ kind: Kind, _ number: Int, _ random: inout SplitMix64) -> String {
        let row = Row(number, &random)
        let second = 1_772_357_415 + number / 500
        switch kind {
        case .maxwell:
            return #"{"database":"shop","table":"orders","type":"update","ts":\#(second),"xid":\#(40_000 + number),"#
                + #""commit":true,"position":"mysql-bin.000042:\#(number * 350)","data":\#(row.json(quoted: false)),"#
                + #""old":{"status":"\#(row.formerStatus)","version":\#(row.version - 1)}}"#
        case .debezium:
            return #"{"before":null,"after":\#(row.json(quoted: false)),"source":{"version":"3.2.0.Final","#
                + #""connector":"mysql","name":"shop","ts_ms":\#(second)000,"snapshot":"false","db":"shop","sequence":null,"#
                + #""ts_us":\#(second)000000,"ts_ns":\#(second)000000000,"table":"orders","server_id":11,"gtid":null,"#
                + #""file":"mysql-bin.000042","pos":\#(number * 350),"row":0,"thread":51,"query":null},"transaction":null,"#
                + #""op":"u","ts_ms":\#(second)210,"ts_us":\#(second)210001,"ts_ns":\#(second)210001000}"#
        case .canal:
            return
                #"{"id":\#(number),"database":"shop","table":"orders","pkNames":["id"],"isDdl":false,"type":"UPDATE","#
                + #""es":\#(second)000,"ts":\#(second)344,"sql":"","sqlType":{"id":-5,"customer":12,"status":12},"#
                + #""mysqlType":{"id":"bigint","customer":"varchar(64)","status":"varchar(16)"},"#
                + #""data":[\#(row.json(quoted: true))],"old":[{"status":"\#(row.formerStatus)"}],"gtid":""}"#
        case .tidemark:
            return #"{"table":"shop.orders","op":"update","after":\#(row.json(quoted: false)),"#
                + #""ts":"2026-03-01T09:30:15Z","position":[42,\#(number * 350)]}"#
        }
    }

    private struct Row {
        var id: Int
        var version: Int
        var status: String
        var formerStatus: String
        var customer: Int
        var cents: Int
        var street: String

        init(_ number: Int, _ random: inout SplitMix64) {
            self.id = 1_000_000 + random.below(125_000)
            self.version = 2 + number % 7
            self.status = Messages.states[self.version - 1]
            self.formerStatus = Messages.states[self.version - 2]
            self.customer = random.below(50_000)
            self.cents = random.below(100_000)
            self.street = Messages.streets[random.below(Messages.streets.count)]
        }

        func json(quoted: Bool) -> String {
            let quote = quoted ? "\"" : ""
            let cents = self.cents % 100
            let amount = "\(self.cents / 100).\(cents < 10 ? "0" : "")\(cents)"
            return #"{"id":\#(quote)\#(self.id)\#(quote),"customer":"c-\#(self.customer)","status":"\#(self.status)","#
                + #""amount":\#(quote)\#(amount)\#(quote),"currency":"EUR","address":"\#(self.street) 12, 10115","#
                + #""note":null,"version":\#(quote)\#(self.version)\#(quote),"updated_at":"2026-03-01 09:30:15.123456"}"#
        }
    }
}
