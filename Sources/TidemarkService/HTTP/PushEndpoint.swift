import Foundation
import HTTPTypes
import HummingbirdCore
import LibPQ
import Logging
import struct NIOCore.ByteBuffer
import TidemarkConfiguration
import TidemarkCore
import TidemarkSources
import TidemarkStore

/// Takes the events of HTTP sources: `POST /v1/sources/NAME/events`. It answers once the messages of a request are
/// committed by every lane, with what they came to.
struct PushEndpoint: Sendable {
    /// What a request is refused for, and the status that says so.
    struct Refusal: Error {
        var status: HTTPResponse.Status
        var message: String
        var retryAfter: Int?

        init(_ status: HTTPResponse.Status, _ message: String, retryAfter: Int? = nil) {
            self.status = status
            self.message = message
            self.retryAfter = retryAfter
        }
    }

    let settings: ServerSettings
    let messageBytesMax: Int
    let hubs: [String: PushHub]
    let requests: RequestStore
    /// Why a source takes nothing now; `nil` where it does.
    let obstacle: @Sendable (_ source: String) -> String?
    let isStopping: @Sendable () -> Bool
    /// This process among those that write; `nil` while it has not entered.
    let process: @Sendable () -> Int32?
    let logger: Logger
    /// What bodies that have not been handed on take.
    let bodies = BodyMemory()

    /// For so long a request waits for room before it is told to come back.
    private static let patience = Duration.seconds(5)
    /// For so long a request waits for the commit of what it has handed on.
    private static let commitLimit = Duration.seconds(30)
    private static let prefix = "/v1/sources/"
    private static let suffix = "/events"
    private static let keyBytesMax = 255

    /// - Returns: `nil` where the path is not an endpoint of a source.
    static func source(in path: String) -> String? {
        guard path.hasPrefix(Self.prefix), path.hasSuffix(Self.suffix) else { return nil }
        let name = path.dropFirst(Self.prefix.count).dropLast(Self.suffix.count)
        return name.contains("/") || name.isEmpty ? nil : name.removingPercentEncoding
    }

    func respond(to request: Request, for source: String) async throws -> Response {
        do {
            return try await self.take(request, source)
        } catch let refusal as Refusal {
            var response = HTTPAnswer.error(refusal.status, refusal.message, retryAfter: refusal.retryAfter)
            if refusal.status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer" }
            if refusal.status == .methodNotAllowed { response.headers[.allow] = "POST" }
            return response
        }
    }

    private func take(_ request: Request, _ source: String) async throws -> Response {
        guard self.settings.authorizes(request) else {
            throw Refusal(
                .unauthorized,
                "send `Authorization: Bearer TOKEN` with one of the tokens in server: { tokens: … }"
            )
        }
        guard let hub = self.hubs[source] else {
            let known = self.hubs.keys.sorted().joined(separator: ", ")
            throw Refusal(
                .notFound,
                "there is no HTTP source of that name; there \(known.isEmpty ? "is none" : "are: \(known)")"
            )
        }
        guard request.method == .post else { throw Refusal(.methodNotAllowed, "events are sent by POST") }
        let isCompressed = try Self.isCompressed(request)
        try Self.checkType(request)
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > self.settings.requestBytes {
            throw self.tooLarge
        }
        if request.headers[.contentLength] == nil, request.headers[.transferEncoding] == nil {
            throw Refusal(.lengthRequired, "the request says no length of its body: send Content-Length, or chunks")
        }
        if let obstacle = self.obstacle(source) { throw Refusal(.serviceUnavailable, obstacle, retryAfter: 5) }
        let upload = PushUpload(
            body: PushBody(messageBytesMax: self.messageBytesMax),
            bytesMax: self.settings.requestBytes,
            inflater: isCompressed
        )
        guard let key = request.headers[.idempotencyKey] else {
            return Self.answer(try await self.apply(upload, request.body, to: hub).json)
        }
        return try await self.applyOnce(key, upload, request.body, source, hub)
    }

    private var tooLarge: Refusal {
        Refusal(
            .contentTooLarge,
            "the body is longer than \(self.settings.requestBytes) bytes; `server: { request_bytes: … }` takes longer ones"
        )
    }

    private static func answer(_ json: String) -> Response {
        HTTPAnswer.text(.ok, "application/json", (json + "\n").utf8)
    }

    // MARK: What a request has to be

    private static func isCompressed(_ request: Request) throws(Refusal) -> Bool {
        switch request.headers[.contentEncoding]?.lowercased() ?? "identity" {
        case "identity", "": return false
        case "gzip", "x-gzip": return true
        case let other:
            throw Refusal(.unsupportedMediaType, "content-encoding \(other) is not supported; send gzip or none")
        }
    }

    private static let types: Set<String> = [
        "application/json", "application/x-ndjson", "application/ndjson", "application/jsonl",
        "application/x-jsonlines",
        "application/json-seq", "application/stream+json", "text/plain", "text/json", "application/octet-stream",
    ]

    private static func checkType(_ request: Request) throws(Refusal) {
        guard let header = request.headers[.contentType] else { return }
        let type = (header.split(separator: ";").first ?? "").trimmingCharacters(in: .whitespaces).lowercased()
        guard !Self.types.contains(type), !type.hasSuffix("+json") else { return }
        let hint =
            type == "application/x-www-form-urlencoded"
            ? "; curl says so by itself, and takes line ends away: --data-binary @FILE -H 'content-type: application/x-ndjson'"
            : "; send application/x-ndjson (an object a line) or application/json"
        throw Refusal(.unsupportedMediaType, "content-type \(type) is not supported\(hint)")
    }

    // MARK: Applying

    /// Hands the body on as it arrives, and waits until all of it is committed.
    private func apply(
        _ upload: consuming PushUpload,
        _ body: some AsyncSequence<ByteBuffer, any Error>,
        to hub: PushHub
    ) async throws -> MessageCounts {
        var receipts: [BlockReceipt] = []
        var counts = MessageCounts()
        var upload = upload
        let memory = self.bodies.permit()
        do {
            for try await buffer in body {
                try await upload.take(buffer) { pushed in
                    receipts.append(try await self.submit(pushed, to: hub, isFirst: receipts.isEmpty))
                }
                try self.hold(upload.bufferedBytes, memory, isFirst: receipts.isEmpty)
                try await self.collect(&receipts, into: &counts)
            }
            if let pushed = try upload.end() {
                receipts.append(try await self.submit(pushed, to: hub, isFirst: receipts.isEmpty))
            }
        } catch let error as PushBodyError {
            guard error.kind == .malformed, let damaged = upload.isHandedOn ? upload.damaged(error.description) : nil
            else { throw Refusal(error.kind == .tooLarge ? .contentTooLarge : .badRequest, error.description) }
            receipts.append(try await self.submit(damaged, to: hub, isFirst: false))
        }
        try await self.collectAll(&receipts, into: &counts)
        return counts
    }

    /// Refuses a body that waits for its end with more than a block, where all bodies together take too much.
    private func hold(_ bytes: Int, _ memory: MemoryPermit, isFirst: Bool) throws(Refusal) {
        memory.resize(to: bytes)
        guard bytes > PushBody.blockBytes, self.bodies.isExceeded else { return }
        guard isFirst else { throw Self.unknown("too many long bodies are under way") }
        throw Refusal(.tooManyRequests, "too many long bodies are under way; nothing was taken", retryAfter: 1)
    }

    private func submit(_ pushed: PushedMessages, to hub: PushHub, isFirst: Bool) async throws -> BlockReceipt {
        do {
            return try await hub.submit(pushed, patience: isFirst ? Self.patience : Self.commitLimit)
        } catch PushRefusal.busy {
            guard isFirst else { throw Self.unknown("too much waits for the database") }
            throw Refusal(.tooManyRequests, "too much waits for the database; nothing was taken", retryAfter: 1)
        } catch PushRefusal.closed(let reason) {
            let reason = self.isStopping() ? HealthBoard.stopReason : "the source is not read now: \(reason)"
            guard isFirst else { throw Self.unknown(reason) }
            throw Refusal(.serviceUnavailable, reason, retryAfter: 1)
        }
    }

    private static func unknown(_ reason: String) -> Refusal {
        Refusal(.serviceUnavailable, Self.unknownMessage(reason), retryAfter: 1)
    }

    static func unknownMessage(_ reason: String) -> String {
        "\(reason); some of it may have been applied: send all of it again, repeats count as duplicates"
    }

    /// Adds up what is committed, and drops its receipts: a long body has many.
    private func collect(_ receipts: inout [BlockReceipt], into counts: inout MessageCounts) async throws {
        while let receipt = receipts.first, receipt.isSettled {
            switch try await receipt.outcome() {
            case .committed(let own): counts += own
            case .unknown(let reason): throw Self.unknown(self.isStopping() ? HealthBoard.stopReason : reason)
            }
            receipts.removeFirst()
        }
    }

    /// Waits for the commit of all that was handed on.
    private func collectAll(_ receipts: inout [BlockReceipt], into counts: inout MessageCounts) async throws {
        let limit = Task { [receipts] in
            try await Task.sleep(for: Self.commitLimit)
            for receipt in receipts {
                receipt.abandon(because: "the database has not committed it within \(Self.commitLimit)")
            }
        }
        defer { limit.cancel() }
        for receipt in receipts { _ = try await receipt.outcome() }
        try await self.collect(&receipts, into: &counts)
    }

    /// Applies the request unless one with its key was.
    private func applyOnce(
        _ key: String,
        _ upload: consuming PushUpload,
        _ body: some AsyncSequence<ByteBuffer, any Error>,
        _ source: String,
        _ hub: PushHub
    ) async throws -> Response {
        guard !key.isEmpty, key.utf8.count <= Self.keyBytesMax else {
            throw Refusal(.badRequest, "an Idempotency-Key has 1 to \(Self.keyBytesMax) bytes")
        }
        guard let process = self.process() else {
            throw Refusal(.serviceUnavailable, "the service has not started yet", retryAfter: 1)
        }
        // The digest has to be known before anything is applied.
        var content: [UInt8] = []
        var upload = upload
        let memory = self.bodies.permit()
        do {
            for try await buffer in body {
                try await upload.inflated(buffer) { bytes in
                    guard content.count + bytes.count <= self.messageBytesMax else {
                        throw Refusal(
                            .contentTooLarge,
                            "with an Idempotency-Key a body has at most `message_bytes` (\(self.messageBytesMax)) bytes"
                        )
                    }
                    content.append(contentsOf: bytes)
                    try self.hold(content.count, memory, isFirst: true)
                }
            }
            try upload.checkWhole()
        } catch let error as PushBodyError {
            throw Refusal(error.kind == .tooLarge ? .contentTooLarge : .badRequest, error.description)
        }
        let entry: RequestStore.Entry
        do {
            entry = try await self.requests.enter(
                key,
                of: source,
                digest: DigestContext.sha256(content),
                process: process
            )
        } catch let error as PostgresError {
            throw Refusal(.serviceUnavailable, "the database is not available: \(error)", retryAfter: 5)
        }
        switch entry {
        case .answered(let answer): return Self.answer(answer)
        case .underWay: throw Refusal(.conflict, "a request with this Idempotency-Key is under way", retryAfter: 1)
        case .otherBody:
            throw Refusal(.unprocessableContent, "this Idempotency-Key came with another body within the last 24 hours")
        case .entered: break
        }
        let plain = PushUpload(
            body: PushBody(messageBytesMax: self.messageBytesMax),
            bytesMax: self.settings.requestBytes,
            inflater: false
        )
        do {
            let counts = try await self.apply(plain, OneBuffer(content), to: hub)
            // The answer holds in any case: without it a repeat is applied again, and counts as duplicate.
            try? await self.requests.answer(key, of: source, with: counts.json)
            return Self.answer(counts.json)
        } catch {
            try? await self.requests.forget(key, of: source)
            throw error
        }
    }
}

/// A body that is there.
private struct OneBuffer: AsyncSequence {
    struct AsyncIterator: AsyncIteratorProtocol {
        var buffer: ByteBuffer?

        mutating func next() async throws -> ByteBuffer? { self.buffer.take() }
    }

    let buffer: ByteBuffer

    init(_ bytes: [UInt8]) { self.buffer = ByteBuffer(bytes: bytes) }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(buffer: self.buffer) }
}

extension HTTPField.Name {
    static let idempotencyKey = HTTPField.Name("Idempotency-Key")!
}

extension MessageCounts {
    var json: String {
        JSONOutput.object([
            ("messages", "\(self.messages)"), ("applied", "\(self.applied)"), ("late", "\(self.late)"),
            ("duplicate", "\(self.duplicate)"), ("filtered", "\(self.filtered)"), ("control", "\(self.control)"),
            ("dead_letters", "\(self.deadLetters)"),
        ])
    }
}

extension ServerSettings {
    /// Compares with every token, each in constant time, so that an answer's time tells nothing of them.
    func authorizes(_ request: Request) -> Bool {
        guard !self.tokens.isEmpty else { return true }
        let header = request.headers[.authorization] ?? ""
        let parts = header.split(separator: " ", maxSplits: 1)
        let isBearer = parts.count == 2 && parts[0].lowercased() == "bearer"
        let shown = Array((isBearer ? parts[1] : "").utf8)
        var isKnown = false
        for token in self.tokens where ConstantTime.isEqual(shown, Array(token.reveal().utf8)) { isKnown = true }
        return isKnown
    }
}
