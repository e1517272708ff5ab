public import Foundation
import TidemarkCore
import Yams

/// A configuration with its warnings.
public struct LoadedConfiguration: Sendable {
    public var configuration: Configuration
    /// Warnings for `check`, in the order of the file.
    public var warnings: [ConfigurationIssue]
}

/// Reads the configuration file. It reports all errors at once, each with its line and key.
public enum ConfigurationLoader {
    /// - Parameters:
    ///   - environment: the values of `${NAME}`.
    ///   - ignoresDatabase: skips the file's `database`, so that its variables need not be set: for a command line that
    ///     names the database itself.
    public static func load(
        path: String,
        environment: [String: String] = ProcessInfo.processInfo.environment,
        ignoresDatabase: Bool = false
    ) throws(ConfigurationError) -> LoadedConfiguration {
        func refusal(_ code: ConfigurationError.Code, _ message: String, line: Int? = nil) -> ConfigurationError {
            ConfigurationError(code, message, at: ConfigurationLocation(file: path, line: line))
        }
        guard FileManager.default.fileExists(atPath: path) else {
            throw refusal(
                .notFound,
                "there is no such configuration file; name one with --config, or a table without one: "
                    + "--from shop.orders --key id --sequence version"
            )
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw refusal(.notReadable, "cannot be read; is it a file, and may this user read it?")
        }
        guard let yaml = String(validating: data, as: UTF8.self) else {
            let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            let bad = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
            throw refusal(.invalid, "is not valid UTF-8", line: bad + 1)
        }
        return try Self.load(
            yaml: yaml,
            fileName: path,
            environment: environment,
            ignoresDatabase: ignoresDatabase
        )
    }

    /// - Parameter fileName: for errors; relative paths in the file are relative to its folder.
    public static func load(
        yaml: String,
        fileName: String,
        environment: [String: String],
        ignoresDatabase: Bool = false
    ) throws(ConfigurationError) -> LoadedConfiguration {
        let context = ReadingContext(file: fileName, environment: environment)
        guard let root = try YAMLDocument.root(of: yaml, in: context) else {
            let location = ConfigurationLocation(file: fileName, line: 1, column: 1)
            let message = "the configuration is empty; it needs at least projections"
            throw ConfigurationError(.invalid, message, at: location)
        }
        let folder = SourcePath.normalized(fileName, relativeTo: FileManager.default.currentDirectoryPath)
        var reader = ConfigurationReader(
            folder: SourcePath.normalized("..", relativeTo: folder),
            ignoresDatabase: ignoresDatabase
        )
        reader.read(ConfigurationNode(node: root, path: "", context: context))
        return try Self.finish(reader.configuration, context)
    }

    static func finish(
        _ configuration: Configuration,
        _ context: ReadingContext
    ) throws(ConfigurationError) -> LoadedConfiguration {
        guard context.errors.isEmpty else {
            throw ConfigurationError(.invalid, issues: context.sorted(context.errors))
        }
        return LoadedConfiguration(configuration: configuration, warnings: context.sorted(context.warnings))
    }
}

/// Reads the top level, limits and sources. Errors go to the context; an invalid value becomes its default, and the
/// result is discarded.
struct ConfigurationReader {
    let folder: String
    let ignoresDatabase: Bool
    private(set) var configuration = Configuration()

    mutating func read(_ root: ConfigurationNode) {
        guard let file = root.mapping(ConfigurationKeys.file) else { return }
        if !self.ignoresDatabase, let database = file["database"] {
            self.configuration.database = database.connectionString()
        }
        if let lanes = file["lanes"]?.integer(1...256) { self.configuration.lanes = lanes }
        if let limits = file["limits"]?.mapping(ConfigurationKeys.limits) { self.readLimits(limits) }
        if let server = file["server"]?.mapping(ConfigurationKeys.server) {
            self.configuration.server = ServerReader(map: server, folder: self.folder).read()
        }
        if let service = file["service"]?.mapping(ConfigurationKeys.service) { self.readService(service) }
        if let sources = file["sources"] { self.readSources(sources.list(of: "sources")) }
        let notifiers = file["notifiers"]?.entries(of: "notifiers") ?? []
        self.configuration.notifiers = notifiers.compactMap {
            NotifierReader(name: $0.name, node: $0.value, folder: self.folder).read()
        }.sorted { $0.name < $1.name }
        for notifier in notifiers { self.configuration.notifierLocations[notifier.name] = notifier.value.location }
        if let projections = file.required("projections", "list at least one projection") {
            let items = projections.list(of: "projections")
            if projections.isEmptyList { projections.fail("is empty; list at least one") }
            self.readProjections(items, notifiers: Set(notifiers.map(\.name)))
        }
        if let publications = file["publications"] { self.readPublications(publications.list(of: "publications")) }
        for (name, node) in notifiers {
            guard let body = self.configuration.notifiers.first(where: { $0.name == name })?.body else { continue }
            let reader = NotificationRuleReader(notifier: name, node: node, isThin: body == .thin)
            reader.read(into: &self.configuration.projections)
        }
    }

    mutating func setPublications(_ publications: [PublicationConfiguration]) {
        self.configuration.publications = publications
    }

    private mutating func readLimits(_ map: ConfigurationMapping) {
        var limits = self.configuration.limits
        if let value = map["batch_events"]?.integer(1...1_000_000) { limits.batchEvents = value }
        if let value = map["pending_batches"]?.integer(1...64) { limits.pendingBatches = value }
        if let value = map["message_bytes"]?.byteCount(1024...(1 << 30)) { limits.messageBytes = value }
        if let value = map["cache_bytes"]?.byteCount(0...(1 << 40)) { limits.cacheBytes = value }
        if let value = map["max_dead_letters"]?.deadLetterLimit() { limits.maxDeadLetters = value }
        self.configuration.limits = limits
    }

    private mutating func readService(_ map: ConfigurationMapping) {
        var service = self.configuration.service
        if let value = map["drain_timeout"]?.duration(.zero...(.seconds(3600))) { service.drainTimeout = value }
        if let value = map["lease_ttl"]?.duration(.seconds(1)...(.seconds(600))) { service.leaseTTL = value }
        if let value = map["retention"]?.longDuration(.seconds(3600)...(.seconds(3650 * 86_400))) {
            service.retention = value
        }
        self.configuration.service = service
    }

    // MARK: Sources

    private mutating func readSources(_ items: [ConfigurationNode]) {
        var lines: [String: Int] = [:]
        for item in items {
            guard let map = item.mapping(ConfigurationKeys.source) else { continue }
            let source = self.source(map)
            if !source.name.isEmpty {
                if let line = lines[source.name] {
                    map["name"]?.fail("\(map["name"]?.shownText ?? "") names the source of line \(line) too")
                }
                lines[source.name] = map["name"]?.location.line ?? 0
            }
            self.configuration.sources.append(source)
            self.configuration.sourceLocations[source.name] = map.whole.location
        }
    }

    private func source(_ map: ConfigurationMapping) -> SourceConfiguration {
        let name = map.required("name", "give the source a name")?.shortText("a name", bytesMax: 63) ?? ""
        var source = SourceConfiguration(name: name)
        if let type = map.required("type", "write type: files, type: http, type: kafka or type: rocketmq") {
            source.type =
                type.type(
                    SourceConfiguration.SourceType.self,
                    later: ["postgres", "mysql", "mariadb"]
                ) ?? .files
        }
        if source.type == .http {
            map["paths"]?.fail("belongs to sources of files; clients send to /v1/sources/\(name)/events")
            map["follow"]?.fail("belongs to sources of files")
        }
        if source.type.isBroker {
            map["paths"]?.fail("belongs to sources of files; write topics: [...]")
            map["follow"]?.fail("belongs to sources of files")
        }
        source.kafka = map.kafka(of: source.type)
        source.rocketmq = map.rocketmq(of: source.type, folder: self.folder)
        for path in map["paths"]?.oneOrMore("path") ?? [] {
            guard let text = path.text("a path or a pattern such as logs/*.ndjson.gz") else { continue }
            if text == "-" {
                path.fail("\"-\" is standard input, which is named on the command line")
            } else {
                source.paths.append(SourcePath.normalized(text, relativeTo: self.folder))
            }
        }
        if let follow = map["follow"], let value = follow.boolean() {
            source.follow = value
            if value, map["paths"] == nil { follow.fail("is true, and there is nothing to follow; name paths") }
        }
        if let value = map["format"]?.choice(SourceSettings.Format.allCases) { source.settings.format = value }
        if let value = map["absent"]?.choice(SourceSettings.AbsentRule.allCases) { source.settings.absent = value }
        if let (zone, name) = map["timezone"]?.timezone() {
            source.settings.zone = zone
            source.settings.zoneName = name
        }
        if let value = map["snapshots"]?.choice(SourceSettings.SnapshotRule.allCases) {
            source.settings.snapshots = value
        }
        if let identities = map["replica_identity"]?.replicaIdentities() {
            source.settings.replicaIdentities = identities
        }
        if let value = map["row_image"]?.choice(RowImage.allCases) {
            source.settings.sendsMinimalImages = value == .minimal
        }
        if let value = map["epoch"]?.integer(0...Int(UInt32.max)) { source.settings.epoch = UInt32(value) }
        for server in map["gtid_order"]?.list(of: "server identifiers") ?? [] {
            guard let text = server.text("the identifier of a server") else { continue }
            if source.settings.gtidOrder.contains(text) { server.fail("names the same server twice") }
            source.settings.gtidOrder.append(text)
        }
        map.readRecords(of: &source)
        return source
    }

    private enum RowImage: String, CaseIterable { case full, minimal }

    // MARK: Projections

    /// Warns of `$position` with Canal, the only format known to carry none.
    private func warnOfMissingPositions(_ projection: ProjectionDefinition, _ map: ConfigurationMapping) {
        guard projection.sequence.contains(.position) else { return }
        for source in self.configuration.sources
        where source.settings.format == .canal && source.settings.gtidOrder.isEmpty {
            let gap = PositionGap.canal
            map["sequence"]?.warn(
                "asks for $position, and a message of source \"\(source.name)\" \(gap.why); the way out is \(gap.wayOut)"
            )
        }
    }

    private mutating func readProjections(_ items: [ConfigurationNode], notifiers: Set<String>) {
        var names: [String: Int] = [:]
        var relations: [String: Int] = [:]
        for item in items {
            guard let map = item.mapping(ConfigurationKeys.projection) else { continue }
            var projection = ProjectionReader(map: map, notifiers: notifiers).read()
            self.takeOffsets(&projection)
            let line = map.whole.location.line ?? 0
            self.configuration.projections.append(projection)
            self.warnOfMissingPositions(projection, map)
            self.refuseOffsets(projection, map)
            if let name = map["name"], let first = names[projection.name] {
                name.fail("\(name.shownText) names the projection of line \(first) too")
                continue
            }
            if !projection.name.isEmpty { names[projection.name] = line }
            self.configuration.projectionLocations[projection.name] = map.whole.location
            guard !projection.table.isEmpty else { continue }
            for relation in projection.relationNames {
                if let first = relations[relation], first != line {
                    let node = map["table"] ?? map["name"] ?? map.whole
                    let shown = node.isReplaced ? "" : " (\(relation))"
                    node.fail("shares a relation\(shown) with the projection of line \(first); give it another table")
                    break
                }
                relations[relation] = line
            }
        }
    }
}

extension ProjectionDefinition {
    /// The user-visible relations of a table.
    static let relationSuffixes = ["", "_timeline", "_history", "_gaps", "_milestones"]

    var relationNames: [String] { Self.relationSuffixes.map { "\(self.schema).\(self.table)\($0)" } }
}

extension ConfigurationNode {
    /// Reads `database`. The value may hold a password, so no message repeats it.
    func connectionString() -> String? {
        guard let scalar = self.scalar("a connection string such as postgres://user@host/database") else { return nil }
        let text = scalar.text
        let isURI = text.hasPrefix("postgres://") || text.hasPrefix("postgresql://")
        guard scalar.type == .text || scalar.isReplaced, isURI || text.contains("=") else {
            return self.refused(
                (scalar.isReplaced ? "\(scalar.shown) " : "")
                    + "is not a connection string; write postgres://user@host/database or host=… dbname=…"
            )
        }
        return text
    }

    fileprivate func timezone() -> (rule: ZoneRule, name: String)? {
        let what = "UTC, an offset such as +08:00, or a name such as Asia/Shanghai"
        guard let scalar = self.scalar(what) else { return nil }
        guard let zone = ZoneRule(configured: scalar.text) else {
            let hint =
                scalar.isReplaced
                ? "" : Suggestion.hint(for: scalar.text, among: TimeZone.knownTimeZoneIdentifiers)
            return self.refused("\(scalar.shown) is not a time zone; use \(what)\(hint)")
        }
        return (zone, zone.name(configured: scalar.text))
    }

    /// A type of source or notifier, some of which are planned.
    func type<Value: RawRepresentable<String> & CaseIterable>(_: Value.Type, later: [String]) -> Value? {
        let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
        guard let scalar = self.scalar(names) else { return nil }
        if let value = Value(rawValue: scalar.text) { return value }
        if later.contains(scalar.text) {
            self.fail("\(scalar.shown) is not supported yet; use \(names)")
        } else {
            self.fail("\(scalar.shown) is not a type; use \(names)")
        }
        return nil
    }

    /// A text without control characters, of limited length.
    func shortText(_ what: String, bytesMax: Int) -> String? {
        guard let text = self.text(what) else { return nil }
        if text.utf8.count > bytesMax { return self.refused("is longer than \(bytesMax) bytes") }
        if text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
            return self.refused("has a control character in it")
        }
        return text
    }
}
