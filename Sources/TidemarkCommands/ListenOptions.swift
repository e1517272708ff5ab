import ArgumentParser
import TidemarkConfiguration

/// The option that names where the HTTP server listens.
struct ListenOptions: ParsableArguments {
    @Option(help: "host:port of /healthz and /readyz, or none (default: as configured, else 127.0.0.1:8088).")
    var listen: String?

    func validate() throws { _ = try self.settings(else: nil) }

    /// Overrides the configuration by the option.
    func apply(to configuration: inout Configuration) throws {
        configuration.server = try self.settings(else: configuration.server)
    }

    private func settings(else configured: ServerSettings?) throws -> ServerSettings? {
        guard let listen = self.listen else { return configured }
        if listen == "none" { return nil }
        do throws(ListenAddress.Failure) {
            return ServerSettings(listen: try ListenAddress(listen))
        } catch {
            throw ValidationError("--listen: \"\(Terminal.escaped(listen))\" \(error)")
        }
    }
}
