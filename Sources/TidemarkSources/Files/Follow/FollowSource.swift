package import TidemarkCore

/// Follows files: reads what is in them and whatever is written to them, until it is cancelled. Files come and go, are
/// rotated and compressed meanwhile.
package final class FollowSource: Source {
    private let paths: [String]
    private let settings: SourceSettings
    private let messageBytesMax: Int
    private let known: @Sendable () async throws -> [KnownStream]
    private let board: FollowBoard
    private let timing: FollowTiming
    private let usesNotification: Bool

    /// - Parameters:
    ///   - paths: of files and folders, and patterns of files.
    ///   - messageBytesMax: the longest line that is read whole.
    ///   - known: the streams of this source in the pass that it is read by.
    ///   - state: is told how the source is, whenever that changes.
    ///   - pollInterval: how often files are looked at, whatever notifications come.
    ///   - usesNotification: `false` to poll alone.
    package init(
        name: String,
        paths: [String],
        settings: SourceSettings,
        messageBytesMax: Int,
        known: @escaping @Sendable () async throws -> [KnownStream],
        state: @escaping @Sendable (FollowState) -> Void,
        pollInterval: Duration = .seconds(1),
        usesNotification: Bool = true,
        timing: FollowTiming = FollowTiming()
    ) {
        self.paths = paths
        var settings = settings
        settings.name = name
        self.settings = settings
        self.messageBytesMax = messageBytesMax
        self.known = known
        self.board = FollowBoard(state)
        var timing = timing
        timing.poll = pollInterval
        self.timing = timing
        self.usesNotification = usesNotification
    }

    package var streams: [StreamDescription] { [] }
    package func beginning(of stream: Int) -> MessageBlock? { nil }
    package func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? { nil }

    package func run(_ host: some StreamHost) async throws {
        let table = FollowTable(
            paths: self.paths,
            timing: self.timing,
            board: self.board,
            usesNotification: self.usesNotification,
            known: self.known
        )
        defer { table.stop() }
        try await withThrowingDiscardingTaskGroup { group in
            let (news, numbers) = (table.news, table.numbers)
            while !group.isCancelled {
                try Task.checkCancellation()
                for file in try await table.look() {
                    group.addTask {
                        defer { news.end(file) }
                        try await self.follow(file, host, numbers)
                    }
                }
                await table.wait()
            }
        }
        try Task.checkCancellation()
    }

    /// Reads a file to its end. What is wrong with it is its own affair: it is told, and tried again.
    private func follow(_ file: FollowedFile, _ host: some StreamHost, _ numbers: StreamNumbers) async throws {
        var delay = self.timing.retry
        while true {
            do {
                try await host.assign(file.description(self.settings, numbers)) { level in
                    FollowReader(file, from: level, messageBytesMax: self.messageBytesMax, self.timing, self.board)
                }
                file.recover(self.board)
                return
            } catch let error as StreamDataError {
                file.fail(error.description, remedy: FollowBoard.damageRemedy, self.board)
            } catch let error as InputError {
                file.fail(error.detail, remedy: FollowBoard.remedy(error), self.board)
            }
            try await Task.sleep(for: delay)
            delay = min(delay * 2, self.timing.retryMax)
        }
    }
}

extension FollowedFile {
    fileprivate func fail(_ reason: String, remedy: String, _ board: FollowBoard) {
        self.recover(board)
        let path = self.withState { state in
            let location = state.place.location
            state.failure = location.path ?? location.label
            return state.failure ?? location.label
        }
        board.fail(path, reason, remedy: remedy)
    }

    /// It can be read.
    func recover(_ board: FollowBoard) {
        let path = self.withState { state in
            defer { state.failure = nil }
            return state.failure
        }
        if let path { board.recover(path) }
    }
}
