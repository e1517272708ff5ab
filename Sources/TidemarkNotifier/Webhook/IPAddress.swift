/// An address that a connection can be made to.
package enum IPAddress: Sendable, Hashable {
    /// In host byte order.
    case v4(UInt32)
    /// As in the packet, in two halves.
    case v6(high: UInt64, low: UInt64)
}

extension IPAddress {
    /// Whether the address is on the public Internet. Loopback, private and shared networks, link-local addresses (as
    /// of cloud metadata services), multicast, documentation and reserved ranges are not, nor are IPv6 addresses that
    /// embed such an IPv4 address.
    ///
    /// After IANA's registries of special-purpose addresses. For IPv6 only what is known to be global passes.
    package var isPublic: Bool {
        switch self {
        case .v4(let address):
            !Self.special.contains { address & (UInt32.max << (32 - $0.bits)) == $0.network }
        case .v6(let high, let low):
            Self.isPublic(high, low)
        }
    }

    private static let special: [(network: UInt32, bits: UInt32)] = [
        (0x0000_0000, 8),  // 0.0.0.0/8, "this network": the kernel takes 0.0.0.0 for loopback
        (0x0A00_0000, 8),  // 10.0.0.0/8, private
        (0x6440_0000, 10),  // 100.64.0.0/10, shared by a carrier's customers
        (0x7F00_0000, 8),  // 127.0.0.0/8, loopback
        (0xA9FE_0000, 16),  // 169.254.0.0/16, link-local
        (0xAC10_0000, 12),  // 172.16.0.0/12, private
        (0xC000_0000, 24),  // 192.0.0.0/24, protocol assignments
        (0xC000_0200, 24),  // 192.0.2.0/24, documentation
        (0xC058_6300, 24),  // 192.88.99.0/24, 6to4 relays
        (0xC0A8_0000, 16),  // 192.168.0.0/16, private
        (0xC612_0000, 15),  // 198.18.0.0/15, benchmarks
        (0xC633_6400, 24),  // 198.51.100.0/24, documentation
        (0xCB00_7100, 24),  // 203.0.113.0/24, documentation
        (0xE000_0000, 4),  // 224.0.0.0/4, multicast
        (0xF000_0000, 4),  // 240.0.0.0/4, reserved, and broadcast
    ]

    private static func isPublic(_ high: UInt64, _ low: UInt64) -> Bool {
        // ::ffff:0:0/96 and 64:ff9b::/96 stand for the IPv4 address at their end.
        let isMapped = high == 0 && low >> 32 == 0xFFFF
        let isTranslated = high == 0x0064_FF9B_0000_0000 && low >> 32 == 0
        if isMapped || isTranslated { return IPAddress.v4(UInt32(truncatingIfNeeded: low)).isPublic }
        // 2000::/3 is what has been given out as global.
        guard high >> 61 == 0b001 else { return false }
        // 2002::/16, 6to4, has its IPv4 address behind the prefix.
        if high >> 48 == 0x2002 { return IPAddress.v4(UInt32(truncatingIfNeeded: high >> 16)).isPublic }
        let isProtocolAssignment = high >> 41 == 0x2001_0000 >> 9  // 2001::/23, Teredo among them
        let isDocumentation = high >> 32 == 0x2001_0DB8 || high >> 44 == 0x3FFF0
        return !isProtocolAssignment && !isDocumentation
    }

    /// An IPv6 address that embeds an IPv4 one is checked and connected to as the latter.
    package init(v6Bytes bytes: [UInt8]) {
        precondition(bytes.count == 16, "an IPv6 address has 16 bytes")
        func half(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
        let (high, low) = (half(0..<8), half(8..<16))
        self = high == 0 && low >> 32 == 0xFFFF ? .v4(UInt32(truncatingIfNeeded: low)) : .v6(high: high, low: low)
    }
}

extension IPAddress: CustomStringConvertible {
    /// The full form without `::`, which every parser reads alike.
    package var description: String {
        switch self {
        case .v4(let address):
            [24, 16, 8, 0].map { String(address >> $0 & 0xFF) }.joined(separator: ".")
        case .v6(let high, let low):
            [high, low].flatMap { half in [48, 32, 16, 0].map { String(half >> $0 & 0xFFFF, radix: 16) } }
                .joined(separator: ":")
        }
    }
}
