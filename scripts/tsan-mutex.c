/*
 * Tells the thread sanitizer of the slow paths of Swift's Mutex, for LD_PRELOAD.
 *
 * They are in libswiftSynchronization, which is not instrumented, and end in a futex: the sanitizer misses that one
 * holder was before the next, and reports what a contended mutex protects (findings/
 * swift-tsan-reports-a-contended-mutex.sh). The fast paths are inlined into instrumented code.
 *
 * The names are those of Synchronization._MutexHandle in Swift 6 on Linux: stdlib/public/Synchronization/Mutex.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *

void __tsan_acquire(void *address) __attribute__((weak));
void __tsan_release(void *address) __attribute__((weak));

typedef SWIFT void (*lock_function)(uint32_t thread, SELF);
typedef SWIFT void (*unlock_function)(SELF);

static lock_function next_lock;
static unlock_function next_unlock;

__attribute__((constructor)) static void find(void) {
  next_lock = (lock_function)dlsym(RTLD_NEXT, LOCK);
  next_unlock = (unlock_function)dlsym(RTLD_NEXT, UNLOCK);
}

SWIFT void lock_slow(uint32_t thread, SELF handle) __asm__(LOCK);
SWIFT void unlock_slow(SELF handle) __asm__(UNLOCK);

SWIFT void lock_slow(uint32_t thread, SELF handle) {
  if (!next_lock) abort();
  next_lock(thread, handle);
  if (__tsan_acquire) __tsan_acquire(handle);
}

SWIFT void unlock_slow(SELF handle) {
  if (!next_unlock) abort();
  if (__tsan_release) __tsan_release(handle);
  next_unlock(handle);
}
