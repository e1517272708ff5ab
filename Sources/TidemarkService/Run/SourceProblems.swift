package import TidemarkConfiguration
#if Kafka
    import TidemarkKafka
#endif

/// What keeps sources from being made though their configuration can be read.
package enum SourceProblems {
    /// Makes a client for each source of Kafka, and destroys it.
    package static func find(in configuration: Configuration) -> [ConfigurationIssue] {
        #if Kafka
            self.publications(configuration)
                + configuration.sources.enumerated().compactMap { index, source in
                    guard let kafka = source.kafka, let location = configuration.sourceLocations[source.name],
                        let problem = KafkaSource.problem(with: kafka)
                    else { return nil }
                    return ConfigurationIssue(
                        location: location,
                        path: "sources[\(index)]",
                        message: problem
                    )
                }
        #else
            []
        #endif
    }

    #if Kafka
        private static func publications(_ configuration: Configuration) -> [ConfigurationIssue] {
            configuration.publications.enumerated().compactMap { index, publication in
                guard let location = configuration.sourceLocations[publication.source],
                    let problem = KafkaProducer.problem(with: publication.target)
                else { return nil }
                return ConfigurationIssue(location: location, path: "publications[\(index)]", message: problem)
            }
        }
    #endif
}
