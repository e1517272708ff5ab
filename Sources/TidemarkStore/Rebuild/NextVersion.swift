package import TidemarkCore

/// The version of a projection that `rebuild` makes beside the live one.
///
/// To everything that writes it is a projection of its own, under a name that no configured one can have: it has its
/// own storage, views, counters, dead letters and position kind. What is reached in it is kept with it, and nobody is
/// told: that is settled when it is swapped in, against what the live version had reached.
package enum NextVersion {
    package static func name(of projection: String) -> String { projection + ".next" }
}

extension ProjectionDefinition {
    package var nextVersion: ProjectionDefinition {
        var next = self
        next.name = NextVersion.name(of: self.name)
        next.schema = RelationNames.storageSchema
        // Apart from the storage, which is named after the projection.
        next.table = next.name + "_view"
        next.milestones = self.milestones.map { milestone in
            var silent = milestone
            silent.notify = []
            silent.unless = []
            return silent
        }
        return next
    }

    /// What of the configuration decides which events are taken, beside what is stored of each projection.
    var selection: String {
        let tags = self.tags.map { tags in
            "\(tags.column ?? "") in \(tags.accepted.map { $0.sorted().joined(separator: ",") } ?? "*")"
        }
        let positions = self.positionKind.map { " positions \($0)" } ?? ""
        return "from \(self.from.joined(separator: ",")) tags \(tags ?? "*")\(positions)"
    }
}
