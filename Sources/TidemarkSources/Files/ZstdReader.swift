import CZstd

/// Decompresses zstd: any number of frames, nothing else.
///
/// A frame says how much of its content must be kept in memory to decompress it. One that asks for more than 128 MiB is
/// refused, as `zstd` itself does: a few bytes could ask for gigabytes.
struct ZstdReader: ~Copyable {
    static let windowBitsMax: Int32 = 27

    private var context: OpaquePointer
    private let input: UnsafeMutableRawBufferPointer
    private var pending = 0..<0
    private var isInFrame = true
    private var isEnded = false
    /// There was no room left, so that there may be more to give without any new input.
    private var isHoldingOutput = false
    private var outputCount: Int64 = 0
    /// Thrown once the bytes that came before it have been handed out, and ever after.
    private var failure: InputError?

    init(inputBytes: Int) {
        self.context = Self.makeContext()
        self.input = .allocate(byteCount: inputBytes, alignment: 16)
    }

    private static func makeContext() -> OpaquePointer {
        // Fails only without memory.
        guard let context = ZSTD_createDCtx() else { preconditionFailure("zstd could not be set up") }
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Self.windowBitsMax)
        return context
    }

    /// A context of more bytes is given back at the end of each frame: it has a window of the last one.
    private static let keptBytes = 16 << 20

    deinit {
        ZSTD_freeDCtx(self.context)
        self.input.deallocate()
    }

    /// Takes over bytes that were read before it was known that they are zstd; at most `inputBytes`.
    mutating func take(_ bytes: UnsafeRawBufferPointer) {
        self.input.copyMemory(from: bytes)
        self.pending = 0..<bytes.count
    }

    /// The input may end here.
    var isWhole: Bool { !self.isInFrame }

    /// Decompresses what one read brings, or what fits into `output`; 0 is the end, or where an input that may grow ends
    /// now.
    mutating func read(
        into output: UnsafeMutableRawBufferPointer,
        from raw: inout RawInput
    ) throws(InputError) -> Int {
        if let failure = self.failure { throw failure }
        var produced = 0
        while !self.isEnded {
            if self.pending.isEmpty, !self.isHoldingOutput {
                guard produced == 0 else { return produced }
                let count = try raw.read(into: self.input)
                if count == 0 {
                    if raw.isOpenEnded { return 0 }
                    self.end(of: raw.file)
                }
                self.pending = 0..<count
            } else {
                produced += self.step(UnsafeMutableRawBufferPointer(rebasing: output[produced...]), raw)
            }
            if self.failure != nil || produced == output.count {
                if let failure = self.failure, produced == 0 { throw failure }
                return produced
            }
        }
        return produced
    }

    private mutating func end(of file: InputFile) {
        guard self.isInFrame else {
            self.isEnded = true
            return
        }
        self.failure = InputError(
            .truncated,
            path: file.path,
            offset: self.outputCount,
            detail: "zstd cut short after \(self.outputCount) bytes of content"
        )
    }

    /// - Returns: how many bytes were written to `room`.
    private mutating func step(_ room: UnsafeMutableRawBufferPointer, _ raw: borrowing RawInput) -> Int {
        var output = ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
        var input = ZSTD_inBuffer(
            src: self.input.baseAddress,
            size: self.pending.upperBound,
            pos: self.pending.lowerBound
        )
        let result = ZSTD_decompressStream(self.context, &output, &input)
        self.pending = input.pos..<input.size
        self.outputCount += Int64(output.pos)
        self.isHoldingOutput = false
        if ZSTD_isError(result) != 0 {
            self.fail(raw.file, rawOffset: raw.offset, result)
        } else {
            self.isInFrame = result != 0
            self.isHoldingOutput = self.isInFrame && output.pos == output.size
            if !self.isInFrame, ZSTD_sizeof_DCtx(self.context) > Self.keptBytes {
                ZSTD_freeDCtx(self.context)
                self.context = Self.makeContext()
            }
        }
        return output.pos
    }

    private mutating func fail(_ file: InputFile, rawOffset: Int64, _ result: Int) {
        let damage = "damaged zstd at byte \(rawOffset - Int64(self.pending.count)) of the file: "
        let detail =
            switch ZSTD_getErrorCode(result) {
            case ZSTD_error_checksum_wrong: damage + "its check sum does not match its content"
            case ZSTD_error_frameParameter_windowTooLarge:
                "this zstd needs a window over \(1 << (Self.windowBitsMax - 20)) MiB; decompress it first, as with "
                    + "`zstd -d --long=31`"
            case ZSTD_error_prefix_unknown where self.outputCount > 0: damage + "bytes that are not zstd after its end"
            default: damage + String(cString: ZSTD_getErrorName(result))
            }
        self.failure = InputError(.corrupt, path: file.path, offset: self.outputCount, detail: detail)
    }
}
