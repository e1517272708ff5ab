#if Kafka || RocketMQ
    package import LibPQ
    package import Logging
    import ServiceLifecycle
    package import TidemarkConfiguration
    import TidemarkCore
    import TidemarkStore

    /// Writes sources to topics for as long as a service runs: what is configured under `publications`. One that fails is
    /// begun again with growing delays, beside the others; of several processes one writes, and the others stand by.
    package struct PublishService: Service {
        private let configuration: Configuration
        private let options: ConnectionOptions
        private let board: HealthBoard
        private let logger: Logger
        /// Returns once the schema is there.
        private let isReady: @Sendable () async throws -> Void

        package init(
            _ configuration: Configuration,
            _ options: ConnectionOptions,
            board: HealthBoard,
            logger: Logger,
            isReady: @escaping @Sendable () async throws -> Void
        ) {
            self.configuration = configuration
            self.options = options
            self.board = board
            self.logger = logger
            self.isReady = isReady
        }

        package func run() async throws {
            do {
                try await cancelWhenGracefulShutdown {
                    try await self.isReady()
                    try await withThrowingDiscardingTaskGroup { group in
                        for publication in self.configuration.publications {
                            group.addTask { try await self.publish(publication) }
                        }
                        // Files that are not followed come to an end, and the service does not.
                        group.addTask { try await Gate().wait() }
                    }
                }
            } catch is CancellationError {}
        }

        private func publish(_ publication: PublicationConfiguration) async throws {
            guard let source = self.configuration.sources.first(where: { $0.name == publication.source }) else {
                return
            }
            let check = "publication \(publication.name)"
            let runner = PublishRunner(
                Publication(publication, keys: self.configuration.projections),
                self.options,
                logger: self.logger
            )
            var backoff = Backoff(limit: nil)
            self.board.set(check, .starting)
            while true {
                do {
                    _ = try await runner.publish(source, self.configuration) { [board = self.board] reason in
                        if let reason {
                            board.set(check, .waiting, reason: reason, remedy: "it goes on by itself")
                        } else {
                            board.set(check, .running)
                        }
                    }
                    return
                } catch is CancellationError {
                    throw CancellationError()
                } catch let error as PublicationStore.Failure {
                    self.board.set(check, .running, reason: "\(error)")
                    backoff = Backoff(limit: nil)
                } catch let error as any SourceFailure {
                    self.board.set(check, .failed, reason: "\(error)", remedy: error.remedy)
                } catch {
                    self.board.set(check, .failed, reason: "\(error)", remedy: "it is tried again by itself")
                }
                try await Task.sleep(for: backoff.next() ?? .seconds(10))
            }
        }
    }
#endif
