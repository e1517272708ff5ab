extension BrokenConfiguration {
    // MARK: The service and its server

    static let services =
        [
            Self(
                top: "server: 8088",
                "server, line 1: is a number, where a mapping with the keys listen, tokens, tls, insecure, request_bytes is "
                    + "expected"
            ),
            Self(
                top: "server:\n  listn: none",
                "server.listn, line 2: is not a key that belongs here; did you mean \"listen\"?"
            ),
            Self(
                top: "service:\n  drain_timeout: 2h\n  retention: 30",
                "service.drain_timeout, line 2: \"2h\" is not a duration such as 15s, 500ms or 2min, up to 3600s",
                "service.retention, line 3: \"30\" is not a duration such as 30d or 12h, from 1h to 3650d"
            ),
            Self(
                top: "service: { retention: 4000d }",
                "service.retention, line 1: \"4000d\" is not a duration such as 30d or 12h, from 1h to 3650d"
            ),
            Self(
                top: "service: { drain_timeout: soon, lease_ttl: 0s }",
                "service.drain_timeout, line 1: \"soon\" is not a duration such as 15s, 500ms or 2min, up to 3600s",
                "service.lease_ttl, line 1: \"0s\" is not a duration such as 15s, 500ms or 2min, up to 600s"
            ),
        ]
        + [
            ("8088", "\"8088\" is not host:port such as 127.0.0.1:8088, or none"),
            ("", "is empty, where host:port such as 127.0.0.1:8088, or none is expected"),
            ("localhost", "\"localhost\" is not host:port; write 127.0.0.1:8088, \"[::1]:8088\" or none"),
            (":8088", "\":8088\" is not host:port; write 127.0.0.1:8088, \"[::1]:8088\" or none"),
            ("127.0.0.1:http", "\"127.0.0.1:http\" has no port from 0 to 65535; write 127.0.0.1:8088"),
            ("127.0.0.1:65536", "\"127.0.0.1:65536\" has no port from 0 to 65535; write 127.0.0.1:8088"),
            ("::1:8088", "\"::1:8088\" has an IPv6 address without brackets; write \"[::1]:8088\""),
            ("0.0.0.0:8088", Self.open("0.0.0.0:8088")), ("10.0.0.7:8088", Self.open("10.0.0.7:8088")),
            ("127.0.0.01:80", Self.open("127.0.0.01:80")), ("db-1:8088", Self.open("db-1:8088")),
            ("\"[::]:8088\"", Self.open("[::]:8088")),
        ].map { Self(top: "server:\n  listen: \($0)", "server.listen, line 2: \($1)") }
        + [
            Self(
                top: "server:\n  listen: 10.0.0.7:80\n  tokens: [a-token-of-16-bytes]",
                "server.listen, line 2: \"10.0.0.7:80\" is not a loopback address, and tokens would be sent unencrypted: "
                    + "server: { tls: { certificate: …, key: … } }, or insecure: true where something else encrypts"
            ),
            Self(
                top: "server:\n  tokens: [short, \"with a blank in its text\"]\n  tls: { certificate: a.pem }",
                "server.tokens[0], line 2: has fewer than 16 characters; `openssl rand -hex 32` makes a good one",
                "server.tokens[1], line 2: has a blank or another character that a header cannot carry",
                "server.tls.key, line 3: is missing; name the file, in PEM"
            ),
            Self(
                top: "sources: [{ name: push, type: http, paths: [a], follow: true }]",
                "sources[0].paths, line 1: belongs to sources of files; clients send to /v1/sources/push/events",
                "sources[0].follow, line 1: belongs to sources of files"
            ),
        ]

    private static func open(_ address: String) -> String {
        "\"\(address)\" is not a loopback address, so clients have to show a token: server: { tokens: "
            + "[\"${TIDEMARK_TOKEN}\"] }; or write 127.0.0.1:8088, and let a proxy serve other machines"
    }
}
