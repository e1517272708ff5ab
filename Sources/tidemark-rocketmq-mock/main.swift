import Foundation
import RocketMQMock

/// At once: a pipe would hold lines back.
func say(_ text: String) { try? FileHandle.standardOutput.write(contentsOf: Data("\(text)\n".utf8)) }

struct Failure: Error, CustomStringConvertible {
    var description: String
}

/// Puts each line of a file into the queue that its key names: a number, a tab, and the body.
func load(_ path: String, into topic: String, queues: Int, of broker: RocketMQBroker) throws {
    guard let file = fopen(path, "r") else { throw Failure(description: "\(path) cannot be read") }
    defer { fclose(file) }
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    while case let count = getline(&line, &capacity, file), count > 0, let line {
        let bytes = UnsafeRawBufferPointer(start: line, count: count)
        let text = bytes.last == 10 ? bytes.dropLast() : bytes[...]
        guard let tab = text.firstIndex(of: 9), let key = Int(String(decoding: text[..<tab], as: UTF8.self)) else {
            throw Failure(description: "a line is no number, tab and body")
        }
        let queue = Int32(key % queues)
        broker.append(Array(text[(tab + 1)...]), to: topic, queue: queue, [("KEYS", "\(key)")])
    }
}

/// One command, its words separated by tabs:
///
///     topic NAME QUEUES
///     send TOPIC QUEUE KEY BODY
///     load TOPIC QUEUES FILE              a message for each line: its key, a number, a tab, and its body
///     offset GROUP TOPIC QUEUE            says what a group has stored, -1 for nothing
func perform(_ words: [Substring], on broker: RocketMQBroker) throws {
    func text(_ index: Int) -> String { index < words.count ? String(words[index]) : "" }
    func number(_ index: Int) -> Int { Int(text(index)) ?? 0 }
    switch text(0) {
    case "topic": broker.createTopic(text(1), queues: number(2))
    case "send": broker.send(text(4), to: text(1), queue: Int32(number(2)), keys: text(3))
    case "load": try load(text(3), into: text(1), queues: number(2), of: broker)
    case "offset": say("\(broker.offset(of: text(1), text(2), queue: Int32(number(3))) ?? -1)")
    default: throw Failure(description: "no such command: \(text(0))")
    }
}

do {
    let broker = try await RocketMQBroker()
    say(broker.address)
    // Until who started it closes it.
    while let line = readLine() {
        do {
            try perform(line.split(separator: "\t", omittingEmptySubsequences: false), on: broker)
            say("ok")
        } catch {
            say("failed: \(error)")
        }
    }
    await broker.stop()
} catch {
    say("failed: \(error)")
    exit(1)
}
