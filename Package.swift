// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "tidemark",
    platforms: [.macOS(.v26)],
    products: [
        .executable(name: "tidemark", targets: ["tidemark"]),
        .executable(name: "tidemark-receiver", targets: ["tidemark-receiver"]),
        .library(name: "TidemarkConfiguration", targets: ["TidemarkConfiguration"]),
        .library(name: "TidemarkCore", targets: ["TidemarkCore"]),
        .library(name: "TidemarkNotifier", targets: ["TidemarkNotifier"]),
        .library(name: "TidemarkService", targets: ["TidemarkService"]),
    ],
    traits: [
        .default(enabledTraits: ["Kafka", "RocketMQ"]),
        .trait(name: "Kafka", description: "Sources of Kafka, by librdkafka."),
        .trait(name: "RocketMQ", description: "Sources of RocketMQ, by its remoting protocol."),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-async-algorithms", from: "1.1.4"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        // For our own metrics; Hummingbird's package names it too.
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        // What Hummingbird's channels hand on; named for a handler of ours.
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        // Without its traits: neither swift-configuration nor all of Foundation is needed for a few JSON pages.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        // For tests alone: the other end of HTTP and of TLS.
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        // The C border: one target for each library, nothing else in it.
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CLibCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CLibSSL", pkgConfig: "libssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CLibDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
        .systemLibrary(name: "CRdKafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(
            name: "CSimdJSON",
            cxxSettings: [.define("NDEBUG", .when(configuration: .release))],
            linkerSettings: [.linkedLibrary("simdjson")]
        ),
        // The platform's C library, under one name.
        .target(name: "PlatformC"),
        .target(name: "LibPQ", dependencies: ["CLibPQ", "PlatformC"]),

        .target(name: "TidemarkCore", dependencies: ["CLibCrypto"]),
        .plugin(name: "EmbedSchema", capability: .buildTool()),
        .target(name: "TidemarkDecoding", dependencies: ["TidemarkCore", "CSimdJSON", "PlatformC"]),
        .target(
            name: "TidemarkStore",
            dependencies: [
                "TidemarkCore", "LibPQ",
                .product(name: "Logging", package: "swift-log"),
            ],
            plugins: ["EmbedSchema"]
        ),
        .target(
            name: "TidemarkSources",
            dependencies: [
                "TidemarkCore", "TidemarkStore", "LibPQ", "CZlib", "CZstd", "PlatformC",
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        // A source for each partition that a consumer group gives.
        .target(
            name: "TidemarkKafka",
            dependencies: [
                "PlatformC", "TidemarkCore", .target(name: "CRdKafka", condition: .when(traits: ["Kafka"])),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        // TLS on SwiftNIO's channels, by OpenSSL.
        .target(
            name: "TidemarkTLS",
            dependencies: [
                "CLibSSL", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
            ]
        ),
        // RocketMQ's remoting protocol as bytes; pure.
        .target(name: "RocketMQCodec", dependencies: ["CLibCrypto", "CLibDeflate", "CZlib", "CZstd", "PlatformC"]),
        // A source for each queue that falls to a member of a consumer group.
        .target(
            name: "TidemarkRocketMQ",
            dependencies: [
                "PlatformC", "RocketMQCodec", "TidemarkCore", "TidemarkTLS",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]
        ),
        .target(
            name: "TidemarkProjector",
            dependencies: [
                "TidemarkCore", "TidemarkDecoding",
                .product(name: "AsyncAlgorithms", package: "swift-async-algorithms"),
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
        .target(
            name: "TidemarkConfiguration",
            dependencies: ["TidemarkCore", .product(name: "Yams", package: "Yams")]
        ),
        .target(
            name: "TidemarkEphemeral",
            dependencies: [
                "LibPQ", "PlatformC", "TidemarkCore",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ]
        ),
        .target(
            name: "TidemarkNotifier",
            dependencies: [
                "CCurl", "CLibCrypto", "LibPQ", "PlatformC", "TidemarkCore", "TidemarkStore",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ]
        ),
        // What a process does, without a terminal: replays, rebuilds, comparisons, retries, deliveries.
        .target(
            name: "TidemarkService",
            dependencies: [
                "LibPQ", "TidemarkConfiguration", "TidemarkCore", "TidemarkDecoding", "TidemarkNotifier",
                "PlatformC", "TidemarkProjector", "TidemarkSources", "TidemarkStore", "TidemarkTLS",
                .target(name: "TidemarkKafka", condition: .when(traits: ["Kafka"])),
                .target(name: "TidemarkRocketMQ", condition: .when(traits: ["RocketMQ"])),
                .product(name: "AsyncAlgorithms", package: "swift-async-algorithms"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        ),
        .target(
            name: "TidemarkCommands",
            dependencies: [
                "LibPQ", "PlatformC", "TidemarkConfiguration", "TidemarkCore", "TidemarkDecoding",
                "TidemarkEphemeral", "TidemarkNotifier", "TidemarkProjector", "TidemarkService", "TidemarkSources",
                "TidemarkStore",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncAlgorithms", package: "swift-async-algorithms"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),
        .executableTarget(
            name: "tidemark",
            dependencies: [
                "PlatformC", "TidemarkCommands", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),

        // The receiving end of a webhook, for the demo and for tests. Apart from TidemarkTesting, which links Testing.
        .target(
            name: "TidemarkReceiver",
            dependencies: [
                "TidemarkCore",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]
        ),
        .executableTarget(
            name: "tidemark-receiver",
            dependencies: [
                "PlatformC", "TidemarkReceiver",
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),

        .target(
            name: "TidemarkTesting",
            dependencies: [
                "TidemarkCore", "TidemarkProjector", "LibPQ",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Subprocess", package: "swift-subprocess"),
            ]
        ),
        // Brokers for tests, in a process of their own.
        .executableTarget(name: "tidemark-kafka-mock", dependencies: ["CRdKafka"]),
        .target(
            name: "RocketMQMock",
            dependencies: [
                "RocketMQCodec",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]
        ),
        .executableTarget(name: "tidemark-rocketmq-mock", dependencies: ["RocketMQMock"]),
        // Broken messages for the decoders: `make fuzz`, and the tests that replay what it found.
        .target(name: "TidemarkFuzzing", dependencies: ["RocketMQCodec", "TidemarkCore", "TidemarkDecoding"]),
        .executableTarget(name: "tidemark-fuzz", dependencies: ["TidemarkFuzzing"]),

        // Beside the other benchmarks, but of this package: they measure what is no public interface.
        .executableTarget(
            name: "decode-benchmark",
            dependencies: ["TidemarkCore", "TidemarkDecoding", "TidemarkSources"],
            path: "Benchmarks/Decode"
        ),
        // Figures of the notifier: make bench-notifier.
        .executableTarget(
            name: "notifier-benchmark",
            dependencies: [
                "LibPQ", "TidemarkNotifier", "TidemarkStore",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Benchmarks/Notifier"
        ),

        .testTarget(name: "TidemarkCoreTests", dependencies: ["TidemarkCore", "TidemarkFuzzing", "TidemarkTesting"]),
        .testTarget(name: "LibPQTests", dependencies: ["CLibPQ", "LibPQ", "TidemarkTesting"]),
        .testTarget(
            name: "TidemarkDecodingTests",
            dependencies: ["TidemarkCore", "TidemarkDecoding", "TidemarkFuzzing", "TidemarkTesting"]
        ),
        .testTarget(name: "RocketMQCodecTests", dependencies: ["RocketMQCodec", "TidemarkCore", "TidemarkTesting"]),
        .testTarget(
            name: "TidemarkSourcesTests",
            dependencies: ["CZlib", "CZstd", "TidemarkCore", "TidemarkSources", "TidemarkTesting"]
        ),
        .testTarget(
            name: "TidemarkStoreTests",
            dependencies: [
                "LibPQ", "TidemarkCore", "TidemarkSources", "TidemarkStore", "TidemarkTesting",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Subprocess", package: "swift-subprocess"),
            ]
        ),
        .testTarget(
            name: "TidemarkConfigurationTests",
            dependencies: ["TidemarkConfiguration", "TidemarkCore", "TidemarkTesting"]
        ),
        .testTarget(
            name: "TidemarkEphemeralTests",
            dependencies: [
                "TidemarkEphemeral", "TidemarkTesting",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Subprocess", package: "swift-subprocess"),
            ]
        ),
        .testTarget(
            name: "TidemarkProjectorTests",
            dependencies: [
                "TidemarkCore", "TidemarkProjector", "TidemarkSources", "TidemarkTesting",
            ]
        ),
        .testTarget(
            name: "TidemarkNotifierTests",
            dependencies: [
                "LibPQ", "TidemarkCore", "TidemarkNotifier", "TidemarkReceiver", "TidemarkStore", "TidemarkTesting",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Subprocess", package: "swift-subprocess"),
            ]
        ),
        .testTarget(
            name: "TidemarkTLSTests",
            dependencies: [
                "TidemarkTLS", "TidemarkTesting",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOTLS", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "TidemarkRocketMQTests",
            dependencies: [
                "RocketMQCodec", "RocketMQMock", "TidemarkCore", "TidemarkProjector", "TidemarkRocketMQ",
                "TidemarkTesting",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ]
        ),
        .testTarget(
            name: "TidemarkServiceTests",
            dependencies: [
                "PlatformC", "TidemarkCommands", "TidemarkConfiguration", "TidemarkService", "TidemarkTesting",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ]
        ),
        .testTarget(
            name: "TidemarkTestingTests",
            dependencies: [
                "TidemarkCore", "TidemarkReceiver", "TidemarkTesting",
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "Subprocess", package: "swift-subprocess"),
            ]
        ),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "LibPQ", "RocketMQCodec", "RocketMQMock", "TidemarkCommands", "TidemarkConfiguration", "TidemarkCore",
                "TidemarkDecoding", "TidemarkEphemeral",
                "TidemarkProjector", "TidemarkReceiver", "TidemarkService", "TidemarkSources", "TidemarkStore",
                "TidemarkTesting", "tidemark",
                .target(name: "tidemark-kafka-mock", condition: .when(traits: ["Kafka"])),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ]
        ),
    ],
    cxxLanguageStandard: .cxx17
)

// TIDEMARK_CORE_ONLY=1 leaves out SwiftNIO and what needs it: the rest builds in a fraction of
// the time, which is what the sanitizers need.
if Context.environment["TIDEMARK_CORE_ONLY"] == "1" {
    let kept: Set = [
        "EmbedSchema", "CLibPQ", "PlatformC", "CLibCrypto", "CLibDeflate", "CZlib", "CZstd", "CSimdJSON", "LibPQ",
        "TidemarkCore",
        "TidemarkDecoding", "RocketMQCodec", "RocketMQCodecTests",
        "TidemarkSources", "TidemarkStore", "TidemarkProjector", "TidemarkFuzzing", "TidemarkTesting",
        "TidemarkCoreTests", "LibPQTests",
        "TidemarkDecodingTests", "TidemarkSourcesTests", "TidemarkProjectorTests", "TidemarkStoreTests",
    ]
    package.targets.removeAll { !kept.contains($0.name) }
    package.products = [.library(name: "TidemarkCore", targets: ["TidemarkCore"])]
    let used = ["swift-async-algorithms", "swift-log", "swift-subprocess", "swift-system"]
    package.dependencies.removeAll { dependency in
        guard case .sourceControl(_, let location, _) = dependency.kind else { return false }
        return !used.contains { location.hasSuffix("/" + $0) }
    }
}

for target in package.targets where [.regular, .test, .executable].contains(target.type) && target.name != "CSimdJSON" {
    target.swiftSettings =
        (target.swiftSettings ?? []) + [
            .enableUpcomingFeature("ExistentialAny"),
            .enableUpcomingFeature("InternalImportsByDefault"),
            .enableUpcomingFeature("MemberImportVisibility"),
            .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        ]
}
