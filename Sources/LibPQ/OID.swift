/// The object identifiers of PostgreSQL's built-in types, the same on every server.
package enum OID {
    package static let bool: UInt32 = 16
    package static let bytea: UInt32 = 17
    package static let char: UInt32 = 18
    package static let int8: UInt32 = 20
    package static let int2: UInt32 = 21
    package static let int4: UInt32 = 23
    package static let text: UInt32 = 25
    package static let oid: UInt32 = 26
    package static let json: UInt32 = 114
    package static let float4: UInt32 = 700
    package static let float8: UInt32 = 701
    package static let varchar: UInt32 = 1043
    package static let date: UInt32 = 1082
    package static let time: UInt32 = 1083
    package static let timestamp: UInt32 = 1114
    package static let timestamptz: UInt32 = 1184
    package static let numeric: UInt32 = 1700
    package static let uuid: UInt32 = 2950
    package static let jsonb: UInt32 = 3802

    package static let int2Array: UInt32 = 1005
    package static let int4Array: UInt32 = 1007
    package static let textArray: UInt32 = 1009
    package static let int8Array: UInt32 = 1016
    package static let byteaArray: UInt32 = 1001

    /// The array type over an element type, for those above.
    package static func array(of element: UInt32) -> UInt32? { Self.arrays[element] }

    static let arrays: [UInt32: UInt32] = [
        Self.bool: 1000, Self.bytea: Self.byteaArray, Self.char: 1002, Self.int2: Self.int2Array,
        Self.int4: Self.int4Array,
        Self.text: Self.textArray, Self.varchar: 1015, Self.int8: Self.int8Array, Self.float4: 1021,
        Self.float8: 1022, Self.timestamp: 1115, Self.date: 1182, Self.time: 1183, Self.timestamptz: 1185,
        Self.json: 199, Self.numeric: 1231, Self.uuid: 2951, Self.jsonb: 3807,
    ]
}
