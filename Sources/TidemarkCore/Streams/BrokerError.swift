/// What a source of a broker, or a producer, stopped for.
package struct BrokerError: SourceFailure, Sendable {
    package enum Kind: Sendable, Hashable {
        /// A broker, a name server, or the way to it: it is tried again.
        case retryable
        /// A setting or a right: an operator has to change it.
        case operatorNeeded
        /// What was not read yet is not there any more.
        case lostHistory
    }

    package var kind: Kind
    package var isTransient: Bool { self.kind == .retryable }
    /// A sentence without its full stop, without secrets.
    package var description: String
    /// What an operator can do.
    package var remedy: String

    package init(_ kind: Kind, _ description: String, remedy: String = "it is tried again by itself") {
        self.kind = kind
        self.description = description
        self.remedy = remedy
    }
}
