import Foundation

/// The input that the worker has in hand, in memory that outlives it: when it crashes or hangs, this is the reason.
final class SharedInput {
    private static let headerBytes = 32
    private static let bytesMax = 1 << 24

    private let memory: UnsafeMutableRawBufferPointer

    /// - Parameter path: a file that both processes map.
    init?(path: String) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let size = Self.headerBytes + Self.bytesMax
        guard ftruncate(descriptor, off_t(size)) == 0,
            let start = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), start != MAP_FAILED
        else { return nil }
        self.memory = UnsafeMutableRawBufferPointer(start: start, count: size)
    }

    deinit {
        munmap(self.memory.baseAddress, self.memory.count)
    }

    /// Its number, by which the seed makes it again. Moves on with every input, so a number that stays is a hang.
    var number: UInt64 {
        get { self.memory.load(fromByteOffset: 0, as: UInt64.self) }
        set { self.memory.storeBytes(of: newValue, toByteOffset: 0, as: UInt64.self) }
    }

    /// Memory that the worker holds.
    var residentBytes: UInt64 {
        get { self.memory.load(fromByteOffset: 8, as: UInt64.self) }
        set { self.memory.storeBytes(of: newValue, toByteOffset: 8, as: UInt64.self) }
    }

    var bytes: [UInt8] {
        get {
            let count = Int(self.memory.load(fromByteOffset: 16, as: UInt64.self))
            return Array(self.memory[Self.headerBytes..<(Self.headerBytes + min(count, Self.bytesMax))])
        }
        set {
            let kept = newValue.prefix(Self.bytesMax)
            self.memory.storeBytes(of: UInt64(kept.count), toByteOffset: 16, as: UInt64.self)
            UnsafeMutableRawBufferPointer(rebasing: self.memory[Self.headerBytes...]).copyBytes(from: kept)
        }
    }
}
