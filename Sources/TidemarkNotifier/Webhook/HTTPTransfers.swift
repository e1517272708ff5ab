internal import CCurl
internal import Foundation
internal import Synchronization

/// Runs the posts of all webhooks in one thread of their own, by libcurl's multi interface. Connections are kept for
/// the next posts to the same address.
final class HTTPTransfers: @unchecked Sendable {
    static let shared = HTTPTransfers()

    /// Used by the thread, but for waking it.
    private let multi: UnsafeMutableRawPointer
    private let submitted = Mutex<[HTTPTransfer]>([])
    /// Used by the thread alone.
    private var underWay: [UnsafeMutableRawPointer: HTTPTransfer] = [:]

    private static let idleConnectionsMax = 64
    /// How long the thread sleeps without anything to do.
    private static let restMilliseconds: Int32 = 60_000

    private init() {
        guard curl_global_init(Int(CURL_GLOBAL_ALL)) == CURLE_OK, let multi = curl_multi_init() else {
            preconditionFailure("libcurl cannot be initialized")
        }
        self.multi = multi
        _ = tidemark_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, Self.idleConnectionsMax)
        let thread = Thread { [self] in while true { self.turn() } }
        thread.name = "webhooks"
        thread.start()
    }

    /// Sends a post.
    /// - Throws: where there is no answer.
    func send(_ post: HTTPPost) async throws(WebhookFailure) -> HTTPPostAnswer {
        let outcome = await withCheckedContinuation { continuation in
            let transfer = HTTPTransfer(post) { continuation.resume(returning: $0) }
            self.submitted.withLock { $0.append(transfer) }
            _ = curl_multi_wakeup(self.multi)
        }
        return try outcome.get()
    }

    // MARK: The thread

    private func turn() {
        let new = self.submitted.withLock { submitted in
            defer { submitted = [] }
            return submitted
        }
        for transfer in new {
            self.underWay[transfer.handle] = transfer
            _ = curl_multi_add_handle(self.multi, transfer.handle)
        }
        var running: Int32 = 0
        _ = curl_multi_perform(self.multi, &running)
        self.takeEnded()
        self.endLate()
        _ = curl_multi_poll(self.multi, nil, 0, self.rest, nil)
    }

    private func takeEnded() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(self.multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let handle = message.pointee.easy_handle else { continue }
            // The message is gone once its handle is.
            let code = message.pointee.data.result
            self.end(handle, code)
        }
    }

    private func endLate() {
        let now = ContinuousClock.now
        for (handle, transfer) in self.underWay where transfer.deadline <= now { self.end(handle, nil) }
    }

    private func end(_ handle: UnsafeMutableRawPointer, _ code: CURLcode?) {
        guard let transfer = self.underWay.removeValue(forKey: handle) else { return }
        transfer.finish(code)
        _ = curl_multi_remove_handle(self.multi, handle)
    }

    /// Until the next deadline, in milliseconds.
    private var rest: Int32 {
        guard let next = self.underWay.values.map(\.deadline).min() else { return Self.restMilliseconds }
        let left = (next - .now) / .milliseconds(1)
        return Int32(max(0, min(left.rounded(.up), Double(Self.restMilliseconds))))
    }
}
