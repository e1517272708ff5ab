import TidemarkCore

extension ProjectionReader {
    private static let stateBytesMax = 255
    /// Reached milestones are the bits of a 64-bit number, which is signed in PostgreSQL.
    private static let milestonesMax = 63

    func lifecycle(_ map: ConfigurationMapping) -> Lifecycle? {
        let initial = map.required("initial", "name the state that entities begin in")?
            .shortText("a state", bytesMax: Self.stateBytesMax)
        guard let node = map.required("transitions", "write created: [paid, cancelled] for each state that is left")
        else {
            return nil
        }
        var transitions: [String: [String]] = [:]
        var mentions: [String: (node: ConfigurationNode, shown: String)] = [:]
        for (state, targets) in node.entries(of: "states and the states that follow them") {
            mentions[state] = (targets, ConfigurationNode.quoted(state))
            var next: [String] = []
            // A final state may be listed with an empty list.
            if targets.isEmptyList {
                transitions[state] = []
                continue
            }
            for target in targets.isNull ? [] : targets.oneOrMore("state") {
                guard let name = target.shortText("a state", bytesMax: Self.stateBytesMax) else { continue }
                if next.contains(name) { target.fail("\(target.shownText) is named twice") }
                next.append(name)
                mentions[name] = mentions[name] ?? (target, target.shownText)
            }
            transitions[state] = next
        }
        guard let initial else { return nil }
        let lifecycle = Lifecycle(initial: initial, transitions: transitions)
        for state in lifecycle.unreachableStates.sorted() {
            guard let (mention, shown) = mentions[state] else { continue }
            mention.warn("the state \(shown) cannot be reached from initial, and so implies only itself")
        }
        return lifecycle
    }

    // MARK: Milestones

    /// `[shipped, delivered]`, or a mapping of names to settings.
    func milestones(_ node: ConfigurationNode, _ lifecycle: Lifecycle?) -> [Milestone] {
        var milestones: [Milestone] = []
        if node.isList {
            for item in node.list(of: "states") {
                guard let name = item.shortText("a state", bytesMax: Self.stateBytesMax) else { continue }
                if milestones.contains(where: { $0.name == name }) { item.fail("\(item.shownText) is named twice") }
                item.check(state: name, in: lifecycle)
                milestones.append(Milestone(name: name, state: name))
            }
        } else {
            milestones = node.entries(of: "milestones").map { self.milestone($0.name, $0.value, lifecycle) }
        }
        if milestones.count > Self.milestonesMax {
            node.fail("has \(milestones.count) milestones, of which there are at most \(Self.milestonesMax)")
        }
        return milestones
    }

    private func milestone(_ name: String, _ node: ConfigurationNode, _ lifecycle: Lifecycle?) -> Milestone {
        var milestone = Milestone(name: name, state: name)
        if name.isEmpty || name.utf8.count > Self.stateBytesMax || name.hasControlCharacter {
            node.fail("the name of a milestone has from 1 to \(Self.stateBytesMax) bytes and no control characters")
        }
        if node.isNull {
            node.check(state: name, in: lifecycle)
            return milestone
        }
        guard let map = node.mapping(ConfigurationKeys.milestone) else { return milestone }
        if let state = map["state"]?.shortText("a state", bytesMax: Self.stateBytesMax) { milestone.state = state }
        (map["state"] ?? node).check(state: milestone.state, in: lifecycle)
        for item in map["notify"]?.oneOrMore("notifier") ?? [] {
            guard let notifier = item.text("the name of a notifier") else { continue }
            if milestone.notify.contains(notifier) { item.fail("\(item.shownText) is named twice") }
            if !self.notifiers.contains(notifier) {
                let hint =
                    self.notifiers.isEmpty
                    ? "; there are none"
                    : Suggestion.nearest(to: notifier, among: self.notifiers)
                        .map { "; did you mean \"\($0)\"?" }
                        ?? "; there are \(self.notifiers.sorted().joined(separator: ", "))"
                item.fail("\(item.shownText) is not a notifier under notifiers\(hint)")
            }
            milestone.notify.append(notifier)
        }
        for item in map["unless"]?.oneOrMore("state") ?? [] {
            guard let state = item.text("a state") else { continue }
            item.check(state: state, in: lifecycle)
            if milestone.unless.contains(state) { item.fail("\(item.shownText) is named twice") }
            if state == milestone.state {
                item.fail("\(item.shownText) is the milestone's own state, which would hold back what it tells")
            }
            milestone.unless.append(state)
        }
        if let time = map["mute_before"], !time.isNull { milestone.muteBefore = time.instant() }
        return milestone
    }

    /// Checks that need the whole projection.
    func checkStates(_ projection: ProjectionDefinition) {
        if projection.state == nil, self.map["state"] == nil {
            let way = "needs state: the column that holds it"
            if let node = self.map["milestones"] { node.fail(way) }
            if let node = self.map["lifecycle"] { node.fail(way) }
        }
        guard let lifecycle = projection.lifecycle, let state = projection.state, let node = self.map["state"],
            node.isMapping, let map = node.mapping(ConfigurationKeys.state)?["map"]
        else { return }
        for (value, item) in map.entries(of: "values") {
            guard let name = state.map[value], !lifecycle.states.contains(name) else { continue }
            item.warn(
                "the state \(item.shownText) is not in the lifecycle, and each event in it an anomaly"
                    + (item.isReplaced ? "" : Suggestion.hint(for: name, among: lifecycle.states))
            )
        }
    }
}

extension ConfigurationNode {
    fileprivate func check(state: String, in lifecycle: Lifecycle?) {
        guard let lifecycle, !lifecycle.states.contains(state) else { return }
        let states = lifecycle.states.sorted().joined(separator: ", ")
        let hint =
            Suggestion.nearest(to: state, among: lifecycle.states).map { "did you mean \"\($0)\"?" }
            ?? "its states are \(states)"
        self.fail("the state \(self.isReplaced ? self.shownText : Self.quoted(state)) is not in the lifecycle; \(hint)")
    }

    /// Microseconds of a time; without a zone it is UTC.
    fileprivate func instant() -> Int64? {
        let what = "a time such as 2026-03-01T09:30:00Z"
        guard let scalar = self.scalar(what) else { return nil }
        guard let reading = CalendarText.parseTimestamp(Array(scalar.text.utf8).span) else {
            return self.refuse(scalar, what)
        }
        return reading.microseconds
    }
}
