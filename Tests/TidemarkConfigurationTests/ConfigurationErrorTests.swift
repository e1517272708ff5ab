import Testing

@testable import TidemarkConfiguration

/// An invalid configuration, and the errors that it must produce.
struct BrokenConfiguration: Sendable, CustomTestStringConvertible {
    var yaml: String
    var errors: [String]

    /// A whole file.
    init(_ yaml: String, _ errors: String...) {
        self.yaml = yaml
        self.errors = errors
    }

    /// A projection of four valid lines, 2 to 5, unless they are given, and further lines from line 6 on.
    init(
        orders: String = "",
        name: String = "orders",
        from: String = "shop.orders",
        key: String = "id",
        sequence: String = "version",
        _ errors: String...
    ) {
        let lines = orders.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)" }
        self.yaml =
            "projections:\n  - name: \(name)\n    from: \(from)\n    key: \(key)\n    sequence: \(sequence)\n"
            + lines.joined(separator: "\n") + "\n"
        self.errors = errors.map { "projections[0]" + $0 }
    }

    /// Lines before a valid projection, from line 1 on.
    init(top: String, _ errors: String...) {
        self.yaml = top + "\nprojections: [{ name: orders, from: shop.orders, key: id, sequence: version }]\n"
        self.errors = errors
    }

    /// A source, on line 1.
    init(source: String, _ errors: String...) {
        self.init(top: "sources: [{ name: shop, type: files, \(source) }]")
        self.errors = errors.map { "sources[0]" + $0 }
    }

    /// A notifier, on line 1.
    init(notifier: String, _ errors: String...) {
        self.init(top: "notifiers: { wms: { type: webhook, \(notifier) } }")
        self.errors = errors.map { "notifiers.wms" + $0 }
    }

    var testDescription: String { self.errors.first ?? self.yaml }
}

/// The loader's errors for a configuration, as `key path, line` and the message.
func complaints(about yaml: String, environment: [String: String] = [:]) -> [String] {
    do throws(ConfigurationError) {
        _ = try ConfigurationLoader.load(yaml: yaml, fileName: "tidemark.yaml", environment: environment)
        return []
    } catch {
        return error.issues.map { issue in
            let line = issue.location.line.map(String.init) ?? "?"
            return issue.path.isEmpty
                ? "line \(line): \(issue.message)" : "\(issue.path), line \(line): \(issue.message)"
        }
    }
}

@Suite("A wrong configuration")
struct ConfigurationErrorTests {
    @Test("is refused with its line, its key and what would be right", arguments: BrokenConfiguration.all)
    func refused(_ broken: BrokenConfiguration) {
        #expect(complaints(about: broken.yaml) == broken.errors, "\(broken.yaml)")
    }

    @Test("that is nested beyond reason is refused too")
    func nested() {
        let depth = 100_000
        let flow = "lanes: " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        #expect(complaints(about: flow).count == 1)
    }

    @Test("that holds itself many times over is read in no time")
    func laughs() {
        var yaml = "projections: []\na0: &a0 [x]\n"
        for level in 1...40 { yaml += "a\(level): &a\(level) [\(String(repeating: "*a\(level - 1),", count: 9))]\n" }
        #expect(complaints(about: yaml + "lanes: *a40\nsources: *a40\ndatabase: *a40").count == 20)
    }
}
