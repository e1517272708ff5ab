#pragma once
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// What is a macro in OpenSSL, which Swift does not import.

/// TLS 1.2 or newer, without renegotiation; idle connections hold no buffers; sessions are kept by clients alone.
static inline int tidemark_ssl_set_defaults(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
}

/// `errno` of an error that the system gave, 0 of another.
static inline int tidemark_ssl_system_error(unsigned long code) {
    return ERR_SYSTEM_ERROR(code) ? ERR_GET_REASON(code) : 0;
}

/// The name that the client asks for (SNI).
static inline long tidemark_ssl_set_server_name(SSL *connection, const char *name) {
    return SSL_set_tlsext_host_name(connection, name);
}
