import Foundation
import HTTPTypes
import HummingbirdCore
import struct NIOCore.ByteBuffer
import TidemarkCore

/// An answer that is JSON, for programs and for people in a browser.
enum HTTPAnswer {
    static func json(_ status: HTTPResponse.Status, _ body: some Encodable) -> Response {
        Self.text(status, "application/json", Self.bytes(body))
    }

    /// The current time as a `Date` header (RFC 9110, 5.6.7). `strftime` writes English names, because the program never
    /// calls `setlocale`.
    static var date: String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S GMT", &parts)
        return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The bytes of an answer, for who writes it past Hummingbird.
    static func errorBytes(_ message: String) -> [UInt8] { Self.bytes(["error": message]) }

    private static func bytes(_ body: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data = (try? encoder.encode(body)) ?? Data("{}".utf8)
        let json = JSONOutput.shown(String(decoding: data, as: UTF8.self))
        return Array((json + "\n").utf8)
    }

    static func text(_ status: HTTPResponse.Status, _ type: String, _ data: some Sequence<UInt8>) -> Response {
        Response(
            status: status,
            headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: data))
        )
    }

    static func error(_ status: HTTPResponse.Status, _ message: String, retryAfter: Int? = nil) -> Response {
        var response = Self.json(status, ["error": message])
        if let retryAfter { response.headers[.retryAfter] = "\(retryAfter)" }
        return response
    }
}
