#!/usr/bin/env bash
# What one would guess: Swift's thread sanitizer knows Swift's own locks, so state that is touched only inside
# Synchronization's Mutex.withLock is never reported.
#
# What happens: as soon as tasks really wait for each other, on Linux, each access inside withLock is reported as a Swift
# access race or a data race. The mutex is a futex whose slow path is in libswiftSynchronization, which is not
# instrumented, so the sanitizer misses that one holder was before the other. The same accesses under a pthread mutex,
# which the sanitizer intercepts, are not reported, and the count at the end is right in both.
#
# Seen with Swift 6.3.1, x86_64 Linux, `swiftc -sanitize=thread`; the mutex: stdlib/public/Synchronization/Mutex.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

swift_version=$(swiftc --version 2>/dev/null | grep -o 'Swift version [0-9.]*')
echo "$swift_version"

# program NAME LOCK: eight tasks, half of them append to an array and half of them empty it, under a lock.
program() {
  cat >"$work/$1.swift" <<SWIFT
import Glibc
import Synchronization
$2
let queue = Locked()
let sum = await withTaskGroup(of: Int.self) { group in
    for _ in 0..<4 { group.addTask { for number in 0..<50_000 { queue.with { \$0.append(number) } }; return 0 } }
    for _ in 0..<4 {
        group.addTask {
            var taken = 0
            for _ in 0..<50_000 { queue.with { taken += \$0.count; \$0.removeAll() } }
            return taken
        }
    }
    var sum = 0
    for await taken in group { sum += taken }
    return sum
}
var left = 0
queue.with { left = \$0.count }
print(sum + left)
SWIFT
  swiftc -swift-version 6 -sanitize=thread "$work/$1.swift" -o "$work/$1"
  TSAN_OPTIONS=exitcode=0 "$work/$1" >"$work/$1.out" 2>"$work/$1.err"
}

program mutex '
final class Locked: Sendable {
    let items = Mutex<[Int]>([])
    func with(_ body: (inout [Int]) -> Void) { self.items.withLock { body(&$0) } }
}'
program pthread '
final class Locked: @unchecked Sendable {
    let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    var items: [Int] = []
    init() { pthread_mutex_init(self.lock, nil) }
    func with(_ body: (inout [Int]) -> Void) {
        pthread_mutex_lock(self.lock)
        defer { pthread_mutex_unlock(self.lock) }
        body(&self.items)
    }
}'

reports() { if grep -q "WARNING: ThreadSanitizer" "$work/$1.err"; then echo reported; else echo "not reported"; fi; }

expect "what is under a Mutex" "$(reports mutex), $(cat "$work/mutex.out")" "reported, 200000"
expect "what is under a pthread mutex" "$(reports pthread), $(cat "$work/pthread.out")" "not reported, 200000"
finish
