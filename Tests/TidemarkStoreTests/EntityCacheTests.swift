import Foundation
import Testing
import TidemarkCore
import TidemarkTesting

@testable import TidemarkStore

@Suite("What is remembered of entities")
struct EntityCacheTests {
    /// A key's hash, because evenly spread numbers would be an unrealistic best case.
    private static func hash(_ number: Int) -> KeyHash {
        SipHash128(key0: 1, key1: 2).hash(Array("\(number)".utf8).span)
    }

    /// A state that differs from others in all members, and in the key's length.
    private static func state(_ number: Int, keyBytes: ClosedRange<Int>) -> EntityState {
        let count = keyBytes.lowerBound + number % keyBytes.count
        return EntityState(
            highWater: OrderKey((0..<count).map { UInt8(truncatingIfNeeded: 255 - $0 - number) }),
            provenance: UInt64(number) << 32,
            reached: UInt64(number) | 1 << 63,
            isTouched: number % 3 == 0,
            isDeleted: number % 5 == 0
        )
    }

    @Test("All of an entity's state is remembered, of short keys and of the longest", arguments: [0...23, 56...56])
    func remembersAllOfAState(_ keyBytes: ClosedRange<Int>) throws {
        let cache = try EntityCache(byteCount: 1 << 20, keepsReached: true)
        for number in 0..<100 { cache.store(Self.state(number, keyBytes: keyBytes), for: Self.hash(number)) }
        // Longer keys than the first widen the slots, which empties the cache; the second time all fit.
        for number in 0..<100 { cache.store(Self.state(number, keyBytes: keyBytes), for: Self.hash(number)) }
        for number in 0..<100 { #expect(cache[Self.hash(number)] == Self.state(number, keyBytes: keyBytes)) }
        #expect(cache[Self.hash(100)] == nil)
    }

    @Test("An order key longer than 56 bytes is not remembered, nor what was known before it")
    func forgetsWhatHasNoRoom() throws {
        let cache = try EntityCache(byteCount: 1 << 16, keepsReached: true)
        cache.store(Self.state(1, keyBytes: 56...56), for: Self.hash(1))
        cache.store(EntityState(highWater: OrderKey(Array(repeating: 9, count: 57))), for: Self.hash(1))
        #expect(cache[Self.hash(1)] == nil)
    }

    @Test("Nothing is lost while there is room, and what follows takes the place of what was there")
    func keepsWhatHasRoom() throws {
        let cache = try EntityCache(byteCount: 16 << 20, keepsReached: false)
        func state(_ number: Int) -> EntityState {
            var state = Self.state(number, keyBytes: 22...22)
            state.reached = 0
            return state
        }
        for number in 0..<120_000 { cache.store(state(number), for: Self.hash(number)) }
        #expect((0..<120_000).allSatisfy { cache[Self.hash($0)] == state($0) })
        for number in 0..<120_000 { cache.store(state(number + 7), for: Self.hash(number)) }
        #expect((0..<120_000).allSatisfy { cache[Self.hash($0)] == state($0 + 7) })
        #expect(cache.count == 120_000)
        cache.removeAll()
        #expect((0..<120_000).allSatisfy { cache[Self.hash($0)] == nil })
    }

    @Test("More entities than there is room for: the memory holds, and nothing wrong is remembered")
    func keepsToItsBound() throws {
        let byteCount = 1 << 20
        let cache = try EntityCache(byteCount: byteCount, keepsReached: true)
        for number in 0..<100_000 {
            cache.store(Self.state(number, keyBytes: 22...22), for: Self.hash(number))
        }
        let known = (0..<100_000).filter { cache[Self.hash($0)] != nil }
        #expect(known.allSatisfy { cache[Self.hash($0)] == Self.state($0, keyBytes: 22...22) })
        #expect(known.count == cache.count)
        // Seven words for each: at least half of the memory is used.
        #expect(known.count * 56 <= byteCount && known.count * 56 > byteCount / 2)
    }

    @Test("Hardly anything is forgotten before the memory is full")
    func usesItsMemory() throws {
        // Seven words for each way of a bucket, and as many entities as nine tenths of them.
        let byteCount = 1 << 20
        let count = byteCount / 56 * 9 / 10
        let cache = try EntityCache(byteCount: byteCount, keepsReached: true)
        for number in 0..<count { cache.store(Self.state(number, keyBytes: 22...22), for: Self.hash(number)) }
        #expect((0..<count).count { cache[Self.hash($0)] != nil } > count * 94 / 100)
    }

    @Test("Without memory nothing is remembered", arguments: [0, 100])
    func worksWithoutMemory(_ byteCount: Int) throws {
        let cache = try EntityCache(byteCount: byteCount, keepsReached: true)
        cache.store(Self.state(1, keyBytes: 22...22), for: Self.hash(1))
        cache.look(at: [Self.hash(1)])
        #expect(cache[Self.hash(1)] == nil)
    }

    @Test("Memory that the system does not have is refused with what asks for it")
    func refusesWhatTheSystemDoesNotHave() {
        let error = #expect(throws: StoreError.self) { _ = try EntityCache(byteCount: 1 << 60, keepsReached: true) }
        #expect(error?.description.contains("cache_bytes") ?? false)
    }
}
