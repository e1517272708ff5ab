import TidemarkCore

/// What a source of Kafka stopped for.
package struct KafkaError: SourceFailure, Sendable {
    package enum Kind: Sendable, Hashable {
        /// The broker, or the way to it: it is tried again.
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

    init(_ kind: Kind, _ description: String, remedy: String) {
        self.kind = kind
        self.description = description
        self.remedy = remedy
    }
}
