import PlatformC
import TidemarkCore

/// A body that cannot be read. Said only while nothing of it was handed on; later it is a dead letter.
package struct PushBodyError: Error, CustomStringConvertible {
    package enum Kind: Sendable { case malformed, tooLarge }

    package var kind: Kind
    package var description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

/// Splits the body of a request into messages, as it arrives: lines, the elements of a JSON array, or one object over
/// several lines. Memory is bounded by a block and the longest message, whatever the body.
package struct PushBody {
    /// How much is handed on at a time, about.
    package static let blockBytes = 256 << 10

    private enum Form { case unknown, array, object }

    private let messageBytesMax: Int
    private var form = Form.unknown
    private var array = ArrayLines()
    private var object = ObjectLines()
    /// A line that has not ended, and lines before it that have not been handed on.
    private var buffer: [UInt8] = []
    /// Bytes of the buffer that hold no line end behind the last one found.
    private var scanned = 0
    private var messages: [PushedMessages.Message] = []
    /// Where the line begins that has not ended.
    private var lineStart = 0
    /// The length of the line that has not ended, where it is longer than what is kept of it.
    private var oversizedBytes: Int64 = 0
    package private(set) var isHandedOn = false
    /// Bytes that wait for the end of a message, or of a block.
    package var bufferedBytes: Int { self.buffer.count }

    package init(messageBytesMax: Int) { self.messageBytesMax = messageBytesMax }

    /// Takes the next bytes of the body, decompressed.
    /// - Returns: what can be handed on; `nil` while that is too little.
    package mutating func take(_ bytes: some Collection<UInt8>) throws(PushBodyError) -> PushedMessages? {
        let start = self.buffer.count
        self.buffer.append(contentsOf: bytes)
        try self.determineForm(from: start)
        let (form, hasLines) = (self.form, self.object.hasLines)
        if form == .array || form == .object && !hasLines {
            self.buffer.withUnsafeMutableBytes { memory in
                let new = UnsafeMutableRawBufferPointer(rebasing: memory[start...])
                if form == .array { self.array.rewrite(new) } else { self.object.rewrite(new) }
            }
        }
        try self.findLines()
        return self.lineStart >= Self.blockBytes ? self.handOn() : nil
    }

    /// The body has ended.
    package mutating func end() throws(PushBodyError) -> PushedMessages? {
        let isOpen = self.form == .array && self.array.isOpen || self.form == .object && self.object.isOpen
        if isOpen {
            let why = "the body is cut short: its last \(self.form == .array ? "bracket" : "brace") is missing"
            guard self.isHandedOn else { throw PushBodyError(.malformed, why) }
            // An element that is whole is an event; one that was cut is told with what is missing.
            if self.form == .array, !self.array.isInElement {
                try self.endLine(at: self.buffer.count, next: self.buffer.count)
            }
            return self.damaged(why)
        }
        if self.buffer.count > self.lineStart { try self.endLine(at: self.buffer.count, next: self.buffer.count) }
        return self.messages.isEmpty ? nil : self.handOn()
    }

    /// The rest of the body cannot be read. What has come of its last message, and why it ends, is a message that becomes a
    /// dead letter.
    package mutating func damaged(_ why: String) -> PushedMessages? {
        self.buffer.append(contentsOf: Array(" … \(why)".utf8))
        let range = self.lineStart..<self.buffer.count
        self.messages.append(.init(range: range, length: Int64(range.count)))
        self.lineStart = self.buffer.count
        return self.handOn()
    }

    /// - Parameter start: where in the buffer the bytes begin that have just come.
    private mutating func determineForm(from start: Int) throws(PushBodyError) {
        guard self.form == .unknown else { return }
        if start == 0, self.buffer.starts(with: [0xEF, 0xBB, 0xBF]) { self.buffer.removeFirst(3) }
        guard let first = self.buffer[start...].first(where: { !Self.isBlank($0) && $0 != 0x0A }) else { return }
        switch first {
        case UInt8(ascii: "["): self.form = .array
        case UInt8(ascii: "{"): self.form = .object
        default:
            throw PushBodyError(
                .malformed,
                "the body begins with the byte 0x\(String(first, radix: 16)); expected JSON: one object a line, an array "
                    + "of objects, or one object, with `content-encoding: gzip` where it is compressed"
            )
        }
    }

    private mutating func findLines() throws(PushBodyError) {
        while let end = Self.lineEnd(in: self.buffer, from: max(self.scanned, self.lineStart)) {
            try self.endLine(at: end, next: end + 1)
        }
        self.scanned = self.buffer.count
        let open = self.buffer.count - self.lineStart
        guard open > self.messageBytesMax + 1 else { return }
        try self.refuseOversized()
        // Only the beginning of it is kept.
        let kept = min(open, DeadLetter.rawBytesMax)
        self.oversizedBytes += Int64(open - kept)
        self.buffer.removeSubrange((self.lineStart + kept)...)
        self.scanned = self.buffer.count
    }

    private static func lineEnd(in buffer: [UInt8], from start: Int) -> Int? {
        buffer.withUnsafeBytes { bytes in
            guard start < bytes.count, let base = bytes.baseAddress else { return nil }
            let found = memchr(base + start, 0x0A, bytes.count - start)
            return found.map { UnsafeRawPointer($0) - base }
        }
    }

    private func refuseOversized() throws(PushBodyError) {
        guard !self.isHandedOn, self.messages.isEmpty else { return }
        throw PushBodyError(
            .tooLarge,
            "a message is longer than \(self.messageBytesMax) bytes; `limits: { message_bytes: … }` takes longer ones"
        )
    }

    private mutating func endLine(at end: Int, next: Int) throws(PushBodyError) {
        defer { (self.lineStart, self.scanned, self.oversizedBytes) = (next, next, 0) }
        var range = self.lineStart..<end
        while let last = range.last, Self.isBlank(self.buffer[last]) { range.removeLast() }
        while let first = range.first, Self.isBlank(self.buffer[first]) { range.removeFirst() }
        guard !range.isEmpty else { return }
        let length = Int64(range.count) + self.oversizedBytes
        let isOversized = length > Int64(self.messageBytesMax)
        if isOversized {
            try self.refuseOversized()
            range = range.prefix(DeadLetter.rawBytesMax)
        }
        self.messages.append(.init(range: range, length: length, isOversized: isOversized))
    }

    /// The lines that have ended.
    private mutating func handOn() -> PushedMessages? {
        guard !self.messages.isEmpty else {
            self.buffer.removeSubrange(..<self.lineStart)
            (self.scanned, self.lineStart) = (self.scanned - self.lineStart, 0)
            return nil
        }
        // The buffer itself, without what follows the last line end.
        var bytes = Array(self.buffer[self.lineStart...])
        swap(&self.buffer, &bytes)
        bytes.removeSubrange(self.lineStart...)
        bytes.append(contentsOf: repeatElement(0, count: MessageBlock.padding))
        let pushed = PushedMessages(bytes: bytes, messages: self.messages)
        self.messages = []
        (self.scanned, self.lineStart) = (max(0, self.scanned - self.lineStart), 0)
        self.isHandedOn = true
        return pushed
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
}

/// Makes one line of an object over several lines, and leaves a body alone whose first line is whole: it has one message a
/// line, and a broken one must not swallow those behind it. Bytes are replaced in place.
struct ObjectLines {
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    /// The first line was whole: nothing is to be made of the others.
    private(set) var hasLines = false

    /// An object over several lines has not ended.
    var isOpen: Bool { self.depth > 0 && !self.hasLines }

    mutating func rewrite(_ bytes: UnsafeMutableRawBufferPointer) {
        guard !self.hasLines else { return }
        for index in bytes.indices {
            let byte = bytes[index]
            if self.isInString {
                if byte == 0x0A {
                    // No string goes on there: the line is broken, and ends.
                    self.hasLines = true
                    return
                } else if self.isEscaped {
                    self.isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    self.isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    self.isInString = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): self.isInString = true
            case UInt8(ascii: "{"), UInt8(ascii: "["): self.depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): self.depth = max(0, self.depth - 1)
            case 0x0A:
                if self.depth == 0 {
                    self.hasLines = true
                    return
                }
                bytes[index] = 0x20
            default: break
            }
        }
    }
}
