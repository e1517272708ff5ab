import TidemarkCore

extension ProjectionReader {
    /// Refuses names that differ only in Unicode normalization, such as é in one code point and in two: Swift's
    /// `String` equates them, PostgreSQL and the messages do not.
    func checkSpellings(_ projection: ProjectionDefinition) {
        let columns =
            (projection.columns ?? []).map(\.name) + projection.key + projection.sequence.map(\.name)
            + [projection.state?.column, projection.tags?.column].compactMap(\.self)
        self.checkSpellings(of: columns, at: self.map["columns"] ?? self.map["key"])
        let lifecycle = projection.lifecycle.map { [$0.initial] + $0.transitions.flatMap { [$0.key] + $0.value } }
        let states =
            (lifecycle ?? []) + projection.milestones.flatMap { [$0.state] + $0.unless }
            + (projection.state?.map ?? [:]).values
        self.checkSpellings(of: states, at: self.map["lifecycle"] ?? self.map["milestones"])
    }

    private func checkSpellings(of names: [String], at node: ConfigurationNode?) {
        // Equal keys of this dictionary are equal names to Swift, whatever their bytes.
        var first: [String: String] = [:]
        for name in names {
            guard let other = first[name] else {
                first[name] = name
                continue
            }
            guard !other.utf8.elementsEqual(name.utf8) else { continue }
            let spellings = [other, name].sorted { $0.utf8.count < $1.utf8.count }.map(Self.codePoints)
            (node ?? self.map.whole).fail(
                "\(ConfigurationNode.quoted(name)) is spelt in two ways, \(spellings.joined(separator: " and ")), which are "
                    + "two names to the database; spell it in one way, or give a column another name and from: for its "
                    + "name at the source"
            )
            return
        }
    }

    private static func codePoints(_ name: String) -> String {
        name.unicodeScalars.map { scalar in
            let digits = String(scalar.value, radix: 16, uppercase: true)
            return scalar.isASCII
                ? String(scalar) : "U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        }.joined(separator: " ")
    }
}
