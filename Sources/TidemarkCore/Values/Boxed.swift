/// An optional that is mostly `nil`, and large where it is not: one word in its owner, the value on the heap.
@propertyWrapper
package struct Boxed<Value: Sendable>: Sendable {
    fileprivate indirect enum Storage: Sendable {
        case none
        case some(Value)
    }

    fileprivate var storage: Storage

    package init(wrappedValue: Value? = nil) {
        self.storage = wrappedValue.map { .some($0) } ?? .none
    }

    package var wrappedValue: Value? {
        get {
            if case .some(let value) = self.storage { value } else { nil }
        }
        set { self.storage = newValue.map { .some($0) } ?? .none }
    }
}

extension Boxed.Storage: Equatable where Value: Equatable {}
extension Boxed.Storage: Hashable where Value: Hashable {}
extension Boxed: Equatable where Value: Equatable {}
extension Boxed: Hashable where Value: Hashable {}
