/// Bytes that do not follow the protocol.
package struct RocketMQDataError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A sentence without its full stop.
    package var description: String

    package init(_ description: String) { self.description = description }
}
