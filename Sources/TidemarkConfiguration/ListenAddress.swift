/// Where the HTTP server listens: an address of this machine, and a port.
public struct ListenAddress: Sendable, Hashable {
    /// An IPv4 or IPv6 address, without brackets, or a name.
    public var host: String
    /// 0 takes a free port.
    public var port: Int

    /// Of `tidemark run`, where nothing else is configured.
    public static let standard = ListenAddress(host: "127.0.0.1", port: 8088)

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// This address with the port that was taken in place of 0.
    package func on(port: Int) -> ListenAddress { ListenAddress(host: self.host, port: port) }
}

extension ListenAddress {
    /// Why a text is no address to listen on. Its description continues a sentence that begins with the text.
    public enum Failure: Error, Sendable, CustomStringConvertible {
        case malformed
        case port
        case bareIPv6

        public var description: String {
            switch self {
            case .malformed: "is not host:port; write \(ListenAddress.standard), \"[::1]:8088\" or none"
            case .port: "has no port from 0 to 65535; write \(ListenAddress.standard)"
            case .bareIPv6: "has an IPv6 address without brackets; write \"[::1]:8088\""
            }
        }
    }

    /// Parses `127.0.0.1:8088`, `localhost:8088` or `[::1]:8088`.
    public init(_ text: String) throws(Failure) {
        guard let match = text.wholeMatch(of: #/(?:\[([^\[\]]*)\]|([^\[\]]*)):([^:\[\]]*)/#) else { throw .malformed }
        let isBracketed = match.1 != nil
        let host = String(match.1 ?? match.2 ?? "")
        guard !host.isEmpty else { throw .malformed }
        if host.contains("/") { throw .malformed }
        if !isBracketed, host.contains(":") { throw .bareIPv6 }
        guard match.3.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let port = UInt16(match.3)
        else { throw .port }
        if isBracketed {
            guard host.wholeMatch(of: #/[0-9A-Fa-f:.]+/#) != nil else { throw .malformed }
        } else {
            guard host.wholeMatch(of: #/[A-Za-z0-9.-]+/#) != nil else { throw .malformed }
        }
        self.init(host: host.lowercased() == "0:0:0:0:0:0:0:1" ? "::1" : host.lowercased(), port: Int(port))
    }

    /// Whether only this machine reaches it.
    package var isLoopback: Bool {
        if self.host == "::1" || self.host == "localhost" { return true }
        let parts = self.host.split(separator: ".", omittingEmptySubsequences: false)
        // A leading zero would be octal to some resolvers.
        let numbers = parts.compactMap { part in part.count > 1 && part.hasPrefix("0") ? nil : UInt8(part) }
        return parts.count == 4 && numbers.count == 4 && numbers[0] == 127
    }
}

extension ListenAddress: CustomStringConvertible {
    /// As in the configuration: an IPv6 address in brackets.
    public var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }
}
