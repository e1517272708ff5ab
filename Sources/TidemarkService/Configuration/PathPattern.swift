#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Paths and glob patterns, compared as glob(3) expands them.
enum PathPattern {
    /// Resolves `.` and `..` by their letters alone; links are not followed.
    static func normalized(_ path: String, relativeTo folder: String = "/") -> String {
        let whole = path.hasPrefix("/") ? path : folder + "/" + path
        var parts: [Substring] = []
        for part in whole.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// Whether `pattern` names `file` or the folder that holds it. Both are absolute and normalized.
    static func matches(_ pattern: String, _ file: String) -> Bool {
        let folder = file.lastIndex(of: "/").map { String(file[..<$0]) } ?? ""
        return [file, folder.isEmpty ? "/" : folder].contains {
            $0 == pattern || fnmatch(pattern, $0, FNM_PATHNAME | FNM_PERIOD) == 0
        }
    }
}
