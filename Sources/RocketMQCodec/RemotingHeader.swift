/// The two ways to write a header. A server answers in its own, whatever the request was written in.
enum RemotingHeader {
    // MARK: JSON

    /// In the order of the recorded requests. Brokers write a response's in the order of the names.
    static func json(of command: RemotingCommand) -> [UInt8] {
        var bytes: [UInt8] = []
        var isFirst = true
        func member(_ name: String, _ body: (inout [UInt8]) -> Void) {
            bytes += isFirst ? Array("{\"".utf8) : Array(",\"".utf8)
            isFirst = false
            bytes += name.utf8
            bytes += Array("\":".utf8)
            body(&bytes)
        }
        func fields() {
            member("extFields") { bytes in
                var separator = UInt8(ascii: "{")
                for field in command.fields {
                    bytes.append(separator)
                    separator = UInt8(ascii: ",")
                    RemotingJSON.append(field.name, to: &bytes)
                    bytes.append(UInt8(ascii: ":"))
                    RemotingJSON.append(field.value, to: &bytes)
                }
                if command.fields.isEmpty { bytes.append(separator) }
                bytes.append(UInt8(ascii: "}"))
            }
        }
        member("code") { $0 += "\(command.code)".utf8 }
        if command.isResponse {
            fields()
            member("flag") { $0 += "\(command.flag)".utf8 }
        }
        member("language") { RemotingJSON.append(command.language, to: &$0) }
        if !command.isResponse { member("version") { $0 += "\(command.version)".utf8 } }
        member("opaque") { $0 += "\(command.opaque)".utf8 }
        if !command.isResponse { member("flag") { $0 += "\(command.flag)".utf8 } }
        if let remark = command.remark { member("remark") { RemotingJSON.append(remark, to: &$0) } }
        member("serializeTypeCurrentRPC") { RemotingJSON.append(command.serialization.name, to: &$0) }
        if command.isResponse {
            member("version") { $0 += "\(command.version)".utf8 }
        } else if !command.fields.isEmpty {
            fields()
        }
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    static func command(json bytes: UnsafeRawBufferPointer) throws(RocketMQDataError) -> RemotingCommand {
        let header = try LenientJSON(bytes)
        guard case .object = header else { throw RocketMQDataError("a header is no JSON object") }
        func number(_ name: String) throws(RocketMQDataError) -> Int32? {
            guard let value = header[name], value != .null else { return nil }
            guard let number = value.integer.flatMap({ Int32(exactly: $0) }) else {
                throw RocketMQDataError(
                    "a header has \(name) \(value.text.map { String($0.prefix(40)) } ?? "that is no number")"
                )
            }
            return number
        }
        guard let code = try number("code") else { throw RocketMQDataError("a header has no code") }
        var command = RemotingCommand(code: code)
        command.language = header["language"]?.text ?? ""
        command.version = try number("version") ?? 0
        command.opaque = try number("opaque") ?? 0
        command.flag = try number("flag") ?? 0
        command.remark = header["remark"]?.text
        for member in header["extFields"]?.members ?? [] {
            guard let value = member.value.text else { continue }
            command.fields.append(.init(member.name, value))
        }
        return command
    }

    // MARK: Binary

    /// By their numbers; a number without a name is `OTHER`.
    private static let languages = [
        "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS", "RUST",
    ]
    private static let other: UInt8 = 7

    static func binary(of command: RemotingCommand) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: Int16(clamping: command.code))
        bytes.append(Self.languages.firstIndex(of: command.language).map { UInt8($0) } ?? Self.other)
        bytes.append(bigEndian: Int16(clamping: command.version))
        bytes.append(bigEndian: command.opaque)
        bytes.append(bigEndian: command.flag)
        bytes.append(text: command.remark ?? "", Int32.self)
        var fields: [UInt8] = []
        for field in command.fields {
            fields.append(text: field.name, Int16.self)
            fields.append(text: field.value, Int32.self)
        }
        bytes.append(bigEndian: Int32(clamping: fields.count))
        return bytes + fields
    }

    static func command(binary bytes: UnsafeRawBufferPointer) throws(RocketMQDataError) -> RemotingCommand {
        var input = ByteInput(bytes, "a binary header")
        var command = RemotingCommand(code: Int32(try input.integer(Int16.self)))
        let language = Int(try input.integer(UInt8.self))
        command.language = Self.languages.indices.contains(language) ? Self.languages[language] : "OTHER"
        command.version = Int32(try input.integer(Int16.self))
        command.opaque = try input.integer()
        command.flag = try input.integer()
        let remark = try input.text(Int32.self)
        command.remark = remark.isEmpty ? nil : remark
        let fields = try input.field(Int32.self)
        var rest = ByteInput(bytes, fields, "the extFields of a binary header")
        while rest.remaining > 0 {
            let name = try rest.text(Int16.self)
            command.fields.append(.init(name, try rest.text(Int32.self)))
        }
        command.serialization = .rocketmq
        return command
    }
}
