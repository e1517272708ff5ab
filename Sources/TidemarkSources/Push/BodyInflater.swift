import CZlib

/// Inflates gzip as it arrives: any number of members.
package struct BodyInflater: ~Copyable {
    /// On the heap because zlib remembers where it is.
    private let stream: UnsafeMutablePointer<z_stream>
    private var isBetweenMembers = false

    package init() {
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
        // 15 bits of window, and 16 for a gzip header and trailer. Fails only without memory.
        precondition(tidemark_inflateInit2(self.stream, 15 + 16) == Z_OK, "zlib could not be set up")
    }

    deinit {
        inflateEnd(self.stream)
        self.stream.deallocate()
    }

    /// The body may end here.
    package var isWhole: Bool { self.isBetweenMembers }

    /// Inflates one piece.
    /// - Parameter body: called with each 64 KiB of content, before more is inflated.
    /// - Throws: ``PushBodyError`` for what is no gzip; what `body` throws.
    package mutating func inflate(
        _ compressed: [UInt8],
        _ body: (ArraySlice<UInt8>) async throws -> Void
    ) async throws {
        var offset = 0
        var output = [UInt8](repeating: 0, count: 64 << 10)
        while offset < compressed.count {
            if self.isBetweenMembers {
                inflateReset(self.stream)
                self.isBetweenMembers = false
            }
            var isFull = true
            while isFull {
                let (used, produced) = try self.step(compressed, from: offset, into: &output)
                offset += used
                if produced > 0 { try await body(output[..<produced]) }
                isFull = produced == output.count && !self.isBetweenMembers
            }
        }
    }

    private mutating func step(
        _ compressed: [UInt8],
        from offset: Int,
        into output: inout [UInt8]
    ) throws(PushBodyError) -> (used: Int, produced: Int) {
        let (result, left, room) = compressed.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { memory in
                let next = input.baseAddress?.advanced(by: offset).assumingMemoryBound(to: UInt8.self)
                self.stream.pointee.next_in = UnsafeMutablePointer(mutating: next)
                self.stream.pointee.avail_in = UInt32(input.count - offset)
                self.stream.pointee.next_out = memory.baseAddress?.assumingMemoryBound(to: UInt8.self)
                self.stream.pointee.avail_out = UInt32(memory.count)
                let result = CZlib.inflate(self.stream, Z_NO_FLUSH)
                return (result, Int(self.stream.pointee.avail_in), Int(self.stream.pointee.avail_out))
            }
        }
        switch result {
        case Z_OK, Z_BUF_ERROR: break
        case Z_STREAM_END: self.isBetweenMembers = true
        default:
            let reason = self.stream.pointee.msg.map { String(cString: $0) } ?? "zlib error \(result)"
            throw PushBodyError(.malformed, "the body is damaged gzip: \(reason)")
        }
        return (compressed.count - offset - left, output.count - room)
    }
}
