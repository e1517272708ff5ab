import TidemarkCore

/// Reads `server`.
struct ServerReader {
    let map: ConfigurationMapping
    let folder: String

    /// A token that is guessed in less time than it is changed is none.
    private static let tokenBytesMin = 16

    /// - Returns: `nil` with `listen: none`.
    func read() -> ServerSettings? {
        var server = ServerSettings()
        guard self.readListen(into: &server) else { return nil }
        for token in self.map["tokens"]?.oneOrMore("token") ?? [] {
            guard let text = token.text("a token, best of all as an environment variable") else { continue }
            if text.utf8.count < Self.tokenBytesMin {
                token.fail("has fewer than \(Self.tokenBytesMin) characters; `openssl rand -hex 32` makes a good one")
            } else if !text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
                token.fail("has a blank or another character that a header cannot carry")
            } else {
                server.tokens.append(Secret(text))
            }
        }
        if let tls = self.map["tls"]?.mapping(ConfigurationKeys.tls) {
            func path(_ key: String) -> String? {
                tls.required(key, "name the file, in PEM")?.text("a path")
                    .map { SourcePath.normalized($0, relativeTo: self.folder) }
            }
            if let certificate = path("certificate"), let key = path("key") {
                server.tls = .init(certificate: certificate, key: key)
            }
        }
        if let value = self.map["insecure"]?.boolean() { server.isInsecure = value }
        if let value = self.map["request_bytes"]?.byteCount(1024...(1 << 40)) { server.requestBytes = value }
        if let listen = self.map["listen"], let refusal = server.refusal {
            listen.fail("\(listen.shownText) \(refusal)")
        }
        return server
    }

    /// - Returns: `false` for `none`.
    private func readListen(into server: inout ServerSettings) -> Bool {
        guard let listen = self.map["listen"] else { return true }
        let what = "host:port such as \(ListenAddress.standard), or none"
        guard let scalar = listen.scalar(what) else { return true }
        if scalar.text == "none" { return false }
        if scalar.type != .text && !scalar.isReplaced || scalar.text.isEmpty {
            let _: Void? = listen.refuse(scalar, what)
            return true
        }
        do throws(ListenAddress.Failure) {
            server.listen = try ListenAddress(scalar.text)
        } catch {
            listen.fail("\(scalar.shown) \(error)")
        }
        return true
    }
}
