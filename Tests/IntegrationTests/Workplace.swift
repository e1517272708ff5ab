import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// A folder with a configuration and logs, and a database of the test's own, for running `tidemark` in.
struct Workplace {
    let folder: URL
    let database = TestDatabase.current

    @discardableResult
    func write(_ name: String, _ text: String) throws -> URL {
        let file = self.folder.appendingPathComponent(name)
        try Data(text.utf8).write(to: file)
        return file
    }

    @discardableResult
    func write(_ name: String, lines: [String]) throws -> URL {
        try self.write(name, lines.map { $0 + "\n" }.joined())
    }

    func run(_ arguments: String..., input: Data? = nil) async throws -> TidemarkProcess.Result {
        try await self.run(arguments, input: input)
    }

    func run(_ arguments: [String], input: Data? = nil) async throws -> TidemarkProcess.Result {
        try await TidemarkProcess.run(
            arguments,
            input: input,
            environment: ["DATABASE_URL": self.database.url],
            directory: self.folder
        )
    }

    /// Starts `tidemark run`; ``TidemarkProcess/stop(sourceLocation:)`` ends it.
    /// - Parameter environment: over this process's, without its database.
    func startService(
        _ arguments: [String] = ["--no-deliver"],
        environment: [String: String] = [:]
    ) throws -> TidemarkProcess {
        try TidemarkProcess(
            ["run"] + arguments,
            environment: environment.merging(["DATABASE_URL": self.database.url]) { $1 },
            directory: self.folder
        )
    }

    /// Runs the service until its log has a text, and stops it.
    func runService(untilItSays text: String) async throws {
        let service = try self.startService()
        try await wait("it says \(text)", atMost: .seconds(60)) {
            service.isOver ? true : try service.errorSoFar().contains(text)
        }
        try await service.stop()
    }

    /// Runs what has to succeed.
    @discardableResult
    func succeed(
        _ arguments: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> TidemarkProcess.Result {
        let result = try await self.run(arguments)
        try #require(
            result.status == 0,
            "\(arguments.joined(separator: " ")): \(result.error) \(result.output)",
            sourceLocation: sourceLocation
        )
        return result
    }

    func replay(_ file: URL, sourceLocation: SourceLocation = #_sourceLocation) async throws -> [String: Any] {
        let result = try await self.run(["replay", "--json", "--no-deliver", "--lanes", "1", file.path])
        try #require(result.status == 0, "\(result.error)", sourceLocation: sourceLocation)
        return try result.json()
    }
}

/// - Parameter yaml: becomes `tidemark.yaml`.
func withWorkplace(_ yaml: String, _ body: (Workplace, Connection) async throws -> Void) async throws {
    try await withFolder { folder in
        let place = Workplace(folder: folder)
        try place.write("tidemark.yaml", yaml)
        let connection = try await place.database.connect()
        try await body(place, connection)
        await connection.close()
    }
}

/// Every line fits a terminal of 80 columns and moves no cursor.
func expectReadable(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) {
    for line in text.split(separator: "\n") {
        #expect(line.count <= 80, "\(line)", sourceLocation: sourceLocation)
    }
    for scalar in text.unicodeScalars {
        let isControl = scalar.value < 0x20 && scalar != "\n" || (0x7F..<0xA0).contains(scalar.value)
        #expect(!isControl && scalar.value != 0x202E, sourceLocation: sourceLocation)
    }
}
