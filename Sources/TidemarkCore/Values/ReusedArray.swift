/// An array that is filled anew for each message. Emptying it forgets how many elements count, and nothing else: an
/// `Array` of a few elements takes longer to empty than to fill. With `Array` a replay takes 4 to 6 % more processor
/// time outside the database. A message is copied, which `UniqueArray` cannot be.
@frozen @usableFromInline
package struct ReusedArray<Element: Sendable>: Sendable {
    /// Those from `count` on are of messages before.
    @usableFromInline package private(set) var storage: [Element] = []
    @usableFromInline package private(set) var count = 0

    @inlinable
    package init() {}

    @inlinable @inline(__always)
    package mutating func removeAll() { self.count = 0 }

    /// Removes the elements from `index` on.
    package mutating func removeAll(from index: Int) {
        precondition(index <= self.count, "there is no such element")
        self.count = index
    }

    @inlinable @inline(__always)
    package mutating func append(_ element: Element) {
        if self.count < self.storage.count {
            self.storage[self.count] = element
        } else {
            self.storage.append(element)
        }
        self.count &+= 1
    }

    /// Has an element stand in the place of another.
    package mutating func replace(_ index: Int, with element: Element) {
        precondition(index < self.count, "there is no such element")
        self.storage[index] = element
    }

    /// Appends `count` elements, which `body` has to write.
    /// - Parameter blank: stands where nothing has been written yet.
    @inlinable @inline(__always)
    package mutating func append(
        count: Int,
        blank: Element,
        _ body: (inout UnsafeMutableBufferPointer<Element>) -> Void
    ) {
        let start = self.count
        if self.storage.count < start &+ count { self.grow(to: start + count, blank) }
        self.storage.withUnsafeMutableBufferPointer { elements in
            var added = UnsafeMutableBufferPointer(rebasing: elements[start..<(start &+ count)])
            body(&added)
        }
        self.count = start &+ count
    }

    @usableFromInline @inline(never)
    mutating func grow(to count: Int, _ blank: Element) {
        self.storage.append(contentsOf: repeatElement(blank, count: Swift.max(count, 16) - self.storage.count))
    }
}

extension ReusedArray: RandomAccessCollection {
    @inlinable package var startIndex: Int { 0 }
    @inlinable package var endIndex: Int { self.count }

    @inlinable
    package subscript(index: Int) -> Element {
        @inline(__always) _read {
            precondition(index < self.count, "there is no such element")
            yield self.storage[index]
        }
    }
}
