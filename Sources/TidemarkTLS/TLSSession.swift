import CLibSSL
import NIOCore

/// One connection's side of TLS, without the connection: bytes of the network go in and come out by two buffers. Used by one
/// event loop at a time.
struct TLSSession: ~Copyable {
    /// `SSL`, which owns the buffers.
    private let handle: OpaquePointer
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer

    enum Step {
        case done
        /// Nothing more can be done before bytes come from the other end.
        case waits
        /// The other end has said that nothing more comes.
        case ended
        case failed(String)
    }

    /// - Parameter serverName: the host that a client asks for, a name or an address, which the certificate has to be for.
    init(_ context: TLSContext, serverName: String?) throws(TLSError) {
        ERR_clear_error()
        guard let handle = SSL_new(context.handle) else { throw .library(reason: TLSError.reason()) }
        guard let incoming = BIO_new(BIO_s_mem()), let outgoing = BIO_new(BIO_s_mem()) else {
            SSL_free(handle)
            throw .library(reason: TLSError.reason())
        }
        SSL_set_bio(handle, incoming, outgoing)
        switch context.role {
        case .server: SSL_set_accept_state(handle)
        case .client:
            SSL_set_connect_state(handle)
            guard serverName.map({ Self.expect($0, handle) }) ?? true else {
                SSL_free(handle)
                throw .library(reason: TLSError.reason())
            }
        }
        (self.handle, self.incoming, self.outgoing) = (handle, incoming, outgoing)
    }

    /// Has the certificate checked for a host.
    private static func expect(_ host: String, _ handle: OpaquePointer) -> Bool {
        // An address is looked for among the certificate's addresses, and is no name to ask for (RFC 6066).
        if X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(handle), host) == 1 { return true }
        ERR_clear_error()
        SSL_set_hostflags(handle, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        return SSL_set1_host(handle, host) == 1 && tidemark_ssl_set_server_name(handle, host) == 1
    }

    deinit { SSL_free(self.handle) }

    /// Takes bytes from the network.
    /// - Returns: `false` where OpenSSL has no memory for them.
    func receive(_ bytes: ByteBuffer) -> Bool {
        bytes.withUnsafeReadableBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
                let count = BIO_write(self.incoming, part.baseAddress, Int32(part.count))
                guard count > 0 else { return false }
                rest = rest.dropFirst(Int(count))
            }
            return true
        }
    }

    /// How many bytes came that are not decrypted yet: a part of a record, once all whole ones are read.
    var held: Int { BIO_ctrl_pending(self.incoming) }

    /// How many bytes wait for the network.
    var sendable: Int { BIO_ctrl_pending(self.outgoing) }

    /// Appends what waits for the network.
    func send(into buffer: inout ByteBuffer) {
        while case let count = self.sendable, count > 0 {
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: min(count, 1 << 30)) { space in
                Int(max(0, BIO_read(self.outgoing, space.baseAddress, Int32(min(space.count, 1 << 30)))))
            }
        }
    }

    func handshake() -> Step {
        ERR_clear_error()
        return self.step(SSL_do_handshake(self.handle))
    }

    /// Decrypts at most a record, 16 KiB, behind what `buffer` has.
    func read(into buffer: inout ByteBuffer) -> Step {
        ERR_clear_error()
        var result: Int32 = 0
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 1 << 14) { space in
            result = SSL_read(self.handle, space.baseAddress, Int32(min(space.count, 1 << 30)))
            return Int(max(0, result))
        }
        return self.step(result)
    }

    func write(_ bytes: ByteBuffer) -> Step {
        bytes.withUnsafeReadableBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
                ERR_clear_error()
                let count = SSL_write(self.handle, part.baseAddress, Int32(part.count))
                guard count > 0 else { return self.step(count) }
                rest = rest.dropFirst(Int(count))
            }
            return .done
        }
    }

    /// Says that nothing more comes.
    func end() {
        ERR_clear_error()
        SSL_shutdown(self.handle)
        ERR_clear_error()
    }

    private func step(_ result: Int32) -> Step {
        guard result <= 0 else { return .done }
        switch SSL_get_error(self.handle, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .waits
        case SSL_ERROR_ZERO_RETURN: return .ended
        default:
            let reason = TLSError.reason()
            let verified = SSL_get_verify_result(self.handle)
            // Of a certificate that is not checked the result is kept all the same, and is no reason.
            guard SSL_get_verify_mode(self.handle) & SSL_VERIFY_PEER != 0, verified != X509_V_OK,
                let text = X509_verify_cert_error_string(verified)
            else { return .failed(reason) }
            return .failed("\(reason) (\(String(cString: text)))")
        }
    }
}
