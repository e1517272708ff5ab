import NIOCore
import TidemarkSources

/// One body on its way: decompressed, counted and split.
struct PushUpload: ~Copyable {
    private var body: PushBody
    private let bytesMax: Int
    private var inflater: BodyInflater?
    private var count = 0
    private var isEmpty = true

    /// - Parameter inflater: whether it is gzip.
    init(body: PushBody, bytesMax: Int, inflater: Bool) {
        self.body = body
        self.bytesMax = bytesMax
        self.inflater = inflater ? BodyInflater() : nil
    }

    /// Takes what has arrived.
    /// - Parameter handOn: called with messages that are complete, before more is decompressed.
    /// - Throws: ``PushBodyError``; what `handOn` throws.
    mutating func take(_ buffer: ByteBuffer, _ handOn: (PushedMessages) async throws -> Void) async throws {
        var body = self.body
        try await self.inflated(buffer) { bytes in
            if let pushed = try body.take(bytes) { try await handOn(pushed) }
        }
        self.body = body
    }

    /// Decompresses what has arrived.
    mutating func inflated(_ buffer: ByteBuffer, _ body: (ArraySlice<UInt8>) async throws -> Void) async throws {
        let bytes = Array(buffer.readableBytesView)
        if !bytes.isEmpty { self.isEmpty = false }
        var count = self.count
        let limit = self.bytesMax
        func counted(_ piece: ArraySlice<UInt8>) async throws {
            count += piece.count
            guard count <= limit else {
                throw PushBodyError(
                    .tooLarge,
                    "the body is longer than \(limit) bytes; `server: { request_bytes: … }` takes longer ones"
                )
            }
            try await body(piece)
        }
        if self.inflater != nil {
            try await self.inflater!.inflate(bytes, counted)
        } else {
            try await counted(bytes[...])
        }
        self.count = count
    }

    /// - Throws: ``PushBodyError`` where the body is cut short.
    func checkWhole() throws(PushBodyError) {
        switch self.inflater {
        case .some(let inflater) where !inflater.isWhole && !self.isEmpty:
            throw PushBodyError(.malformed, "the body is cut short: its gzip has not ended")
        default: break
        }
    }

    var isHandedOn: Bool { self.body.isHandedOn }
    var bufferedBytes: Int { self.body.bufferedBytes }

    /// What stands for the damaged rest of a body whose beginning was handed on: it becomes a dead letter.
    mutating func damaged(_ why: String) -> PushedMessages? { self.body.damaged(why) }

    /// The body has ended.
    mutating func end() throws(PushBodyError) -> PushedMessages? {
        // What was handed on stays: a client sends again what it has no answer for.
        try self.checkWhole()
        return try self.body.end()
    }
}
