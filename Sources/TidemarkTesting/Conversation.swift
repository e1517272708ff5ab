import NIOCore
import NIOPosix

/// Sends text over a TCP connection of its own, for what no HTTP client says.
/// - Parameter act: runs once something has come.
/// - Returns: what came until the other end closed the connection.
package func converse(
    _ host: String,
    _ port: Int,
    _ text: String,
    onAnswer act: () async throws -> Void = {}
) async throws -> String {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(host: host, port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
    return try await channel.executeThenClose { inbound, outbound in
        try await outbound.write(ByteBuffer(string: text))
        var answer = ""
        for try await part in inbound {
            if answer.isEmpty { try await act() }
            answer += String(buffer: part)
        }
        return answer
    }
}
