#pragma once
// Deprecated in favour of EVP, which takes a third longer for the few hundred bytes of a row.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
