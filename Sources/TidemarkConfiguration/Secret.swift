/// A text that is never shown: not in a description, not in a dump, not in an error.
public struct Secret: Sendable, Hashable {
    private let value: String

    public init(_ value: String) {
        self.value = value
    }

    /// The text itself. Callers must not log it.
    public func reveal() -> String { self.value }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "(secret)" }
    /// With a hash by which two secrets are told apart. Its seed is random, and another one in each process.
    public var debugDescription: String { "(secret, hash \(self.value.hashValue))" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
