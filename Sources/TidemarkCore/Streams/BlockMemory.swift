import Synchronization

/// What a block is made in.
package struct BlockMemory: Sendable {
    package var bytes: [UInt8] = []
    package var messages: [MessageBlock.Message] = []
    package var headers: [MessageHeader] = []

    package init() {}
}

/// The memory of blocks that were routed, for the next ones of a source: blocks are so large that each would be new memory
/// from the kernel, page by page. The last one that came back is the next one that is used, since it is likely to be in the
/// processor's cache; hundreds of streams hold no more than a few do.
package final class BlockMemoryPool: Sendable {
    private let kept = Mutex<[BlockMemory]>([])
    private let countMost: Int
    private let bytesMost: Int

    /// - Parameters:
    ///   - countMost: how many blocks' memory is kept.
    ///   - bytesMost: that of a block with more bytes is given back to the system.
    package init(countMost: Int = 16, bytesMost: Int) {
        self.countMost = countMost
        self.bytesMost = bytesMost
    }

    package func keep(_ block: consuming MessageBlock) {
        guard block.bytes.count <= self.bytesMost else { return }
        var memory = BlockMemory()
        memory.bytes = block.bytes
        memory.messages = block.messages
        memory.headers = block.headers
        self.kept.withLock { kept in if kept.count < self.countMost { kept.append(memory) } }
    }

    /// - Returns: empty arrays, with memory that was kept.
    package func take() -> BlockMemory {
        var memory = self.kept.withLock { $0.popLast() } ?? BlockMemory()
        memory.bytes.removeAll(keepingCapacity: true)
        memory.messages.removeAll(keepingCapacity: true)
        memory.headers.removeAll(keepingCapacity: true)
        return memory
    }
}
