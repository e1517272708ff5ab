import Foundation
import Subprocess
import Testing
import TidemarkTesting

/// `fixtures/cases/`: one folder for each shape of message or step of an operator that was misread once, with the right
/// result. Each runs through the command line and public SQL alone; `fixtures/cases/run.sh` says how.
@Suite(.timeLimit(.minutes(5)))
struct CaseTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "fixtures/cases")

    /// Names of the folders; at least one, so that a moved folder is noticed.
    static let names: [String] = {
        let found = try? FileManager.default.contentsOfDirectory(atPath: Self.root.path)
        let names = (found ?? []).filter {
            FileManager.default.fileExists(atPath: Self.root.appending(path: "\($0)/case.sh").path)
        }
        precondition(!names.isEmpty, "there are no cases in \(Self.root.path)")
        return names.sorted()
    }()

    @Test(arguments: Self.names)
    func `a case ends in its expected result, whatever the order of arrival`(_ name: String) async throws {
        let executable = try #require(TidemarkProcess.executable, "there is no tidemark beside the test bundle")
        let result = try await Subprocess.run(
            .name("bash"),
            arguments: [
                Self.root.appending(path: "run.sh").path, executable.path, Self.root.appending(path: name).path,
            ],
            output: .string(limit: 1 << 20),
            error: .string(limit: 1 << 20)
        )
        #expect(
            result.terminationStatus.isSuccess,
            "\(name):\n\(result.standardOutput)\(result.standardError)"
        )
    }
}
