import LibPQ
import TidemarkCore
import TidemarkIngest
import TidemarkPostgres

/// The reader: from files to the lanes' mailboxes.
extension ReplayRunner {
    func read(_ setting: Setting, _ writer: WriterLock) async throws -> ReplayOutcome.Ending {
        guard let first = setting.inputs.first else { return .finished }
        var survey = PositionSurvey(setting.plans, known: setting.positionKinds)
        let messageBytesMax = self.request.configuration.limits.messageBytes
        survey.count(
            beginningsOf: zip(self.request.files, setting.inputs).map { ($0, $1.settings) },
            messageBytesMax: messageBytesMax
        )
        try await self.settle(&survey, writer)
        var router = EventRouter(
            plans: setting.plans,
            positionKinds: survey.kinds,
            settings: first.settings,
            lanes: setting.state.lanes,
            isStrict: self.request.isStrict
        )
        var guardian = DeadLetterGuard(self.request.configuration.limits.maxDeadLetters, earlier: setting.earlier)
        var readBefore: Int64 = 0
        for (file, input) in zip(self.request.files, setting.inputs) {
            defer { readBefore += file.size }
            guard let start = input.checkpoints.filter({ !$0.isFinished }).min(by: Checkpoint.isBefore) else {
                continue
            }
            router.use(input.settings)
            var end = start
            do {
                let reader = try LineReader(
                    file,
                    messageBytesMax: messageBytesMax,
                    interrupt: self.interrupt,
                    onWait: { setting.mailboxes.press() }
                )
                if start.offset > 0 { try reader.skip(toOffset: start.offset, lineNumber: start.line) }
                while let block = try reader.nextBlock() {
                    if survey.isOpen {
                        survey.count(block, input.settings)
                        try await self.settle(&survey, writer)
                        router.use(survey.kinds)
                    }
                    let routed = router.route(block, of: input)
                    reader.reuse(block)
                    guardian.count(messages: routed.messages, deadLetters: routed.deadLetters)
                    let bytesRead = readBefore + reader.rawOffset
                    self.progress.update { progress in
                        progress.bytesRead = bytesRead
                        progress.messagesRead += Int64(routed.messages)
                        progress.deadLetters += Int64(routed.deadLetters)
                    }
                    let isTaken = await setting.mailboxes.put(routed.runs) { !input.checkpoints[$0].isFinished }
                    guard isTaken else { return .interrupted }
                    if routed.isStopped { return .strict }
                    if let limit = guardian.exceeded { return .tooManyDeadLetters(limit: limit) }
                    if self.interrupt.isRaised { return .interrupted }
                }
                end.offset = reader.offset
                end.line = reader.lineNumber
            } catch let error as InputError {
                if error.code == .interrupted { return .interrupted }
                guard error.isBadData else { throw error }
                return .badInput(error.description)
            }
            var last = EventRun(file: input.file)
            last.close(at: end.offset, line: end.line, isEnd: true)
            let runs = Array(repeating: last, count: setting.mailboxes.count)
            let isTaken = await setting.mailboxes.put(runs) { !input.checkpoints[$0].isFinished }
            guard isTaken else { return .interrupted }
        }
        return .finished
    }

    /// Stores the kinds of position that have been settled before anything is ordered by them: whoever goes on from
    /// here reads other beginnings.
    private func settle(_ survey: inout PositionSurvey, _ writer: WriterLock) async throws {
        let settled = survey.settle()
        guard !settled.isEmpty else { return }
        var backoff = Backoff(limit: self.request.databaseWait)
        while true {
            do {
                let connection = try await writer.held(wait: self.request.databaseWait)
                for (name, kind) in settled {
                    try await ReplayStore.save(positionKind: kind, of: name, on: connection)
                }
                return
            } catch let error as PostgresError {
                guard error.isRetriable, let delay = backoff.next() else { throw error }
                try await Task.sleep(for: delay)
            }
        }
    }
}
