import CLibSSL

/// A certificate with its key, and who is trusted: what connections of one kind have in common. TLS 1.2 and 1.3.
///
/// It is set up in its initializers and never changed behind them. OpenSSL counts references to it and takes its own locks,
/// so event loops share it.
package final class TLSContext: @unchecked Sendable {
    package enum Role: Sendable {
        case server, client
    }

    /// `SSL_CTX`.
    let handle: OpaquePointer
    let role: Role

    private init(_ role: Role) throws(TLSError) {
        ERR_clear_error()
        guard let handle = SSL_CTX_new(role == .server ? TLS_server_method() : TLS_client_method()) else {
            throw .library(reason: TLSError.reason())
        }
        (self.handle, self.role) = (handle, role)
        // Without it OpenSSL would ask the terminal for the passphrase of a key that has one.
        SSL_CTX_set_default_passwd_cb(handle) { _, _, _, _ in -1 }
        guard tidemark_ssl_set_defaults(handle) == 1 else { throw .library(reason: TLSError.reason()) }
    }

    deinit { SSL_CTX_free(self.handle) }

    /// - Parameters:
    ///   - certificate: a file in PEM, the server's certificate first, those that signed it behind.
    ///   - key: a file in PEM, without a passphrase.
    /// - Throws: ``TLSError/file(_:reason:)``.
    package static func server(certificate: String, key: String) throws(TLSError) -> TLSContext {
        let context = try TLSContext(.server)
        try context.use(certificate: certificate, key: key)
        return context
    }

    /// - Parameters:
    ///   - authorities: a file in PEM of who is trusted; without one the system's.
    ///   - identity: files in PEM of the client's own certificate and key.
    ///   - verifies: `false` takes any certificate.
    /// - Throws: ``TLSError/file(_:reason:)``.
    package static func client(
        authorities: String? = nil,
        identity: (certificate: String, key: String)? = nil,
        verifies: Bool = true
    ) throws(TLSError) -> TLSContext {
        let context = try TLSContext(.client)
        if let authorities {
            guard SSL_CTX_load_verify_file(context.handle, authorities) == 1 else {
                throw .file(authorities, reason: TLSError.reasonOfFile())
            }
        } else if SSL_CTX_set_default_verify_paths(context.handle) != 1 {
            throw .library(reason: TLSError.reason())
        }
        if let identity { try context.use(certificate: identity.certificate, key: identity.key) }
        SSL_CTX_set_verify(context.handle, verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nil)
        return context
    }

    private func use(certificate: String, key: String) throws(TLSError) {
        guard SSL_CTX_use_certificate_chain_file(self.handle, certificate) == 1 else {
            throw .file(certificate, reason: TLSError.reasonOfFile())
        }
        guard SSL_CTX_use_PrivateKey_file(self.handle, key, SSL_FILETYPE_PEM) == 1,
            SSL_CTX_check_private_key(self.handle) == 1
        else { throw .file(key, reason: TLSError.reasonOfFile()) }
    }
}
