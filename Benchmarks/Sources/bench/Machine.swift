#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What a figure is worth nothing without.
enum Machine {
    static var description: String {
        var system = utsname()
        uname(&system)
        let release = Self.text(&system.release)
        let architecture = Self.text(&system.machine)
        let model = Self.field("model name", in: TextFile.read("/proc/cpuinfo")) ?? architecture
        let kilobytes = Self.field("MemTotal", in: TextFile.read("/proc/meminfo")).flatMap { text in
            text.split(separator: " ").first.flatMap { Int($0) }
        }
        let memory = kilobytes.map { ", \(($0 + 524_288) / 1_048_576) GiB of memory" } ?? ""
        return "\(Self.processors) cores (\(model))\(memory), \(Self.text(&system.sysname)) \(release) \(architecture)"
    }

    /// `YYYY-MM-DD`, UTC.
    static var date: String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        let month = Int(parts.tm_mon) + 1
        let day = Int(parts.tm_mday)
        return "\(Int(parts.tm_year) + 1_900)-\(month < 10 ? "0" : "")\(month)-\(day < 10 ? "0" : "")\(day)"
    }

    static var processors: Int { sysconf(Int32(_SC_NPROCESSORS_ONLN)) }

    /// What `name : value` says in a file of such lines.
    private static func field(_ name: String, in text: String) -> String? {
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name) }),
            let colon = line.firstIndex(of: ":")
        else { return nil }
        return String(line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" })
    }

    private static func text<Characters>(_ characters: inout Characters) -> String {
        withUnsafeBytes(of: &characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
