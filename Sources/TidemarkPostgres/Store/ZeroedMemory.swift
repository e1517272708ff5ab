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

    init(count: Int) {
        // None at all may be nil.
        let capacity = max(1, count)
        guard let memory = calloc(capacity, MemoryLayout<Element>.stride) else {
            let bytes = capacity * MemoryLayout<Element>.stride
            fatalError("the system has no \(bytes) bytes of memory; lower `limits: { cache_bytes: … }`")
        }
        Self.askForLargePages(memory, capacity * MemoryLayout<Element>.stride)
        self.count = count
        self.base = memory.bindMemory(to: Element.self, capacity: capacity)
    }

    deinit { free(self.base) }

    /// What is looked at here and there, all over a table, is found sooner in pages of 2 MiB, and is 512 times as seldom
    /// new. A wish: where it is not granted nothing is lost.
    private static func askForLargePages(_ memory: UnsafeMutableRawPointer, _ byteCount: Int) {
        #if os(Linux)
            let pageBytes = 2 << 20
            let start = memory.alignedUp(toMultipleOf: pageBytes)
            let wholeBytes = (memory + byteCount - start) / pageBytes * pageBytes
            guard wholeBytes > 0 else { return }
            _ = madvise(start, wholeBytes, MADV_HUGEPAGE)
        #endif
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
