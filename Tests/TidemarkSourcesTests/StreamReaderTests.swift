import Dispatch
import Foundation
import Testing
import TidemarkCore
import TidemarkSources

/// Standard input and named pipes: whatever comes, when it comes.
@Suite(.timeLimit(.minutes(15)))
struct StreamReaderTests {
    private func reader(_ pipe: TestPipe, interrupt: Interrupt = Interrupt()) throws -> LineReader {
        try LineReader(.standardInput, messageBytesMax: 1000, interrupt: interrupt, standardInput: pipe.readEnd)
    }

    @Test func `a line on an idle pipe is delivered at once`() throws {
        let pipe = TestPipe()
        let reader = try self.reader(pipe)
        pipe.send("one\n".utf8)
        #expect(try reader.nextBlock()?.messages.count == 1)
        pipe.send("two\nthr".utf8)
        let second = try #require(try reader.nextBlock())
        #expect(second.messages.map(\.offset.major) == [4])
        #expect(second.bytes.capacity < 1000)
        pipe.send("ee\n".utf8)
        #expect(try reader.nextBlock()?.messages.first?.ordinal == 3)
        #expect(!reader.isAtEnd)
        pipe.finish()
        #expect(try reader.nextBlock() == nil)
        #expect(reader.isAtEnd)
    }

    @Test func `a line of flushed gzip on an idle pipe is delivered at once`() throws {
        let pipe = TestPipe()
        let reader = try self.reader(pipe)
        let member = gzip("one\n".utf8)
        pipe.send(member.prefix(1))
        pipe.send(member.dropFirst())
        #expect(try reader.nextBlock()?.messages.count == 1)
        pipe.send(gzip("two\n".utf8))
        #expect(try reader.nextBlock()?.messages.first?.offset.major == 4)
        pipe.finish()
        #expect(try reader.nextBlock() == nil)
    }

    @Test func `a pipe that brings byte after byte gives the same lines`() throws {
        let content = Array("\u{FEFF}one\r\n\n \ntwo\nthree".utf8)
        for bytes in [content, gzip(content)] {
            let pipe = TestPipe()
            DispatchQueue.global().async {
                for byte in bytes { pipe.send([byte]) }
                pipe.finish()
            }
            let (lines, error) = try self.reader(pipe).readAll()
            #expect(lines == linesExpected(of: content))
            #expect(error == nil)
        }
    }

    @Test func `a named pipe is read without being opened before its time`() throws {
        try withTemporaryFolder { folder in
            let path = folder.path + "/pipe"
            #expect(mkfifo(path, 0o600) == 0)
            let file = try #require(try InputResolver.resolve([path]).first)
            #expect(file.kind == .stream && file.size == 0 && file.digest.isEmpty)
            let reader = try LineReader(file, messageBytesMax: 1000, interrupt: Interrupt())
            DispatchQueue.global().async {
                let handle = FileHandle(forWritingAtPath: path)
                try? handle?.write(contentsOf: Data("one\ntwo\n".utf8))
                try? handle?.close()
            }
            #expect(reader.readAll().lines == [ReadLine(0, 1, "one"), ReadLine(4, 2, "two")])
        }
    }

    @Test func `an interrupt ends a read that waits`() throws {
        for _ in 0..<50 {
            let pipe = TestPipe()
            let interrupt = Interrupt()
            let reader = try self.reader(pipe, interrupt: interrupt)
            pipe.send("one\ntw".utf8)
            #expect(try reader.nextBlock()?.messages.count == 1)
            let isAboutToWait = DispatchSemaphore(value: 0)
            DispatchQueue.global().async {
                isAboutToWait.wait()
                interrupt.raise()
            }
            isAboutToWait.signal()
            let error = #expect(throws: InputError.self) { try reader.nextBlock() }
            #expect(error?.code == .interrupted)
            #expect(!reader.isAtEnd && reader.offset == 4)
            // It stays raised, for every reader.
            #expect(throws: InputError.self) { try reader.nextBlock() }
            #expect(throws: InputError.self) { try self.reader(pipe, interrupt: interrupt).nextBlock() }
            pipe.finish()
        }
    }

    @Test func `an interrupt ends the reading of a file between two reads`() throws {
        try withTemporaryFolder { folder in
            let interrupt = Interrupt()
            let file = try folder.file("log", "one\ntwo\n".utf8)
            let reader = try LineReader(file, messageBytesMax: 10, interrupt: interrupt, readBytes: 4)
            #expect(try reader.nextBlock()?.messages.count == 1)
            interrupt.raise()
            #expect(#expect(throws: InputError.self) { try reader.nextBlock() }?.code == .interrupted)
            #expect(interrupt.isRaised)
        }
    }
}
