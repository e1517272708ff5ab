import TidemarkConfiguration
import TidemarkCore
import TidemarkSources
import TidemarkStore

extension ServiceRunner {
    /// What reads a configured source.
    func member(_ source: SourceConfiguration, _ store: PostgresProjection) -> ServiceSources.Member {
        let limit = self.settings.configuration.limits.messageBytes
        if let hub = self.hubs[source.name] {
            let pushed = PushSource(source.settings, hub: hub, start: self.start.stream(of: source.name)) {
                try await store.endStreams(of: source.name, besides: $0)
            } onOpen: { [checks = self.sourceChecks] in
                checks.set(source.name, .running)
            }
            return .init(name: source.name, source: pushed)
        }
        guard source.follow else {
            let files = BoundedFiles(
                name: source.name,
                paths: source.paths,
                settings: source.settings,
                messageBytesMax: limit
            )
            return .init(name: source.name, source: files)
        }
        let (checks, name) = (self.sourceChecks, source.name)
        let followed = FollowSource(
            name: name,
            paths: source.paths,
            settings: source.settings,
            messageBytesMax: limit,
            known: { try await store.streams(of: name) },
            state: { checks.show($0, of: name) }
        )
        return .init(name: name, source: followed)
    }
}
