import ArgumentParser
import TidemarkConfiguration

/// The option that names where the HTTP server listens.
struct ListenOptions: ParsableArguments {
    @Option(
        help:
            "host:port of /healthz, /readyz, /metrics and HTTP sources, or none (default: as configured, else 127.0.0.1:8088)."
    )
    var listen: String?

    func validate() throws { _ = try self.settings(else: nil, checks: false) }

    /// Overrides the configuration by the option.
    func apply(to configuration: inout Configuration) throws {
        configuration.server = try self.settings(else: configuration.server, checks: true)
    }

    private func settings(else configured: ServerSettings?, checks: Bool) throws -> ServerSettings? {
        guard let listen = self.listen else { return configured }
        if listen == "none" { return nil }
        do {
            // What else is configured of the server stays.
            var server = configured ?? ServerSettings()
            server.listen = try ListenAddress(listen)
            guard checks, let refusal = server.refusal else { return server }
            throw CommandFailure(
                ExitStatus.configuration,
                "--listen: \"\(Terminal.escaped(listen))\" \(refusal)"
            )
        } catch let error as ListenAddress.Failure {
            throw ValidationError("--listen: \"\(Terminal.escaped(listen))\" \(error)")
        }
    }
}
