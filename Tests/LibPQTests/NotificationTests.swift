import Testing

@testable import LibPQ

@Suite(.timeLimit(.minutes(15)))
struct NotificationTests {
    @Test
    func whatAnotherConnectionSendsArrives() async throws {
        let channel = TestServer.uniqueName()
        let listener = try await TestServer.connect()
        let sender = try await TestServer.connect()
        try await listener.execute("LISTEN \(channel)")
        #expect(try await listener.notifications(timeout: .zero).isEmpty)
        async let arriving = listener.notifications(timeout: .seconds(60))
        _ = try await sender.query("SELECT pg_notify($1, $2)", [.text(channel), .text("wake 'up'")])
        let expected = Notification(channel: channel, payload: "wake 'up'", backendPID: sender.backendPID)
        #expect(try await arriving == [expected])
    }

    @Test
    func whatArrivesDuringAnotherCommandIsKept() async throws {
        let channel = TestServer.uniqueName()
        let connection = try await TestServer.connect()
        try await connection.execute("LISTEN \(channel); NOTIFY \(channel), 'a'; NOTIFY \(channel), 'b'")
        _ = try await connection.pipeline([.sql("SELECT 1")])
        let payloads = try await connection.notifications(timeout: .seconds(60)).map(\.payload)
        #expect(payloads == ["a", "b"])
    }

    @Test
    func cancellingTheTaskEndsTheWait() async throws {
        let connection = try await TestServer.connect()
        let task = Task { try await connection.notifications(timeout: .seconds(3600)) }
        task.cancel()
        #expect(try await task.value.isEmpty)
        #expect(try await connection.query("SELECT 1").int32(0, 0) == 1)
        #expect(try await connection.notifications(timeout: .milliseconds(1)).isEmpty)
    }
}
