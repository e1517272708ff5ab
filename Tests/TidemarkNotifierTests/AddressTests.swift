import Testing

@testable import TidemarkNotifier

/// Addresses that are refused without `allow_private`.
@Suite struct AddressTests {
    @Test(arguments: [
        "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "0.0.0.0", "0.1.2.3", "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1",
        "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "febf::1",
        "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
        "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "4000::1",
        // What the resolver makes of other spellings.
        "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "0", "017700000001", "3232235777", "localhost",
    ])
    func refuses(_ host: String) throws {
        let addresses = try HostResolver.system(host).get()
        #expect(!addresses.isEmpty)
        #expect(addresses.allSatisfy { !$0.isPublic }, "\(addresses)")
    }

    @Test(arguments: [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
        "192.169.0.0", "169.253.255.255", "169.255.0.0", "100.63.255.255", "100.128.0.0", "198.17.255.255",
        "198.20.0.0", "223.255.255.255", "128.0.0.1", "2606:4700:4700::1111", "2001:4860:4860::8888",
        "2a00:1450:4001:81b::200e", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "134744072",
    ])
    func delivers(_ host: String) throws {
        let addresses = try HostResolver.system(host).get()
        #expect(!addresses.isEmpty)
        #expect(addresses.allSatisfy { $0.isPublic }, "\(addresses)")
    }

    @Test func writesAnAddressThatReadsAsTheSame() throws {
        for host in ["203.0.113.255", "2001:db8::ff00:42:8329", "::1", "fe80::1"] {
            let address = try #require(try HostResolver.system(host).get().first)
            #expect(try HostResolver.system(address.description).get() == [address])
        }
        #expect(try HostResolver.system("::ffff:127.0.0.1").get() == [.v4(0x7F00_0001)])
    }

    @Test func asksOnceForWhoeverWaits() async throws {
        let calls = Counter()
        let addresses = HostAddresses(host: "a.example", lifetime: .seconds(60)) { _ in
            calls.increment()
            return .success([.v4(0x0101_0101)])
        }
        try await withThrowingTaskGroup(of: [IPAddress].self) { group in
            for _ in 0..<20 { group.addTask { try await addresses.get(within: .seconds(10)) } }
            for try await found in group { #expect(found == [.v4(0x0101_0101)]) }
        }
        #expect(calls.value == 1)
        addresses.forget()
        _ = try await addresses.get(within: .seconds(10))
        #expect(calls.value == 2)
    }

    @Test func aLookUpThatHangsEndsWithTheAttempt() async throws {
        let gate = Gate()
        defer { gate.open() }
        let addresses = HostAddresses(host: "a.example", lifetime: .seconds(60)) { _ in
            gate.waitBlocking()
            return .success([])
        }
        await #expect(throws: ResolutionError("no answer in time")) {
            try await addresses.get(within: .milliseconds(10))
        }
    }

    @Test(arguments: [
        "", "hooks.example", "ftp://hooks.example/", "file:///etc/passwd", "http://", "https:///path",
        "https://user@hooks.example/", "https://user:secret@hooks.example/", "https://:secret@hooks.example/",
        "http+unix://%2Ftmp%2Fsocket/", "https://hooks.example:0/", "https://bücher.example\u{1B}[2J/",
        "https://a b.example/", "https://hooks.example\r\nX-Evil: 1/", "https://[fe80::1%25eth0]/",
    ])
    func refusesAURL(_ url: String) {
        let error = #expect(throws: NotifierError.self) {
            try WebhookNotifier(WebhookSettings(url: url, secrets: ["s"]))
        }
        #expect(error?.code == .invalidURL)
        #expect(error?.description.contains("secret") == false)
    }

    @Test func settingsShowNoSecretWhenTheyArePrinted() {
        let settings = WebhookSettings(url: "https://hooks.example/T0KEN", secrets: ["S3CRET"])
        var dumped = "\(settings) \(String(reflecting: settings))"
        dump(settings, to: &dumped)
        #expect(!dumped.contains("T0KEN") && !dumped.contains("S3CRET"))
    }

    @Test func callsATargetByHostAndPortAlone() throws {
        #expect(try WebhookTarget("https://hooks.example/T0KEN?key=S3CRET").name == "hooks.example")
        #expect(try WebhookTarget("http://[::1]:8080/T0KEN").name == "[::1]:8080")
        #expect(try WebhookTarget("HTTPS://Hooks.Example:444/a@b").name == "Hooks.Example:444")
    }
}
