import Foundation
public import TidemarkCore

/// The configuration of a Tidemark process, with all defaults filled in.
public struct Configuration: Sendable {
    /// A libpq connection string, URI or keywords; may hold a password and is left out of descriptions and dumps.
    public var database: String?
    public var lanes = ProcessInfo.processInfo.activeProcessorCount
    public var limits = Limits()
    /// `nil` with `listen: none`.
    public var server: ServerSettings? = ServerSettings()
    public var service = ServiceSettings()
    public var sources: [SourceConfiguration] = []
    public var projections: [ProjectionDefinition] = []
    /// Sources that `tidemark run` writes to topics.
    public var publications: [PublicationConfiguration] = []
    /// Notifiers in the order of their names.
    public var notifiers: [NotifierConfiguration] = []
    /// The location of each projection's definition, by its name.
    public var projectionLocations: [String: ConfigurationLocation] = [:]
    /// The location of each notifier's definition, by its name.
    public var notifierLocations: [String: ConfigurationLocation] = [:]
    /// Where each source stands, by name.
    public var sourceLocations: [String: ConfigurationLocation] = [:]

    public init() {}

    /// The settings of a file's source: the first `files` source with a matching path, else the only `files` source,
    /// else the defaults.
    /// - Parameter absolutePath: the file's path, or `-` for standard input.
    public func settings(forFile absolutePath: String) -> SourceSettings {
        let isStandardInput = absolutePath == "-"
        let files = self.sources.filter { $0.type == .files }
        if !isStandardInput, let source = files.first(where: { $0.names(absolutePath) }) { return source.settings }
        if files.count == 1 { return files[0].settings }
        return SourceSettings(name: isStandardInput ? "stdin" : "files")
    }

    /// The settings of a source of earlier events, which may no longer be configured.
    public func settings(ofSource name: String) -> SourceSettings {
        self.sources.first { $0.name == name }?.settings ?? SourceSettings(name: name)
    }
}

/// The HTTP server of `tidemark run`: health, metrics, and HTTP sources.
public struct ServerSettings: Sendable, Hashable {
    /// Files in PEM, by absolute paths.
    public struct TLS: Sendable, Hashable {
        public var certificate: String
        public var key: String

        public init(certificate: String, key: String) { (self.certificate, self.key) = (certificate, key) }
    }

    public var listen: ListenAddress
    /// What clients of HTTP sources show; none is asked for where there is none.
    public var tokens: [Secret] = []
    public var tls: TLS?
    /// Other machines may connect without TLS.
    public var isInsecure = false
    /// The longest body of a request, decompressed.
    public var requestBytes = 64 << 20

    public init(listen: ListenAddress = .standard) {
        self.listen = listen
    }

    /// Why it may not listen there; `nil` where it may. The sentence goes on behind the address.
    package var refusal: String? {
        guard !self.listen.isLoopback else { return nil }
        if self.tokens.isEmpty {
            return
                "is not a loopback address, so clients have to show a token: server: { tokens: [\"${TIDEMARK_TOKEN}\"] }; "
                + "or write \(ListenAddress.standard), and let a proxy serve other machines"
        }
        guard self.tls == nil, !self.isInsecure else { return nil }
        return
            "is not a loopback address, and tokens would be sent unencrypted: server: { tls: { certificate: …, key: … } }, "
            + "or insecure: true where something else encrypts"
    }
}

/// How processes that write share their work, and how they end.
public struct ServiceSettings: Sendable {
    /// How long `tidemark run` waits for blocks and deliveries under way when it is told to stop.
    public var drainTimeout = Duration.seconds(30)
    /// How long a process may be silent before another one ends its sessions and takes its streams.
    public var leaseTTL = Duration.seconds(10)
    /// How long a finished pass is kept, with its progress and its counters.
    public var retention = Duration.seconds(30 * 86_400)
    /// How much of ``drainTimeout`` what was read has until it is committed; the rest is for giving streams back, and for
    /// answers that are under way.
    package var commitTimeout: Duration { self.drainTimeout - min(.seconds(5), self.drainTimeout / 2) }
    /// When `tidemark run` ends whatever is under way.
    package var stopTimeout: Duration { max(self.drainTimeout, .seconds(1)) }

    public init() {}
}

/// A source of messages.
public struct SourceConfiguration: Sendable {
    public enum SourceType: String, Sendable, CaseIterable {
        case files
        /// Clients send events to the HTTP server.
        case http
        /// Topics, as a member of a consumer group.
        case kafka
        /// Topics, as a member of a consumer group.
        case rocketmq

        /// Its messages have offsets, keys or headers beside their values.
        package var isBroker: Bool { self == .kafka || self == .rocketmq }
    }

    public var name: String
    public var type: SourceType
    /// Absolute paths of files, folders and glob patterns. In a configuration file they are relative to its folder.
    public var paths: [String]
    /// Whether `tidemark run` continues to read at the end of the files, and reads files that come later.
    public var follow = false
    /// Of a source of Kafka.
    public var kafka: KafkaSettings?
    /// Of a source of RocketMQ.
    public var rocketmq: RocketMQSettings?
    /// It says whether `$position` is the offset in the partition or what messages carry.
    var saysPosition = false
    public var settings: SourceSettings

    public init(name: String, type: SourceType = .files, paths: [String] = [], settings: SourceSettings? = nil) {
        self.name = name
        self.type = type
        self.paths = paths
        self.settings = settings ?? SourceSettings(name: name)
    }

    /// Whether one of the paths is this file, its folder, or a pattern that matches one of them.
    package func names(_ absolutePath: String) -> Bool {
        let file = SourcePath.normalized(absolutePath)
        return self.paths.contains { SourcePath.matches($0, file) }
    }
}

extension Configuration: CustomReflectable {
    public var customMirror: Mirror {
        Mirror(
            self,
            children: [
                "database": self.database == nil ? "(none)" : "(set)", "lanes": self.lanes, "limits": self.limits,
                "server": self.server as Any, "service": self.service,
                "sources": self.sources, "projections": self.projections, "notifiers": self.notifiers,
                "projectionLocations": self.projectionLocations,
            ],
            displayStyle: .struct
        )
    }
}
