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
    /// At the beginning of a line of the processor's cache.
    private let base: UnsafeMutablePointer<Element>
    private let memory: UnsafeMutableRawPointer

    private static var lineBytes: Int { 64 }
    /// Of a large page, of most systems.
    private static var pageBytes: Int { 2 << 20 }

    /// - Throws: `.configuration`, when the system refuses so much.
    init(count: Int) throws(StoreError) {
        // None at all may be nil.
        let capacity = max(1, count)
        let byteCount = capacity.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        let alignment = byteCount.partialValue < 2 * Self.pageBytes ? Self.lineBytes : Self.pageBytes
        guard !byteCount.overflow, let memory = calloc(1, byteCount.partialValue &+ alignment) else {
            throw StoreError(
                .configuration,
                "the system refuses a table of \(capacity) entries of \(MemoryLayout<Element>.stride) bytes; lower "
                    + "`limits: { cache_bytes: … }`"
            )
        }
        self.count = count
        self.memory = memory
        let base = memory.alignedUp(toMultipleOf: alignment)
        self.base = base.bindMemory(to: Element.self, capacity: capacity)
        #if os(Linux)
            // What lies anywhere in it is found at the price of one miss instead of two.
            if alignment == Self.pageBytes {
                madvise(base, byteCount.partialValue & ~(Self.pageBytes - 1), MADV_HUGEPAGE)
            }
        #endif
    }

    deinit { free(self.memory) }

    /// Has the first `count` elements be zeros again.
    func clear(first count: Int) {
        precondition(count >= 0 && count <= self.count)
        memset(self.base, 0, count * MemoryLayout<Element>.stride)
    }

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
