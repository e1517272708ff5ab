package import TidemarkConfiguration
import TidemarkCore
#if Kafka
    import TidemarkKafka
#endif
#if RocketMQ
    import TidemarkRocketMQ
#endif

/// What keeps sources from being made though their configuration can be read.
package enum SourceProblems {
    /// Makes a client for each source of Kafka, and destroys it; reads the files of TLS of each source of RocketMQ.
    package static func find(in configuration: Configuration) -> [ConfigurationIssue] {
        var issues: [ConfigurationIssue] = []
        #if Kafka
            issues += self.sources(configuration) { $0.kafka.flatMap { KafkaSource.problem(with: $0) } }
        #endif
        #if RocketMQ
            issues += self.sources(configuration) { $0.rocketmq.flatMap { RocketMQSource.problem(with: $0.access) } }
        #endif
        #if Kafka || RocketMQ
            issues += self.publications(configuration)
        #endif
        return issues
    }

    private static func sources(
        _ configuration: Configuration,
        _ problem: (SourceConfiguration) -> String?
    ) -> [ConfigurationIssue] {
        configuration.sources.enumerated().compactMap { index, source in
            guard let location = configuration.sourceLocations[source.name], let problem = problem(source) else {
                return nil
            }
            return ConfigurationIssue(location: location, path: "sources[\(index)]", message: problem)
        }
    }

    #if Kafka || RocketMQ
        private static func publications(_ configuration: Configuration) -> [ConfigurationIssue] {
            configuration.publications.enumerated().compactMap { index, publication in
                guard let location = configuration.sourceLocations[publication.source],
                    let problem = PublishRunner.problem(with: publication.target)
                else { return nil }
                return ConfigurationIssue(location: location, path: "publications[\(index)]", message: problem)
            }
        }
    #endif
}
