import Foundation
import Testing
import TidemarkTesting

/// Peak memory of a replay whose messages are as large as they may be: the budget for what waits for its commit counts
/// them, whether they are good or not. `make memory` measures the release build with more of them.
@Suite(.freshDatabase, .serialized, .timeLimit(.minutes(10)))
struct MemoryTests {
    private static let configuration = """
        limits: { message_bytes: 64MiB, max_dead_letters: 100000 }
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            columns: { id: bigint, version: bigint, note: text }

        """

    /// - Parameters:
    ///   - bytes: the length of each line, about.
    ///   - isBroken: the line ends within its text.
    /// - Returns: `VmHWM` of the process as last seen, in MB.
    private static func peak(lines: Int, bytes: Int, isBroken: Bool) async throws -> Int {
        var peak = 0
        try await withWorkplace(Self.configuration) { place, _ in
            let log = place.folder.appendingPathComponent("log.ndjson")
            try Data().write(to: log)
            let file = try FileHandle(forWritingTo: log)
            let filler = String(repeating: "x", count: bytes)
            for number in 1...lines {
                let start =
                    #"{"table":"shop.orders","op":"update","after":{"id":\#(number),"version":1,"note":"\#(filler)"#
                try file.write(contentsOf: Data((start + (isBroken ? "\n" : "\"}}\n")).utf8))
            }
            try file.close()
            let process = try TidemarkProcess(
                ["replay", "--no-deliver", "--json", log.path],
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder
            )
            try await wait("the end of the replay", atMost: .seconds(300)) {
                peak = max(peak, Self.highWaterMark(of: process.identifier) ?? 0)
                return process.isOver
            }
            let result = try await process.result()
            #expect(result.status == 0, "\(result.error)")
            let summary = try result.json()
            #expect(summary[isBroken ? "dead_letters" : "applied"] as? Int == lines, "\(result.output)")
        }
        return peak
    }

    private static func highWaterMark(of process: Int32) -> Int? {
        let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let line = status?.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return line?.split(separator: " ").dropLast().last.flatMap { Int($0) }.map { $0 * 1024 / 1_000_000 }
    }

    /// 300 MB of dead letters.
    @Test func brokenLines() async throws {
        let peak = try await Self.peak(lines: 300, bytes: 1 << 20, isBroken: true)
        #expect(peak > 20 && peak < 200, "\(peak) MB")
    }

    /// 360 MB of images.
    @Test func largeMessages() async throws {
        let peak = try await Self.peak(lines: 24, bytes: 15_000_000, isBroken: false)
        #expect(peak > 20 && peak < 300, "\(peak) MB")
    }
}
