import Foundation

/// At once: a pipe would hold lines back.
func say(_ text: String) { try? FileHandle.standardOutput.write(contentsOf: Data("\(text)\n".utf8)) }

do {
    let mock = try Mock(brokers: CommandLine.arguments.dropFirst().first.flatMap { Int32($0) } ?? 3)
    say(mock.bootstrap)
    // Until the end of the test closes it.
    while let line = readLine() {
        do {
            try mock.perform(line.split(separator: "\t", omittingEmptySubsequences: false), say)
            say("ok")
        } catch {
            say("failed: \(error.text)")
        }
    }
} catch {
    say("failed: \(error)")
    exit(1)
}
