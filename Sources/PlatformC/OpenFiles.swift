/// How many files the process may have open.
public enum OpenFiles {
    #if canImport(Darwin)
        private static let resource = RLIMIT_NOFILE
    #else
        private static let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #endif

    private static let wanted: rlim_t = 65_536

    /// The limit that holds now; `nil` where there is none.
    public static var limit: Int? {
        var limit = rlimit()
        guard getrlimit(self.resource, &limit) == 0, limit.rlim_cur < UInt64(Int32.max) else { return nil }
        return Int(limit.rlim_cur)
    }

    /// Raises the limit to 65,536, or as far as the system lets it. The usual 1,024 are for programs that use `select`,
    /// and a followed file takes one.
    public static func raiseLimit() {
        var limit = rlimit()
        guard getrlimit(self.resource, &limit) == 0, limit.rlim_cur < self.wanted else { return }
        limit.rlim_cur = min(limit.rlim_max, self.wanted)
        setrlimit(self.resource, &limit)
    }
}
