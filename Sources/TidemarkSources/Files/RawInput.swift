/// The bytes of one input as they stand on disk or arrive.
struct RawInput: ~Copyable {
    let file: InputFile
    private let descriptor: Descriptor
    /// `nil` for a file that may grow: no read of it waits, and its readers may be many.
    private let interrupt: Interrupt?
    private var growing: GrowingInput?
    /// How many bytes have been taken, or passed over.
    private(set) var offset: Int64 = 0

    /// - Throws: `.missing`, `.unreadable`, or `.changed` when the path now leads to another file.
    init(_ file: InputFile, standardInput: Int32, interrupt: Interrupt) throws(InputError) {
        self.file = file
        self.interrupt = interrupt
        self.descriptor =
            file.kind == .standardInput ? Descriptor(borrowing: standardInput) : try Self.open(file)
    }

    /// A regular file that may grow while it is read.
    init(_ file: InputFile, growing opened: OpenFile) {
        self.file = file
        self.interrupt = nil
        self.descriptor = Descriptor(borrowing: opened.number)
        self.growing = GrowingInput(opened)
    }

    /// It may grow while it is read, or have grown until now.
    var isGrowing: Bool { self.growing != nil }

    /// What is read as the end is only where the file ends now.
    var isOpenEnded: Bool {
        get { self.growing?.isOpenEnded ?? false }
        set { self.growing?.isOpenEnded = newValue }
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
        guard self.file.kind != .regular, let interrupt = self.interrupt else { return false }
        return !interrupt.hasInput(on: self.descriptor.number, within: .zero)
    }

    /// As much as there is at once, up to the size of `memory`; 0 is the end.
    mutating func read(into memory: UnsafeMutableRawBufferPointer) throws(InputError) -> Int {
        if self.growing != nil { return try self.readGrowing(into: memory) }
        var wanted = memory
        if self.file.kind == .regular {
            let rest = self.file.size - self.offset
            guard rest > 0 else { return 0 }
            if rest < memory.count { wanted = UnsafeMutableRawBufferPointer(rebasing: memory[..<Int(rest)]) }
        }
        while true {
            if self.file.kind != .regular { self.interrupt?.waitForInput(on: self.descriptor.number) }
            guard self.interrupt?.isRaised != true else { throw self.isInterrupted() }
            let count: Int?
            do throws(SystemError) {
                count =
                    self.file.kind == .regular
                    ? try self.descriptor.readAt(self.offset, into: wanted)
                    : try self.descriptor.readOnce(into: wanted)
            } catch {
                throw self.hasFailed(error)
            }
            guard let count else { continue }
            if count == 0, self.file.kind == .regular { throw self.isShorter() }
            self.offset += Int64(count)
            return count
        }
    }

    private mutating func readGrowing(into memory: UnsafeMutableRawBufferPointer) throws(InputError) -> Int {
        // A long compressed file is inflated up to where it is read on.
        if self.isOpenEnded, Task.isCancelled { throw self.isInterrupted() }
        let count: Int?
        do throws(SystemError) {
            count = try self.growing?.read(into: memory, at: self.offset)
        } catch {
            throw self.hasFailed(error)
        }
        guard let count else {
            throw InputError(.changed, path: self.file.path, detail: "was cut or written anew")
        }
        self.offset += Int64(count)
        return count
    }

    /// Goes on at `offset`; only before the first read, and only in a regular file.
    mutating func seek(to offset: Int64) throws(InputError) {
        let size: Int64
        do throws(SystemError) {
            size = self.growing == nil ? self.file.size : try self.descriptor.status().size
        } catch {
            throw self.hasFailed(error)
        }
        guard offset <= size else { throw self.isShorter() }
        self.offset = offset
    }

    private func isShorter() -> InputError {
        InputError(.changed, path: self.file.path, detail: "is shorter than it was")
    }

    private func isInterrupted() -> InputError {
        InputError(.interrupted, path: self.file.path, detail: "reading was interrupted")
    }

    private func hasFailed(_ error: SystemError) -> InputError {
        InputError(.readFailed, path: self.file.path, detail: "reading failed: \(error.text)")
    }
}
