#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Elements that are all zeros until they are written; those that never are take no memory.
struct ZeroedMemory<Element: BitwiseCopyable>: ~Copyable {
    let count: Int
    private let base: UnsafeMutablePointer<Element>

    init(count: Int) {
        guard let memory = calloc(max(1, count), MemoryLayout<Element>.stride) else { fatalError("out of memory") }
        self.count = count
        self.base = memory.bindMemory(to: Element.self, capacity: max(1, count))
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
