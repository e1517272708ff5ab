import CZlib

/// Inflates gzip: any number of members, zeros behind them, nothing else.
struct Inflater: ~Copyable {
    private enum State {
        case member, betweenMembers, padding, ended
    }

    /// On the heap because zlib remembers where it is.
    private let stream: UnsafeMutablePointer<z_stream>
    private let input: UnsafeMutableRawBufferPointer
    private var state = State.member
    /// zlib had no room left, so that it may have more to give without any new input.
    private var isHoldingOutput = false
    private var outputCount: Int64 = 0
    /// Thrown once the bytes that came before it have been handed out, and ever after.
    private var failure: InputError?

    init(inputBytes: Int) {
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
        self.input = .allocate(byteCount: inputBytes, alignment: 16)
        // 15 bits of window, and 16 for a gzip header and trailer. Fails only without memory.
        precondition(tidemark_inflateInit2(self.stream, 15 + 16) == Z_OK, "zlib could not be set up")
    }

    deinit {
        inflateEnd(self.stream)
        self.stream.deallocate()
        self.input.deallocate()
    }

    /// Takes over bytes that were read before it was known that they are gzip; at most `inputBytes`.
    mutating func take(_ bytes: UnsafeRawBufferPointer) {
        self.input.copyMemory(from: bytes)
        self.setInput(count: bytes.count)
    }

    private func setInput(count: Int) {
        self.stream.pointee.next_in = self.input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        self.stream.pointee.avail_in = UInt32(count)
    }

    /// The input may end here.
    var isWhole: Bool { self.state != .member }

    /// Inflates what one read brings, or what fits into `output`; 0 is the end, or where an input that may grow ends now.
    mutating func read(
        into output: UnsafeMutableRawBufferPointer,
        from raw: inout RawInput
    ) throws(InputError) -> Int {
        if let failure = self.failure { throw failure }
        self.stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        self.stream.pointee.avail_out = UInt32(output.count)
        while self.state != .ended {
            if self.stream.pointee.avail_in == 0, !self.isHoldingOutput {
                let produced = output.count - Int(self.stream.pointee.avail_out)
                guard produced == 0 else { return produced }
                let count = try raw.read(into: self.input)
                if count == 0 {
                    if raw.isOpenEnded { return 0 }
                    self.end(of: raw.file)
                }
                self.setInput(count: count)
            } else {
                self.step(raw.file, rawOffset: raw.offset)
            }
            let produced = output.count - Int(self.stream.pointee.avail_out)
            if self.failure != nil || self.stream.pointee.avail_out == 0 {
                if let failure = self.failure, produced == 0 { throw failure }
                return produced
            }
        }
        return output.count - Int(self.stream.pointee.avail_out)
    }

    private mutating func end(of file: InputFile) {
        if self.state == .member {
            self.failure = InputError(
                .truncated,
                path: file.path,
                offset: self.outputCount,
                detail: "gzip cut short after \(self.outputCount) bytes of content"
            )
        } else {
            self.state = .ended
        }
    }

    private mutating func step(_ file: InputFile, rawOffset: Int64) {
        switch self.state {
        case .member:
            self.inflateMember(file, rawOffset: rawOffset)
        case .betweenMembers:
            switch self.stream.pointee.next_in.pointee {
            case 0x1F:
                inflateReset(self.stream)
                self.state = .member
            case 0: self.state = .padding
            default: self.fail(file, rawOffset: rawOffset, "bytes that are not gzip after its end")
            }
        case .padding:
            // Files that were written in blocks, to tape for one, are filled up with zeros.
            while self.stream.pointee.avail_in > 0 {
                guard self.stream.pointee.next_in.pointee == 0 else {
                    return self.fail(file, rawOffset: rawOffset, "bytes that are not gzip after its end")
                }
                self.stream.pointee.next_in += 1
                self.stream.pointee.avail_in -= 1
            }
        case .ended: break
        }
    }

    private mutating func inflateMember(_ file: InputFile, rawOffset: Int64) {
        let room = self.stream.pointee.avail_out
        let result = inflate(self.stream, Z_NO_FLUSH)
        self.outputCount += Int64(room - self.stream.pointee.avail_out)
        self.isHoldingOutput = self.stream.pointee.avail_out == 0 && result == Z_OK
        switch result {
        case Z_OK, Z_BUF_ERROR: break
        case Z_STREAM_END: self.state = .betweenMembers
        default:
            let reason = self.stream.pointee.msg.map { String(cString: $0) } ?? "zlib error \(result)"
            self.fail(
                file,
                rawOffset: rawOffset,
                reason == "incorrect data check" ? "its check sum does not match its content" : reason
            )
        }
    }

    private mutating func fail(_ file: InputFile, rawOffset: Int64, _ reason: String) {
        let position = rawOffset - Int64(self.stream.pointee.avail_in)
        self.failure = InputError(
            .corrupt,
            path: file.path,
            offset: self.outputCount,
            detail: "damaged gzip at byte \(position) of the file: \(reason)"
        )
    }
}
