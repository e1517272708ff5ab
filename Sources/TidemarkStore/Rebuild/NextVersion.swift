package import TidemarkCore

/// The version of a projection that `rebuild` makes beside the live one.
///
/// Writers treat it as a separate projection, under a name that no configured one can have, with its own storage,
/// views, counters, dead letters and position kind. Its milestones are stored without deliveries; the swap compares
/// them with those of the live version.
package enum NextVersion {
    package static func name(of projection: String) -> String { projection + ".next" }
}

extension ProjectionDefinition {
    package var nextVersion: ProjectionDefinition {
        var next = self
        next.name = NextVersion.name(of: self.name)
        next.schema = RelationNames.storageSchema
        // All but the storage, which is named after the projection.
        next.table = next.name + "_view"
        next.milestones = self.milestones.map { milestone in
            var silent = milestone
            silent.notify = []
            silent.unless = []
            return silent
        }
        return next
    }

    /// The settings that decide which events are taken, beside the stored definition of each projection.
    var selection: String {
        let tags = self.tags.map { tags in
            "\(tags.column ?? "") in \(tags.accepted.map { $0.sorted().joined(separator: ",") } ?? "*")"
        }
        let positions = self.positionKind.map { " positions \($0)" } ?? ""
        return "from \(self.from.joined(separator: ",")) tags \(tags ?? "*")\(positions)"
    }
}
