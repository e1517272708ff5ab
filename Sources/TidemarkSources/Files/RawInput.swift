/// The bytes of one input as they stand on disk or arrive.
struct RawInput: ~Copyable {
    let file: InputFile
    private let descriptor: Descriptor
    private let interrupt: Interrupt
    /// How many bytes have been taken, or passed over.
    private(set) var offset: Int64 = 0

    /// - Throws: `.missing`, `.unreadable`, or `.changed` when the path now leads to another file.
    init(_ file: InputFile, standardInput: Int32, interrupt: Interrupt) throws(InputError) {
        self.file = file
        self.interrupt = interrupt
        self.descriptor =
            file.kind == .standardInput ? Descriptor(borrowing: standardInput) : try Self.open(file)
    }

    private static func open(_ file: InputFile) throws(InputError) -> Descriptor {
        do throws(SystemError) {
            let descriptor = try Descriptor(opening: file.path)
            guard file.kind == .regular else { return descriptor }
            let found = try descriptor.status()
            // It may have grown: what it held at the start is what is read.
            if found.identity == file.identity, found.size >= file.size { return descriptor }
        } catch {
            throw error.opening(file.path)
        }
        throw InputError(.changed, path: file.path, detail: "is another file than at the start, or was cut")
    }

    /// A read would have to wait for a pipe that has brought nothing.
    var wouldWait: Bool {
        self.file.kind != .regular && !self.interrupt.hasInput(on: self.descriptor.number, within: .zero)
    }

    /// As much as there is at once, up to the size of `memory`; 0 is the end.
    mutating func read(into memory: UnsafeMutableRawBufferPointer) throws(InputError) -> Int {
        var wanted = memory
        if self.file.kind == .regular {
            let rest = self.file.size - self.offset
            guard rest > 0 else { return 0 }
            if rest < memory.count { wanted = UnsafeMutableRawBufferPointer(rebasing: memory[..<Int(rest)]) }
        }
        while true {
            if self.file.kind != .regular { self.interrupt.waitForInput(on: self.descriptor.number) }
            guard !self.interrupt.isRaised else {
                throw InputError(.interrupted, path: self.file.path, detail: "reading was interrupted")
            }
            let count: Int?
            do throws(SystemError) {
                count = try self.descriptor.readOnce(into: wanted)
            } catch {
                throw InputError(.readFailed, path: self.file.path, detail: "reading failed: \(error.text)")
            }
            guard let count else { continue }
            if count == 0, self.file.kind == .regular { throw self.isShorter() }
            self.offset += Int64(count)
            return count
        }
    }

    /// Goes on at `offset`; only before the first read, and only in a regular file.
    mutating func seek(to offset: Int64) throws(InputError) {
        guard offset <= self.file.size else { throw self.isShorter() }
        do throws(SystemError) {
            try self.descriptor.seek(to: offset)
        } catch {
            throw InputError(.readFailed, path: self.file.path, detail: "cannot go to \(offset): \(error.text)")
        }
        self.offset = offset
    }

    private func isShorter() -> InputError {
        InputError(.changed, path: self.file.path, detail: "is shorter than it was")
    }
}
