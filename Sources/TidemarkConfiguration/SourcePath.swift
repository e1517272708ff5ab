import TidemarkCore

/// Paths of sources and programs.
enum SourcePath {
    /// Resolves `.` and `..` lexically; links are not followed.
    static func normalized(_ path: String, relativeTo folder: String = "/") -> String {
        let whole = path.begins(with: "/") ? path : folder + "/" + path
        var parts: [Substring] = []
        for part in whole.parts(between: "/") where !part.isEmpty && part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// Whether `pattern` names `file` or the folder that holds it. Both are absolute and normalized.
    static func matches(_ pattern: String, _ file: String) -> Bool {
        let glob = GlobPattern(pattern, .shell(separator: "/"))
        return [file, Self.normalized("..", relativeTo: file)].contains { path in
            path.utf8.elementsEqual(pattern.utf8) || glob.matches(path)
        }
    }
}
