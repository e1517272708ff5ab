/// One message of each kind, made up.
enum Samples {
    static let debeziumMySQL = #"""
        {"before":{"id":9007199254740995,"status":"PAID","amount":"Ths="},"after":{"id":9007199254740995,"status":"SHIPPED","amount":"Ths="},"source":{"version":"3.2.0.Final","connector":"mysql","name":"shop","ts_ms":1772357415000,"snapshot":"false","db":"oms","sequence":null,"ts_us":1772357415000001,"ts_ns":1772357415000001000,"table":"orders","server_id":11,"gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:77","file":"mysql-bin.000042","pos":1288,"row":3,"thread":51,"query":null},"transaction":{"id":"3e11fa47-71ca-11e1-9e33-c80aa9429562:77","total_order":9,"data_collection_order":1},"op":"u","ts_ms":1772357415210,"ts_us":1772357415210001,"ts_ns":1772357415210001000}
        """#
    static let debeziumPostgresDelete = #"""
        {"schema":{"type":"struct","name":"shop.public.orders.Envelope","fields":[]},"payload":{"before":{"id":7,"status":null,"note":null},"after":null,"source":{"version":"3.2.0.Final","connector":"postgresql","name":"shop","ts_ms":1772357416000,"snapshot":"false","db":"oms","sequence":"[\"33554512\",\"33554800\"]","schema":"public","table":"orders","txId":731,"lsn":33554800,"xmin":null},"op":"d","ts_ms":1772357416050}}
        """#
    static let flattened = #"""
        {"id":7,"status":"PAID","__op":"u","__table":"orders","__schema":"public","__lsn":33554800,"__source_ts_ms":1772357415000,"__deleted":"false"}
        """#
    static let maxwellUpdate = #"""
        {"database":"oms","table":"orders","type":"update","ts":1772357415,"xid":40021,"xoffset":2,"position":"mysql-bin.000042:1288","gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:77","server_id":11,"primary_key_columns":["id"],"data":{"id":18446744073709551610,"status":"SHIPPED","amount":199.950,"tags":["gift"],"meta":{"w":2},"shipped_at":"2026-03-01 09:30:15.120000"},"old":{"status":"PAID","shipped_at":null}}
        """#
    static let maxwellDelete = #"""
        {"database":"oms","table":"orders","type":"delete","ts":1772357420,"xid":40030,"commit":true,"position":"mysql-bin.000042:2044","data":{"id":7,"status":"CANCELLED"}}
        """#
    static let canalUpdate = #"""
        {"id":512,"database":"oms","table":"orders","pkNames":["id"],"isDdl":false,"type":"UPDATE","es":1772357415000,"ts":1772357415344,"sql":"","sqlType":{"id":-5,"status":12,"amount":3},"mysqlType":{"id":"bigint","status":"varchar(16)","amount":"decimal(10,2)"},"data":[{"id":"9007199254740995","status":"SHIPPED","amount":"199.95"},{"id":"8","status":"SHIPPED","amount":null}],"old":[{"status":"PAID"},{}],"gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77"}
        """#
    static let tidemark = #"""
        {"table":"shop.orders","op":"update","after":{"id":7,"status":"shipped","version":5},"before":{"id":7},"ts":"2026-03-01T09:30:15Z","position":[42,1288],"tag":"shipped"}
        """#

    static let all = [
        debeziumMySQL, debeziumPostgresDelete, flattened, maxwellUpdate, maxwellDelete, canalUpdate, tidemark,
    ]
}
