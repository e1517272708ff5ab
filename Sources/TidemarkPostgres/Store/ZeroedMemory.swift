#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Elements that are all zeros until they are written; those that never are take no memory. Zeros have to be a value of
/// the element's type. Only for what `cache_bytes` is the measure of: that is what a refusal names.
struct ZeroedMemory<Element: BitwiseCopyable>: ~Copyable {
    let count: Int
    private let base: UnsafeMutablePointer<Element>

    /// - Throws: `.configuration`, when the system refuses so much.
    init(count: Int) throws(StoreError) {
        // None at all may be nil.
        let capacity = max(1, count)
        guard let memory = calloc(capacity, MemoryLayout<Element>.stride) else {
            throw StoreError(
                .configuration,
                "the system refuses a table of \(capacity) entries of \(MemoryLayout<Element>.stride) bytes; lower "
                    + "`limits: { cache_bytes: … }`"
            )
        }
        self.count = count
        self.base = memory.bindMemory(to: Element.self, capacity: capacity)
    }

    deinit { free(self.base) }

    subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < self.count)
            return self.base[index]
        }
        nonmutating _modify {
            precondition(index >= 0 && index < self.count)
            yield &self.base[index]
        }
    }
}
