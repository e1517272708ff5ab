/// Which partitions, or queues, each topic of a source had when its reading began. One that came later was added: entities
/// may have moved to it, so it is read from its beginning, or where they are ordered by offsets, the source stops before
/// any partition of the topic is read on.
package struct BegunTopics: Sendable {
    /// By topic, the names of streams.
    private var initial: [String: Set<String>] = [:]
    /// Of these something was read before the source began.
    private let readBefore: Set<String>

    /// - Parameters:
    ///   - known: the source's streams that have been entered before.
    ///   - topic: the topic of a stream's name.
    package init(_ known: [KnownStream], topic: (String) -> String) {
        self.readBefore = Set(known.filter { $0.reached > 0 }.map { topic($0.name) })
        for stream in known where self.readBefore.contains(topic(stream.name)) {
            self.initial[topic(stream.name), default: []].insert(stream.name)
        }
    }

    /// - Parameter names: those that a topic has now.
    /// - Returns: those of them that were added, by their names.
    package mutating func added(_ names: [String], to topic: String) -> [String] {
        guard let initial = self.initial[topic] else {
            self.initial[topic] = Set(names)
            return []
        }
        return names.filter { !initial.contains($0) }.sorted()
    }

    /// Whether a partition without progress is read from its beginning, whatever `start` says: it was added, or is empty in
    /// a topic of which something was read.
    package func isFromBeginning(_ name: String, of topic: String) -> Bool {
        self.readBefore.contains(topic) || self.initial[topic].map { !$0.contains(name) } ?? false
    }

    /// What a source stops with where entities are ordered by offsets.
    package static func refusal(of names: [String]) -> BrokerError {
        let shown = names.prefix(3).joined(separator: ", ") + (names.count > 3 ? " and \(names.count - 3) more" : "")
        return BrokerError(
            .operatorNeeded,
            "\(shown) \(names.count == 1 ? "was" : "were") added to a topic whose entities are ordered by their offsets: those "
                + "of entities that moved there begin anew, below what was read of them",
            remedy: "raise epoch of this source, which puts what comes now above what was read, and write "
                + "added_partitions: earliest"
        )
    }
}
