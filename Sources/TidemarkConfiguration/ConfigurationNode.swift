import Yams

/// The state that the readers of one file share: its name, the environment, and the issues.
final class ReadingContext {
    let file: String
    /// `nil` without replacement of variables.
    let environment: [String: String]?
    /// Whether paths read `--key` instead of `projections[0].key`.
    let isCommandLine: Bool
    /// Duplicate keys: the provisional name of the first of them, and its own name.
    var repeatedKeys: [String: String] = [:]
    private(set) var errors: [ConfigurationIssue] = []
    private(set) var warnings: [ConfigurationIssue] = []

    init(file: String, environment: [String: String]?, isCommandLine: Bool = false) {
        self.file = file
        self.environment = environment
        self.isCommandLine = isCommandLine
    }

    func fail(_ issue: ConfigurationIssue) {
        if !self.errors.contains(issue) { self.errors.append(issue) }
    }

    func warn(_ issue: ConfigurationIssue) {
        if !self.warnings.contains(issue) { self.warnings.append(issue) }
    }

    /// In the order of the file.
    func sorted(_ issues: [ConfigurationIssue]) -> [ConfigurationIssue] {
        issues.enumerated().sorted { left, right in
            func rank(_ entry: (offset: Int, element: ConfigurationIssue)) -> (Int, Int, Int) {
                (entry.element.location.line ?? 0, entry.element.location.column ?? 0, entry.offset)
            }
            return rank(left) < rank(right)
        }.map(\.element)
    }
}

/// One value of the file, with the path of keys that leads to it.
struct ConfigurationNode {
    let node: Node
    let path: String
    let context: ReadingContext

    var location: ConfigurationLocation { self.location(of: self.node) }

    func location(of node: Node) -> ConfigurationLocation {
        ConfigurationLocation(file: self.context.file, line: node.mark?.line, column: node.mark?.column)
    }

    func fail(_ message: String) {
        self.context.fail(ConfigurationIssue(location: self.location, path: self.path, message: message))
    }

    /// Reports an error in place of a value.
    func refused<Value>(_ message: String) -> Value? {
        self.fail(message)
        return nil
    }

    func warn(_ message: String) {
        self.context.warn(ConfigurationIssue(location: self.location, path: self.path, message: message))
    }

    func child(_ node: Node, key: String) -> ConfigurationNode {
        let isPlain = key.unicodeScalars.allSatisfy {
            $0.properties.isAlphabetic || "0123456789_-$<".contains(Character($0))
        }
        let name = isPlain && !key.isEmpty ? key : "[\(Self.quoted(key))]"
        let path: String
        if self.path.isEmpty {
            path = self.context.isCommandLine ? "--" + name : name
        } else {
            path = self.path + (name.hasPrefix("[") ? "" : ".") + name
        }
        return ConfigurationNode(node: node, path: path, context: self.context)
    }

    /// Text of the file as messages show it: in quotes, on one line, not too long.
    static func quoted(_ text: String) -> String {
        var shown = ""
        for scalar in text.unicodeScalars.prefix(80) {
            switch scalar {
            case "\"", "\\": shown += "\\\(scalar)"
            case _ where scalar.properties.generalCategory == .control:
                shown += "\\u{\(String(scalar.value, radix: 16))}"
            default: shown.unicodeScalars.append(scalar)
            }
        }
        return "\"\(shown)\(text.unicodeScalars.count > 80 ? "…" : "")\""
    }

    /// The kind of the value, for an error about it.
    var kind: String {
        switch self.node {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .alias: "an alias"
        case .scalar(let scalar): ConfigurationScalar.CoreType(of: scalar).name
        }
    }

    // MARK: Lists and mappings

    var isMapping: Bool { if case .mapping = self.node { true } else { false } }

    var isList: Bool { if case .sequence = self.node { true } else { false } }

    var isEmptyList: Bool { if case .sequence(let items) = self.node { items.isEmpty } else { false } }

    /// The items of a list.
    func list(of what: String) -> [ConfigurationNode] {
        guard case .sequence(let items) = self.node else {
            self.fail("is \(self.kind), where a list of \(what) is expected")
            return []
        }
        return self.children(Array(items))
    }

    /// The items of a list, or the single value.
    func oneOrMore(_ what: String) -> [ConfigurationNode] {
        switch self.node {
        case .sequence(let items):
            if items.isEmpty { self.fail("is an empty list; name at least one \(what)") }
            return self.children(Array(items))
        case .scalar: return [self]
        case .mapping, .alias:
            self.fail("is \(self.kind), where one \(what) or a list of them is expected")
            return []
        }
    }

    private func children(_ nodes: [Node]) -> [ConfigurationNode] {
        nodes.enumerated().map { index, node in
            let path = self.context.isCommandLine ? self.path : "\(self.path)[\(index)]"
            return ConfigurationNode(node: node, path: path, context: self.context)
        }
    }

    /// A mapping with user-defined keys.
    func entries(of what: String) -> [(name: String, value: ConfigurationNode)] {
        guard case .mapping(let mapping) = self.node else {
            self.fail("is \(self.kind), where a mapping of \(what) is expected")
            return []
        }
        return self.entries(mapping).map { ($0.name, $0.value) }
    }

    /// A mapping with the keys of a table.
    func mapping(_ table: KeyTable) -> ConfigurationMapping? {
        guard case .mapping(let mapping) = self.node else {
            let keys = table.keys.joined(separator: ", ")
            return self.refused("is \(self.kind), where a mapping with the keys \(keys) is expected")
        }
        var values: [String: ConfigurationNode] = [:]
        for (name, key, value) in self.entries(mapping) {
            if table.keys.contains(name) {
                values[name] = value
            } else if name == "<<" {
                self.fail(at: key, value.path, "merge keys are not part of YAML 1.2; write the keys out")
            } else {
                let hint =
                    Suggestion.nearest(to: name, among: table.keys).map { "did you mean \"\($0)\"?" }
                    ?? "the keys are \(table.keys.joined(separator: ", "))"
                self.fail(at: key, value.path, "is not a key that belongs here; \(hint)")
            }
        }
        return ConfigurationMapping(table: table, values: values, whole: self)
    }

    private func entries(_ mapping: Node.Mapping) -> [(name: String, key: Node, value: ConfigurationNode)] {
        var seen: [String: Int] = [:]
        var entries: [(name: String, key: Node, value: ConfigurationNode)] = []
        for (key, value) in mapping {
            guard case .scalar(let scalar) = key else {
                self.fail(at: key, self.path, "has a list or a mapping as key; a key is a text")
                continue
            }
            let name = self.context.repeatedKeys[scalar.string] ?? scalar.string
            let child = self.child(value, key: name)
            if let first = seen[name] {
                self.fail(at: key, child.path, "is given a second time; it stands on line \(first) already")
                continue
            }
            seen[name] = key.mark?.line ?? 0
            entries.append((name, key, child))
        }
        return entries
    }

    private func fail(at node: Node, _ path: String, _ message: String) {
        self.context.fail(ConfigurationIssue(location: self.location(of: node), path: path, message: message))
    }
}

/// A mapping whose keys are all in its key table.
struct ConfigurationMapping {
    let table: KeyTable
    let values: [String: ConfigurationNode]
    let whole: ConfigurationNode

    subscript(_ key: String) -> ConfigurationNode? {
        precondition(self.table.keys.contains(key), "\(key) is not in the key table \(self.table.name)")
        return self.values[key]
    }

    /// The value of a required key.
    /// - Parameter use: what to write, for the error.
    func required(_ key: String, _ use: String) -> ConfigurationNode? {
        if let value = self[key] { return value }
        self.whole.child(self.whole.node, key: key).fail("is missing; \(use)")
        return nil
    }
}
