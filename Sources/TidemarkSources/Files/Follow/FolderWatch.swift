import Dispatch
import PlatformC
import Synchronization
import TidemarkCore

#if os(Linux)
    /// Hears of changes in folders by inotify. A change of a file that is followed wakes its reader; what may bring another
    /// file wakes the one that looks for files.
    final class FolderWatch: Sendable {
        private struct State {
            var folders: [Int32: String] = [:]
            var readers: [String: Wakeup] = [:]
            var awaited: Set<String> = []
        }

        private static let names = UInt32(IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE)
        private static let folder = UInt32(IN_DELETE_SELF | IN_MOVE_SELF)
        private static let content = UInt32(IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB)

        private let descriptor: Descriptor
        private let waker = Waker()
        private let state = Mutex(State())
        private let isStopped = Atomic<Bool>(false)
        private let change: @Sendable () -> Void

        /// - Parameter change: called when files may have come, gone or changed that are not followed yet.
        /// - Returns: `nil` where the system has no more notifications to give.
        init?(change: @escaping @Sendable () -> Void) {
            let number = inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
            guard number >= 0, self.waker.isUsable else { return nil }
            self.descriptor = Descriptor(owning: number)
            self.change = change
            DispatchQueue(label: "tidemark.follow").async { self.run() }
        }

        func stop() {
            self.isStopped.store(true, ordering: .releasing)
            self.waker.wake()
        }

        /// Watches these folders, and no others.
        /// - Returns: whether there was one among them that was not watched before.
        func watch(_ folders: Set<String>) -> Bool {
            let mask = Self.names | Self.folder | Self.content | UInt32(IN_ONLYDIR)
            var watched: [Int32: String] = [:]
            for folder in folders {
                let number = inotify_add_watch(self.descriptor.number, folder, mask)
                // Where there is none, polling is left.
                if number >= 0 { watched[number] = folder }
            }
            let (left, isNew) = self.state.withLock { state in
                let left = state.folders.keys.filter { watched[$0] == nil }
                let isNew = watched.contains { state.folders[$0.key] != $0.value }
                state.folders = watched
                return (left, isNew)
            }
            for number in left { inotify_rm_watch(self.descriptor.number, number) }
            return isNew
        }

        /// - Parameters:
        ///   - readers: who is woken by a change of a file, by its path as its folder is watched.
        ///   - awaited: files whose changes are looked into.
        func hear(_ readers: [String: Wakeup], awaited: Set<String>) {
            self.state.withLock { ($0.readers, $0.awaited) = (readers, awaited) }
        }

        private func run() {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 8)
            defer { memory.deallocate() }
            while true {
                _ = self.waker.wait(for: self.descriptor.number, Int32(POLLIN), until: nil)
                guard !self.isStopped.load(ordering: .acquiring) else { return }
                while let count = try? self.descriptor.readOnce(into: memory), count > 0 {
                    self.handle(UnsafeRawBufferPointer(rebasing: memory[..<count]))
                }
                // A writer of many short lines is heard of two thousand times a second, not once a line.
                usleep(500)
            }
        }

        private func handle(_ events: UnsafeRawBufferPointer) {
            var woken: [ObjectIdentifier: Wakeup] = [:]
            var isChange = false
            self.state.withLock { state in
                var start = 0
                while start + 16 <= events.count {
                    let number = events.loadUnaligned(fromByteOffset: start, as: Int32.self)
                    let mask = events.loadUnaligned(fromByteOffset: start + 4, as: UInt32.self)
                    let length = Int(events.loadUnaligned(fromByteOffset: start + 12, as: UInt32.self))
                    let name = events[(start + 16)..<(start + 16 + length)].prefix { $0 != 0 }
                    start += 16 + length
                    if mask & UInt32(IN_Q_OVERFLOW) != 0 {
                        isChange = true
                        for wakeup in state.readers.values { woken[ObjectIdentifier(wakeup)] = wakeup }
                        continue
                    }
                    if mask & (Self.names | Self.folder) != 0 { isChange = true }
                    guard mask & Self.content != 0, let folder = state.folders[number] else { continue }
                    let path = InputResolver.join(folder, String(decoding: name, as: UTF8.self))
                    if let wakeup = state.readers[path] { woken[ObjectIdentifier(wakeup)] = wakeup }
                    if state.awaited.contains(path) { isChange = true }
                }
            }
            for wakeup in woken.values { wakeup.signal() }
            if isChange { self.change() }
        }
    }
#else
    /// There are no notifications here: files are polled.
    final class FolderWatch: Sendable {
        init?(change: @escaping @Sendable () -> Void) { return nil }

        func stop() {}
        func watch(_ folders: Set<String>) -> Bool { false }
        func hear(_ readers: [String: Wakeup], awaited: Set<String>) {}
    }
#endif
