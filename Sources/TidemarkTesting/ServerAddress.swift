import Foundation

/// Where a connection string leads, as far as a test has to know: the socket, and the same string with another one.
package struct ServerAddress: Sendable, Hashable {
    /// A host name, or the folder of a Unix socket.
    package var host: String
    package var port: String

    package var isUnixSocket: Bool { self.host.hasPrefix("/") }
    package var socketPath: String { "\(self.host)/.s.PGSQL.\(self.port)" }

    package init(host: String, port: String) {
        self.host = host
        self.port = port
    }

    /// Reads a URI or keywords; what they do not say comes from the environment, then from libpq's defaults.
    package init(conninfo: String) {
        let environment = ProcessInfo.processInfo.environment
        var values: [String: String] = [:]
        if let components = URLComponents(string: conninfo), components.scheme?.hasPrefix("postgres") == true {
            if let host = components.host, !host.isEmpty { values["host"] = host.removingPercentEncoding ?? host }
            if let port = components.port { values["port"] = "\(port)" }
            for item in components.queryItems ?? [] { values[item.name] = item.value }
        } else {
            for word in conninfo.split(separator: " ") {
                let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
                if parts.count == 2 { values[parts[0]] = parts[1].trimmingCharacters(in: ["'"]) }
            }
        }
        self.host = values["host"] ?? environment["PGHOST"] ?? "/var/run/postgresql"
        self.port = values["port"] ?? environment["PGPORT"] ?? "5432"
    }

    /// The connection string with this address in it: of what is given twice libpq takes the last.
    package func replacing(in conninfo: String) -> String {
        guard conninfo.contains("://") else { return "\(conninfo) host=\(self.host) port=\(self.port)" }
        let separator = conninfo.contains("?") ? "&" : "?"
        return "\(conninfo)\(separator)host=\(self.host)&port=\(self.port)"
    }
}
