import Testing
import TidemarkCore

@testable import TidemarkConfiguration

@Suite("The settings of the service")
struct ServiceSettingsTests {
    /// A service compares settings that are read again by how they are described.
    @Test func secretsDifferWithoutBeingShown() {
        func described(_ secret: String, _ token: String?) -> String {
            var access = RocketMQAccess()
            access.credentials = .init(accessKey: "key", secretKey: secret, securityToken: token)
            return String(reflecting: access)
        }
        #expect(described("hush", nil) == described("hush", nil))
        #expect(Set([described("hush", nil), described("other", nil), described("hush", "token")]).count == 3)
        #expect(!described("hush", "token").contains("hush"))
        #expect(String(reflecting: [Secret("hush")]) != String(reflecting: [Secret("other")]))
        #expect(!String(reflecting: Secret("hush")).contains("hush"))
    }

    @Test("have defaults")
    func defaults() throws {
        let configuration = try load(orders()).configuration
        #expect(configuration.server?.listen == .standard)
        #expect(configuration.server?.listen.description == "127.0.0.1:8088")
        #expect(configuration.service.drainTimeout == .seconds(30))
        #expect(configuration.service.leaseTTL == .seconds(10))
        #expect(configuration.service.retention == .seconds(2_592_000))
    }

    @Test("are read as the documentation shows them")
    func readsAll() throws {
        let yaml = """
            server: { listen: 127.0.0.1:8089 }
            service: { drain_timeout: 90s, lease_ttl: 2s, retention: 7d }
            sources:
              - { name: logs, type: files, paths: ["/var/log/cdc/*.ndjson*"], follow: true }
              - { name: once, type: files, paths: [once.ndjson] }

            """
        let configuration = try load(yaml + orders()).configuration
        #expect(configuration.server?.listen.host == "127.0.0.1" && configuration.server?.listen.port == 8089)
        #expect(configuration.service.drainTimeout == .seconds(90))
        #expect(configuration.service.leaseTTL == .seconds(2))
        #expect(configuration.service.retention == .seconds(604_800))
        #expect(configuration.sources.map(\.follow) == [true, false])
    }

    @Test(
        "name a loopback address",
        arguments: [
            ("127.0.0.1:0", "127.0.0.1", 0), ("127.8.9.10:65535", "127.8.9.10", 65535),
            ("LocalHost:80", "localhost", 80), ("\"[::1]:8088\"", "::1", 8088),
        ]
    )
    func listens(text: String, host: String, port: Int) throws {
        let listen = try #require(try load("server: { listen: \(text) }\n" + orders()).configuration.server?.listen)
        #expect(listen.host == host && listen.port == port)
        #expect(try ListenAddress(listen.description) == listen)
    }

    @Test("may be a variable, or that there is no server")
    func variables() throws {
        let yaml = "server: { listen: \"${LISTEN:-none}\" }\n" + orders()
        #expect(try load(yaml).configuration.server == nil)
        #expect(try load(yaml, ["LISTEN": "127.0.0.1:9000"]).configuration.server?.listen.port == 9000)
        #expect(
            complaints(about: yaml, environment: ["LISTEN": "10.0.0.7:9000"]) == [
                "server.listen, line 1: \"${LISTEN:-none}\" is not a loopback address, so clients have to show a token: "
                    + "server: { tokens: [\"${TIDEMARK_TOKEN}\"] }; or write 127.0.0.1:8088, and let a proxy serve other machines"
            ]
        )
    }
}
