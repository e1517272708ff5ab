import Synchronization

@testable import TidemarkNotifier

/// Records deliveries, and answers by a script.
final class ScriptedNotifier: Notifier {
    typealias Script = @Sendable (Delivery) async -> DeliveryResult

    private struct State {
        var begun: [Delivery] = []
        var underWay: Set<String> = []
        var isOverlapping = false
        var mostUnderWay = 0
        var watchers: [(count: Int, gate: Gate)] = []
        var isShutDown = false
    }

    private let state = Mutex(State())
    private let script: Script

    init(_ script: @escaping Script = { _ in .delivered }) {
        self.script = script
    }

    func deliver(_ delivery: Delivery) async -> DeliveryResult {
        let entity = "\(delivery.projection) \(delivery.keyJSON)"
        let ready = self.state.withLock { state in
            state.begun.append(delivery)
            if !state.underWay.insert(entity).inserted { state.isOverlapping = true }
            state.mostUnderWay = max(state.mostUnderWay, state.underWay.count)
            return state.watchers.filter { $0.count == state.begun.count }
        }
        for watcher in ready { watcher.gate.open() }
        let result = await self.script(delivery)
        _ = self.state.withLock { $0.underWay.remove(entity) }
        return result
    }

    func shutdown() async { self.state.withLock { $0.isShutDown = true } }

    var begun: [Delivery] { self.state.withLock { $0.begun } }
    /// `7 shipped`, in the order in which they were begun.
    var labels: [String] { self.begun.map { "\($0.keyJSON.filter(\.isNumber)) \($0.milestone)" } }
    /// Two deliveries of one entity were under way at once.
    var isOverlapping: Bool { self.state.withLock { $0.isOverlapping } }
    var mostUnderWay: Int { self.state.withLock { $0.mostUnderWay } }
    var isShutDown: Bool { self.state.withLock { $0.isShutDown } }

    /// Returns once so many deliveries have been begun.
    func untilBegun(_ count: Int) async {
        let gate = Gate()
        let isReached = self.state.withLock { state in
            if state.begun.count < count { state.watchers.append((count, gate)) }
            return state.begun.count >= count
        }
        if !isReached { await gate.wait() }
    }
}
