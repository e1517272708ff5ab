internal import Dispatch
internal import PlatformC
internal import Synchronization

/// The addresses of a host.
package struct ResolutionError: Error, Sendable, Hashable {
    package var message: String

    package init(_ message: String) {
        self.message = message
    }
}

/// Looks a host up. It may block, so it is called off the cooperative pool.
package typealias HostLookUp = @Sendable (_ host: String) -> Result<[IPAddress], ResolutionError>

package enum HostResolver {
    /// The system's own answer, in the order in which it would be tried. Reads an address however it is written, as the
    /// system does when it connects: `127.1`, `0x7f000001` and `2130706433` are 127.0.0.1.
    @Sendable
    package static func system(_ host: String) -> Result<[IPAddress], ResolutionError> {
        var hints = addrinfo()
        #if canImport(Glibc)
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        #else
            hints.ai_socktype = SOCK_STREAM
        #endif
        var first: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &first)
        guard status == 0 else {
            let text = gai_strerror(status).map { String(cString: $0) } ?? "error \(status)"
            return .failure(ResolutionError(text))
        }
        defer { freeaddrinfo(first) }
        var addresses: [IPAddress] = []
        var next = first
        while let entry = next {
            if let address = Self.address(entry.pointee), !addresses.contains(address) { addresses.append(address) }
            next = entry.pointee.ai_next
        }
        return addresses.isEmpty ? .failure(ResolutionError("the name has no address")) : .success(addresses)
    }

    private static func address(_ entry: addrinfo) -> IPAddress? {
        guard let socketAddress = entry.ai_addr else { return nil }
        switch entry.ai_family {
        case AF_INET:
            return socketAddress.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                .v4(UInt32(bigEndian: $0.pointee.sin_addr.s_addr))
            }
        case AF_INET6:
            return socketAddress.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                withUnsafeBytes(of: $0.pointee.sin6_addr) { IPAddress(v6Bytes: Array($0)) }
            }
        default:
            return nil
        }
    }
}

/// The addresses of one host, looked up off the cooperative pool and remembered for a while.
///
/// A look-up takes one thread, however many callers wait: later ones use the result of the first.
final class HostAddresses: Sendable {
    private let host: String
    private let lifetime: Duration
    private let lookUp: HostLookUp
    private let queue = DispatchQueue(label: "tidemark.resolver")
    private let known = Mutex<(addresses: [IPAddress], until: ContinuousClock.Instant)?>(nil)

    init(host: String, lifetime: Duration, lookUp: @escaping HostLookUp) {
        self.host = host
        self.lifetime = lifetime
        self.lookUp = lookUp
    }

    /// - Throws: when the host has none, or the look-up times out.
    func get(within timeout: Duration) async throws(ResolutionError) -> [IPAddress] {
        if let known = self.remembered() { return known }
        let answer: Result<[IPAddress], ResolutionError> = await withCheckedContinuation { continuation in
            let first = FirstAnswer(continuation)
            self.queue.async {
                // Cancelled callers are skipped, so that the queue does not grow while a look-up hangs.
                guard !first.isGiven else { return }
                first.give(self.look())
            }
            let nanoseconds = min(timeout / .nanoseconds(1), 1e18)
            DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(Int(nanoseconds))) {
                first.give(.failure(ResolutionError("no answer in time")))
            }
        }
        return try answer.get()
    }

    /// Discards the remembered addresses.
    func forget() {
        self.known.withLock { $0 = nil }
    }

    private func remembered() -> [IPAddress]? {
        self.known.withLock { known in known.flatMap { $0.until > .now ? $0.addresses : nil } }
    }

    private func look() -> Result<[IPAddress], ResolutionError> {
        if let known = self.remembered() { return .success(known) }
        let answer = self.lookUp(self.host)
        if case .success(let addresses) = answer {
            self.known.withLock { $0 = (addresses, .now + self.lifetime) }
        }
        return answer
    }
}

/// Resumes a continuation with the first answer.
private final class FirstAnswer: Sendable {
    typealias Answer = Result<[IPAddress], ResolutionError>

    private let continuation: Mutex<CheckedContinuation<Answer, Never>?>

    init(_ continuation: CheckedContinuation<Answer, Never>) {
        self.continuation = Mutex(continuation)
    }

    var isGiven: Bool { self.continuation.withLock { $0 == nil } }

    func give(_ answer: Answer) {
        let continuation = self.continuation.withLock { continuation in
            defer { continuation = nil }
            return continuation
        }
        continuation?.resume(returning: answer)
    }
}
