#pragma once
// The checks of types are macros around functions with any number of arguments, which Swift does not import.
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

typedef size_t (*tidemark_curl_sink)(char *bytes, size_t size, size_t count, void *transfer);

static inline CURLcode tidemark_curl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode tidemark_curl_set_size(CURL *handle, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode tidemark_curl_set_text(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode tidemark_curl_set_pointer(CURL *handle, CURLoption option, const void *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode tidemark_curl_set_sink(CURL *handle, CURLoption option, tidemark_curl_sink value) {
    return curl_easy_setopt(handle, option, value);
}

/// Copies the bytes.
static inline CURLcode tidemark_curl_set_blob(CURL *handle, CURLoption option, const void *bytes, size_t count) {
    struct curl_blob blob = {(void *)bytes, count, CURL_BLOB_COPY};
    return curl_easy_setopt(handle, option, &blob);
}

static inline long tidemark_curl_get_long(CURL *handle, CURLINFO info) {
    long value = 0;
    return curl_easy_getinfo(handle, info, &value) == CURLE_OK ? value : 0;
}

/// Microseconds; 0 while it has not happened.
static inline curl_off_t tidemark_curl_get_time(CURL *handle, CURLINFO info) {
    curl_off_t value = 0;
    return curl_easy_getinfo(handle, info, &value) == CURLE_OK ? value : 0;
}

static inline CURLMcode tidemark_curl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}
