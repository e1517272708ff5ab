import Foundation
public import TidemarkCore

/// All that a Tidemark process is told, with every default in it.
public struct Configuration: Sendable {
    /// A libpq connection string, URI or keywords; may hold a password and is left out of descriptions and dumps.
    public var database: String?
    public var lanes = ProcessInfo.processInfo.activeProcessorCount
    public var limits = Limits()
    public var sources: [SourceConfiguration] = []
    public var projections: [ProjectionDefinition] = []
    /// In the order of their names.
    public var notifiers: [NotifierConfiguration] = []
    /// Where each projection is defined, by its name.
    public var projectionLocations: [String: ConfigurationLocation] = [:]

    public init() {}

    /// What is known of the source that a file belongs to: the first `files` source one of whose paths names it, else
    /// the only `files` source there is, else the defaults.
    /// - Parameter absolutePath: of the file, or `-` for standard input.
    public func settings(forFile absolutePath: String) -> SourceSettings {
        let isStandardInput = absolutePath == "-"
        let files = self.sources.filter { $0.type == .files }
        if !isStandardInput, let source = files.first(where: { $0.names(absolutePath) }) { return source.settings }
        if files.count == 1 { return files[0].settings }
        return SourceSettings(name: isStandardInput ? "stdin" : "files")
    }

    /// What is known of a source that events came from earlier: it may have gone from the configuration.
    public func settings(ofSource name: String) -> SourceSettings {
        self.sources.first { $0.name == name }?.settings ?? SourceSettings(name: name)
    }
}

/// Where messages come from.
public struct SourceConfiguration: Sendable {
    public enum SourceType: String, Sendable, CaseIterable {
        case files
    }

    public var name: String
    public var type: SourceType
    /// Files, folders and glob patterns; absolute, those of a configuration file being relative to its folder.
    public var paths: [String]
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
                "sources": self.sources, "projections": self.projections, "notifiers": self.notifiers,
                "projectionLocations": self.projectionLocations,
            ],
            displayStyle: .struct
        )
    }
}
