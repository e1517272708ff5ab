import TidemarkCore
import Yams

extension Configuration {
    /// One projection from the options of the command line, for use without a file. It is named after the table, and
    /// errors name the option.
    /// - Parameters:
    ///   - from: `shop.orders`, which gives a projection `orders` and the table `public.orders`.
    ///   - key: columns; one text may hold several, separated by commas.
    ///   - sequence: parts, likewise.
    ///   - name: replaces the name derived from `from`, or from `table` where `from` has no letter for it: `shop.*`.
    public static func quick(
        from: [String],
        key: [String],
        sequence: [String],
        state: String? = nil,
        table: String? = nil,
        name: String? = nil
    ) throws(ConfigurationError) -> LoadedConfiguration {
        func list(_ texts: [String]) -> Node {
            Node(texts.flatMap { $0.split(separator: ",") }.map { Node(String($0).trimmed, Tag(.str)) })
        }
        func text(_ text: String) -> Node { Node(text, Tag(.str)) }
        let names = [from.lazy.flatMap(Self.tables).first, table].map { Self.name(from: $0 ?? "") }
        let name = name ?? names.first { !$0.isEmpty } ?? ""
        if name.isEmpty, !from.isEmpty { throw Self.unnamed(from) }
        var pairs: [(Node, Node)] = [
            ("name", text(name)), ("from", Node(from.flatMap(Self.tables).map { Node($0.trimmed, Tag(.str)) })),
            ("key", list(key)),
            ("sequence", list(sequence)),
        ]
        if let state { pairs.append(("state", text(state))) }
        if let table { pairs.append(("table", text(table))) }

        let context = ReadingContext(file: "command line", environment: nil, isCommandLine: true)
        let root = ConfigurationNode(node: Node(pairs), path: "", context: context)
        var configuration = Configuration()
        if let map = root.mapping(ConfigurationKeys.projection) {
            let projection = ProjectionReader(map: map, notifiers: []).read()
            configuration.projections = [projection]
            configuration.projectionLocations = [projection.name: root.location]
        }
        return try ConfigurationLoader.finish(configuration, context)
    }

    /// Tables that give a projection no name.
    private static func unnamed(_ from: [String]) -> ConfigurationError {
        let issue = ConfigurationIssue(
            location: ConfigurationLocation(file: "command line"),
            path: "--from",
            message:
                "\(ConfigurationNode.quoted(from.joined(separator: ","))) has no letter or digit that the kept table "
                + "could be named after; name it, as in --table public.orders"
        )
        return ConfigurationError(.invalid, issues: [issue])
    }

    /// Splits tables at commas outside of double quotes.
    private static func tables(_ list: String) -> [String] {
        var tables = [""]
        var isQuoted = false
        for scalar in list.unicodeScalars {
            if scalar == "\"" { isQuoted.toggle() }
            if scalar == ",", !isQuoted {
                tables.append("")
            } else {
                tables[tables.count - 1].unicodeScalars.append(scalar)
            }
        }
        return tables.filter { !$0.isEmpty }
    }

    /// A projection name from the table's last part: `shop.Orders-*` gives `orders`.
    private static func name(from table: String) -> String {
        let last = TableName(table)?.parts.last?.lowercased() ?? ""
        let letters = last.unicodeScalars.map { scalar -> Character in
            let isKept = ("a"..."z").contains(scalar) || ("0"..."9").contains(scalar)
            return isKept ? Character(scalar) : "_"
        }
        let name = String(letters.split(separator: "_").joined(separator: "_"))
        return String((name.first?.isNumber == true ? "_" + name : name).prefix(40))
    }
}
