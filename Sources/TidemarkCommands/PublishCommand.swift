#if Kafka || RocketMQ
    public import ArgumentParser
    import Foundation
    import LibPQ
    import Logging
    import Synchronization
    public import TidemarkConfiguration
    import TidemarkCore
    import TidemarkService
    import TidemarkSources

    extension PublicationForm: ExpressibleByArgument {}

    extension PublicationType: ExpressibleByArgument {}

    struct PublishCommand: ReportingCommand {
        static let configuration = CommandConfiguration(
            commandName: "publish",
            abstract: "Write a source to a topic of Kafka or RocketMQ, keyed by entity.",
            discussion: """
                Each event goes to the partition that Kafka's own clients choose for its
                entity's key (murmur2), by an idempotent producer that waits for all
                replicas in sync. Which columns are the key is what the projections say
                that take its table, or --from and --key.

                With --to rocketmq each event goes to the queue that Java's producers
                choose for its key as sharding key, with the key as KEYS and the table
                as TAGS.

                The database stores how far a source has been written to a topic, and
                the same command goes on from there, also after kill -9. What was sent
                and not yet stored is sent again, which consumers see as repeats.

                A source of a broker, or one that is followed, is written until a signal
                comes. `publications` in the configuration has `tidemark run` do it.

                Exit codes: 0 done, 1 failed, 64 usage, 66 no such input, 69 database
                unreachable, 78 configuration, 130 and 143 ended by a signal.
                """
        )

        @Argument(help: "A source of the configuration, or files, folders and globs; - for standard input.")
        var source: [String]

        @Option(help: "The topic that is written to.")
        var topic: String

        @Option(help: "kafka (default), or rocketmq.")
        var to: PublicationType = .kafka

        @Option(help: "With --to rocketmq: host:port of name servers (default: those that are configured).")
        var nameServers: [String] = []

        @Option(help: "host:port of brokers (default: those of the publication or the source that is configured).")
        var brokers: [String] = []

        @Option(help: "A property of librdkafka, NAME=VALUE.")
        var option: [String] = []

        @Option(help: "original (default): the message as it came; tidemark: a line of Tidemark's own for each event.")
        var message: PublicationForm?

        @Flag(help: "Stamp a number that rises with each event of its entity into the header tidemark-sequence.")
        var sequence = false

        @Flag(help: "Write everything again, whatever was written before.")
        var again = false

        @Flag(help: "Record nothing: write everything from the beginning, without a database.")
        var noDatabase = false

        @Option(help: "The configuration file (default: tidemark.yaml, unless --key is given).")
        var config: String?

        @Option(help: "With --key: the tables that are written (default: all).")
        var from: [String] = []

        @Option(help: "Without a file: the key column, or several with commas.")
        var key: [String] = []

        @OptionGroup var database: DatabaseOptions
        @OptionGroup var logging: LoggingOptions

        @Flag(help: "Print the summary as JSON on standard output.")
        var json = false

        func validate() throws {
            if !self.key.isEmpty, self.config != nil {
                throw ValidationError("--key is for use without a configuration file; give it or --config")
            }
            if self.key.isEmpty, !self.from.isEmpty { throw ValidationError("--from goes with --key") }
            if self.noDatabase, self.sequence {
                throw ValidationError("--sequence counts in the database; leave --no-database away")
            }
            if self.noDatabase, self.again { throw ValidationError("--no-database writes everything again anyway") }
            if self.to == .rocketmq, !self.brokers.isEmpty || !self.option.isEmpty {
                throw ValidationError("--brokers and --option go with --to kafka; give --name-servers")
            }
            if self.to == .kafka, !self.nameServers.isEmpty {
                throw ValidationError("--name-servers goes with --to rocketmq")
            }
            for option in self.option where !option.contains("=") {
                throw ValidationError("--option \(option) is not NAME=VALUE")
            }
        }

        func perform() async throws {
            Allocator.configure()
            let configuration = try self.load()
            let publication = try self.publication(configuration)
            if let problem = PublishRunner.problem(with: publication.configuration.target) {
                throw CommandFailure(ExitStatus.configuration, problem)
            }
            guard !self.noDatabase else { return try await self.publish(publication, configuration, nil) }
            try await withDatabase(
                self.database,
                configured: configuration.database,
                role: "publish",
                makesServer: true,
                logger: self.logging.logger
            ) { session in
                let connection = try await session.connectAsWriter(logger: self.logging.logger)
                await connection.close()
                try await self.publish(publication, configuration, session.options)
            }
        }

        private func load() throws -> Configuration {
            guard self.key.isEmpty else {
                return try Configuration.quick(
                    from: self.from.isEmpty ? ["*.*"] : self.from,
                    key: self.key,
                    sequence: ["$received"],
                    state: nil,
                    table: "public.published"
                ).configuration
            }
            let options = try ConfigurationOptions.file(self.config)
            return try options.load(ignoresDatabase: self.noDatabase || self.database.overridesFile).configuration
        }

        /// What is configured of the publication, under what the options say.
        private func publication(_ configuration: Configuration) throws -> Publication {
            let name = self.source.count == 1 ? self.source[0] : self.source.joined(separator: " ")
            let known = configuration.publications.first {
                $0.source == name && $0.target.topic == self.topic && $0.target.type == self.to
            }
            let source = configuration.sources.first { $0.name == name }
            let target = try self.target(known?.target, source)
            var publication = known ?? PublicationConfiguration(source: name, target: target)
            publication.target = target
            if let mistake = source.flatMap({ publication.mistake(reading: $0) }) {
                guard mistake.key == "topic" else {
                    throw CommandFailure(ExitStatus.configuration, "source \(name) \(mistake.text)")
                }
                throw CommandFailure(ExitStatus.usage, "--topic \(self.topic) \(mistake.text)")
            }
            if let message = self.message { publication.form = message }
            if self.sequence { publication.stampsSequence = true }
            return Publication(publication, keys: configuration.projections)
        }

        /// - Parameter known: what is configured.
        private func target(_ known: PublicationTarget?, _ source: SourceConfiguration?) throws -> PublicationTarget {
            switch (self.to, known) {
            case (.kafka, .kafka(let target)?): try self.kafka(target, source?.kafka)
            case (.kafka, _): try self.kafka(KafkaTarget(), source?.kafka)
            case (.rocketmq, .rocketmq(let target)?): try self.rocketmq(target, source?.rocketmq)
            case (.rocketmq, _): try self.rocketmq(RocketMQTarget(), source?.rocketmq)
            }
        }

        private func rocketmq(_ known: RocketMQTarget, _ source: RocketMQSettings?) throws -> PublicationTarget {
            #if !RocketMQ
                throw CommandFailure(ExitStatus.usage, "--to rocketmq is not in this build of Tidemark")
            #else
                var target = known
                target.topic = self.topic
                if target.access.nameServers.isEmpty, let source { target.access = source.access }
                if !self.nameServers.isEmpty { target.access.nameServers = self.nameServers }
                guard !target.access.nameServers.isEmpty else {
                    throw CommandFailure(
                        ExitStatus.usage,
                        "no name servers are named; give --name-servers 127.0.0.1:9876"
                    )
                }
                if let mistake = RocketMQSettings.mistake(inTopic: self.topic) {
                    throw CommandFailure(ExitStatus.usage, "--topic \(self.topic) \(mistake)")
                }
                return .rocketmq(target)
            #endif
        }

        private func kafka(_ known: KafkaTarget, _ source: KafkaSettings?) throws -> PublicationTarget {
            #if !Kafka
                throw CommandFailure(ExitStatus.usage, "--to kafka is not in this build of Tidemark")
            #else
                var target = known
                target.topic = self.topic
                if !self.brokers.isEmpty { target.brokers = self.brokers }
                if target.brokers.isEmpty, let source {
                    target.brokers = source.brokers
                    target.options = source.options.filter { Self.isAboutConnections($0.key) }
                }
                guard !target.brokers.isEmpty else {
                    throw CommandFailure(ExitStatus.usage, "no brokers are named; give --brokers 127.0.0.1:9092")
                }
                for option in self.option {
                    let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                        .map(String.init)
                    if let reason = KafkaTarget.refusedOptions[parts[0]] {
                        throw CommandFailure(ExitStatus.usage, "--option \(parts[0]) is not passed on: \(reason)")
                    }
                    target.options[parts[0]] = parts[1]
                }
                if let mistake = KafkaTarget.mistake(inTopic: self.topic) {
                    throw CommandFailure(ExitStatus.usage, "--topic \(self.topic) \(mistake)")
                }
                return .kafka(target)
            #endif
        }

        /// Of a consumer's options, those that a producer for the same brokers needs too.
        private static func isAboutConnections(_ option: String) -> Bool {
            ["security.", "sasl.", "ssl.", "broker.address.", "socket.", "client."].contains { option.hasPrefix($0) }
        }

        private func publish(
            _ publication: Publication,
            _ configuration: Configuration,
            _ options: ConnectionOptions?
        ) async throws {
            let logger = self.logging.logger
            let runner = PublishRunner(publication, options, logger: logger)
            let source = configuration.sources.first { $0.name == publication.configuration.source }
            let task = Task {
                if let source {
                    return try await runner.publish(source, configuration, isAgain: self.again) { reason in
                        if let reason { logger.warning("waiting for the source: \(reason)") }
                    }
                }
                let files = try InputResolver.resolve(self.source).map { file in
                    (file, configuration.settings(forFile: file.absolutePath))
                }
                let limit = configuration.limits.messageBytes
                return try await runner.publish(files, messageBytesMax: limit, isAgain: self.again)
            }
            let signals = SignalWatch()
            await signals.start { task.cancel() }
            do {
                let counts = try await task.value
                self.report(counts, publication)
            } catch is CancellationError {
                throw ExitCode(128 + (signals.received ?? SIGINT))
            } catch let error as any SourceFailure {
                let remedy =
                    error.isTransient
                    ? "once brokers answer, the same command goes on behind what was written" : error.remedy
                throw CommandFailure(ExitStatus.failed, "\(error); \(remedy)")
            }
            if let signal = signals.received { throw ExitCode(128 + signal) }
        }

        private func report(_ counts: PublicationCounts, _ publication: Publication) {
            let numbers = [
                ("messages", counts.messages), ("records", counts.records), ("control", counts.control),
                ("filtered", counts.filtered), ("unkeyed", counts.unkeyed),
            ]
            guard !self.json else {
                return Terminal.print(JSONOutput.object(numbers.map { (name: $0.0, json: "\($0.1)") }))
            }
            Terminal.print(Terminal.escaped("published \(publication.configuration.name)"))
            for (name, number) in numbers where number > 0 || name == "messages" || name == "records" {
                Terminal.print("  \(name) \(number)")
            }
            guard counts.unkeyed > 0 else { return }
            let messages = "\(counts.unkeyed) message\(counts.unkeyed == 1 ? "" : "s")"
            self.logging.logger.warning(
                "\(messages) written as they came, without a key: no events, or events without one"
            )
        }
    }
#endif
