// swift-tools-version: 6.2
import PackageDescription

// Apart from Tidemark's own package, and without dependencies: it builds in seconds, and measures the program that users run.
let package = Package(
    name: "tidemark-benchmarks",
    platforms: [.macOS(.v26)],
    targets: [
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),

        // The data, seeded.
        .executableTarget(name: "make-log"),
        // The contestant that does no more than the database must.
        .executableTarget(name: "floor", dependencies: ["CLibPQ"], path: "Contestants/floor"),
        // Runs the contestants, and prints the table.
        .executableTarget(name: "bench", dependencies: ["CLibPQ"]),
    ]
)

for target in package.targets where target.type == .executable && target.name != "floor" {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ]
}
