/// What a batch came to, once it is committed. Of a batch whose answer was lost nothing is known, and nothing counted.
package struct CommitReport: Sendable, Equatable {
    package struct Projection: Sendable, Equatable {
        package var name: String
        package var applied: Int64 = 0
        package var late: Int64 = 0
        package var duplicate: Int64 = 0
        /// Newly reached, by name.
        package var milestones: [String: Int64] = [:]

        package init(_ name: String) { self.name = name }
    }

    package var projections: [Projection] = []
    /// Entities whose state the lane remembered, and those that it had to look up.
    package var cacheHits = 0
    package var cacheMisses = 0

    package init() {}

    package static func += (left: inout CommitReport, right: CommitReport) {
        for projection in right.projections {
            guard let index = left.projections.firstIndex(where: { $0.name == projection.name }) else {
                left.projections.append(projection)
                continue
            }
            left.projections[index].applied += projection.applied
            left.projections[index].late += projection.late
            left.projections[index].duplicate += projection.duplicate
            left.projections[index].milestones.merge(projection.milestones, uniquingKeysWith: +)
        }
        left.cacheHits += right.cacheHits
        left.cacheMisses += right.cacheMisses
    }
}
