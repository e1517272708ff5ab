import TidemarkCore

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Paths and glob patterns, compared as glob(3) expands them.
enum SourcePathPattern {
    /// Resolves `.` and `..` by their letters alone; links are not followed.
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
        let folder = file.parts(between: "/").dropLast().joined(separator: "/")
        return [file, folder.isEmpty ? "/" : folder].contains { (path: String) in
            path.utf8.elementsEqual(pattern.utf8) || fnmatch(pattern, path, FNM_PATHNAME | FNM_PERIOD) == 0
        }
    }
}
