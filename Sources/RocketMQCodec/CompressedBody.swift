internal import CZlib
internal import CZstd

/// Decompresses the body of a stored message, up to a limit.
package enum CompressedBody {
    /// - Parameter limit: what is longer is cut there.
    /// - Returns: the first bytes, and whether there are more.
    /// - Throws: ``RocketMQDataError`` for what is damaged, or has another format than the flags say.
    package static func decompress(
        _ bytes: UnsafeRawBufferPointer,
        _ compression: SystemFlags.Compression,
        limit: Int
    ) throws(RocketMQDataError) -> (bytes: [UInt8], isCut: Bool) {
        switch compression {
        case .zlib: return try Self.inflate(bytes, limit)
        case .zstd: return try Self.unzstd(bytes, limit)
        case .lz4:
            var frame = LZ4Frame(bytes, limit: limit)
            return try frame.decompress()
        }
    }

    private static let chunkBytes = 1 << 16

    private static func inflate(
        _ bytes: UnsafeRawBufferPointer,
        _ limit: Int
    ) throws(RocketMQDataError) -> (bytes: [UInt8], isCut: Bool) {
        var stream = z_stream()
        // 15 bits of window, with the header of zlib. Fails only without memory.
        precondition(tidemark_inflateInit2(&stream, 15) == Z_OK, "zlib could not be set up")
        defer { inflateEnd(&stream) }
        let input = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.next_in = UnsafeMutablePointer(mutating: input)
        stream.avail_in = UInt32(clamping: bytes.count)
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        while true {
            let (code, count) = chunk.withUnsafeMutableBufferPointer { buffer -> (Int32, Int) in
                stream.next_out = buffer.baseAddress
                stream.avail_out = UInt32(buffer.count)
                let code = CZlib.inflate(&stream, Z_NO_FLUSH)
                return (code, buffer.count - Int(stream.avail_out))
            }
            output += chunk[..<count]
            if output.count > limit { return (Array(output.prefix(limit)), true) }
            if code == Z_STREAM_END { return (output, false) }
            guard code == Z_OK, count > 0 || stream.avail_in > 0 else {
                throw RocketMQDataError("the compressed body is no zlib stream, or ends too early")
            }
        }
    }

    private static func unzstd(
        _ bytes: UnsafeRawBufferPointer,
        _ limit: Int
    ) throws(RocketMQDataError) -> (bytes: [UInt8], isCut: Bool) {
        guard let stream = ZSTD_createDStream() else { preconditionFailure("zstd could not be set up") }
        defer { ZSTD_freeDStream(stream) }
        var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: Self.chunkBytes)
        while true {
            let (code, count) = chunk.withUnsafeMutableBytes { buffer -> (Int, Int) in
                var into = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
                let code = ZSTD_decompressStream(stream, &into, &input)
                return (code, into.pos)
            }
            guard ZSTD_isError(code) == 0 else { throw RocketMQDataError("the compressed body is no zstd frame") }
            output += chunk[..<count]
            if output.count > limit { return (Array(output.prefix(limit)), true) }
            if code == 0, input.pos == input.size { return (output, false) }
            guard count > 0 || input.pos < input.size else {
                throw RocketMQDataError("the compressed body is a zstd frame that ends too early")
            }
        }
    }
}
