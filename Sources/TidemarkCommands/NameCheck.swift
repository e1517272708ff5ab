import LibPQ
import TidemarkConfiguration
import TidemarkCore
import TidemarkStore

/// Refuses names that neither the configuration nor the database has: a filter by one selects nothing, and a notifier
/// that is not there would be disabled for nothing.
struct NameCheck {
    /// The configuration file, as the option names it.
    let config: String?

    /// - Parameter isAlwaysRefused: whether an unknown name is refused also where there is no configuration file; otherwise
    ///   it is a note on standard error then.
    func require(
        _ kind: StoredNames,
        _ name: String?,
        isAlwaysRefused: Bool = false,
        on connection: Connection
    ) async throws {
        guard let name, try await !kind.contains(name, on: connection) else { return }
        let configuration = try ConfigurationOptions.file(self.config).loadIfPresent()?.configuration
        let configured = configuration?.names(of: kind) ?? []
        guard !configured.contains(name), kind != .reason || Rejection.Reason(rawValue: name) == nil else { return }
        let known = Set(try await kind.all(on: connection)).union(configured).sorted()
        let others =
            known.isEmpty ? "no \(kind.rawValue) is configured or stored" : "known: \(known.joined(separator: ", "))"
        let message = "there is no \(kind.rawValue) \"\(name)\"; \(others)"
        // Reasons are a fixed list: another one is a wrong word on the command line.
        if kind == .reason { throw CommandFailure(ExitStatus.usage, message) }
        guard configuration != nil || isAlwaysRefused else {
            Terminal.printError("tidemark: \(Terminal.escaped("note: \(message)"))")
            return
        }
        throw CommandFailure(ExitStatus.configuration, message)
    }
}

extension Configuration {
    fileprivate func names(of kind: StoredNames) -> [String] {
        switch kind {
        case .projection: self.projections.map(\.name)
        case .source: self.sources.map(\.name)
        case .reason: Rejection.Reason.allCases.map(\.rawValue)
        case .milestone: self.projections.flatMap { $0.milestones.map(\.name) }
        case .notifier: self.notifiers.map(\.name)
        }
    }
}
