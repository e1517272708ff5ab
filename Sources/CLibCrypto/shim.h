#pragma once
// Deprecated in favour of EVP, which makes and frees a context for each digest.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
