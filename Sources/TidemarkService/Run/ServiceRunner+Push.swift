import Foundation
import Synchronization
import TidemarkConfiguration
import TidemarkCore
import TidemarkSources
import TidemarkStore

/// Names one start of a process: what clients send to it is a stream of its own.
struct ProcessStart: Sendable {
    private let name: String
    private let incarnation = UUID().uuidString

    init() {
        let process = ProcessInfo.processInfo
        self.name = "\(process.hostName):\(process.processIdentifier) since \(Date().utcTimestamp)"
    }

    /// The stream of one of its sources. The source is in the incarnation, by which streams are looked up.
    func stream(of source: String) -> StreamName {
        StreamName(source: source, name: "http \(self.name)", incarnation: "\(self.incarnation) \(source)")
    }
}

/// What the HTTP sources of a service need of it.
extension ServiceRunner {
    /// - Returns: `nil` where there is no HTTP source.
    func endpoint(_ server: ServerSettings) -> PushEndpoint? {
        guard !self.hubs.isEmpty else { return nil }
        return PushEndpoint(
            settings: server,
            messageBytesMax: self.settings.configuration.limits.messageBytes,
            hubs: self.hubs,
            requests: RequestStore(self.settings.options),
            obstacle: { [self] in self.obstacle(to: $0) },
            isStopping: { [self] in self.board.isStopping },
            process: { [self] in self.entered.withLock { $0?.id } },
            logger: self.logger
        )
    }

    /// Why a source takes nothing now. What clients send cannot be read again, so a projection that is paused or fails
    /// would never see it: they are told to send it later.
    private func obstacle(to source: String) -> String? {
        if self.board.isStopping { return HealthBoard.stopReason }
        let projections = self.settings.configuration.projections
        let names = [HealthBoard.database, "source \(source)"] + projections.map { Self.check($0.name) }
        if let check = self.board.firstNotRunning(of: names) {
            return
                "\(check.name) is \(check.status.rawValue)\(check.reason.map { ": \($0)" } ?? ""); send it again later"
        }
        let access = self.entered.withLock { $0?.access }
        for projection in projections where projection.sequence.contains(.received) {
            guard access?[projection.name]?.isShared == true else { continue }
            return
                "projection \(projection.name) is ordered by $received, and other processes write it too: what comes over "
                + "HTTP to several processes has no order of arrival; run one process, or order it by a column"
        }
        return nil
    }
}
