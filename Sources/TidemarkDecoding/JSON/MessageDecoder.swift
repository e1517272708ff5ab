package import TidemarkCore

/// Turns one message into the change events it holds, whatever format it is in.
///
/// Pure: what comes out depends on the message and the source's settings, never on the messages before it. Its buffers
/// are used again, so that decoding a row allocates nothing. One decoder for each task that decodes.
///
/// Methods on a message's way are mutating, whether they change anything or not: what only borrows a decoder has all of
/// it copied first, some ten times for each message.
package struct MessageDecoder: ~Copyable, Sendable {
    let settings: SourceSettings
    let wants: Wants
    let gtidOrder: GTIDOrder
    /// Of updates too it matters which columns of the row before them are believed.
    let namesIdentityColumns: Bool
    let names = WireNameTable.shared
    var document: JSONDocument
    var schemas = SchemaHintCache()
    private var known = MembersCache()
    private var lastRoot: MembersCache.Root?
    var identityRules = IdentityRuleCache()
    /// The headers that are wanted, each as `$header.NAME`.
    let headerNames: [[UInt8]]
    /// Rows that name no table are of the one that the settings name.
    private let takesPlainRows: Bool
    var dumpOrigins = DumpOrigins()
    /// The last message, where it was a line of a dump.
    var lastDump: DumpedMessage?
    /// A line of a dump holds no other one.
    var isInDump = false

    /// What only some ask of a message. What is not wanted may be missing, and the reason for its lack too: positions of
    /// Maxwell, key columns of all, databases of Tidemark's own lines.
    package struct Wants: OptionSet, Sendable {
        package static let positions = Wants(rawValue: 1)
        package static let primaryKeys = Wants(rawValue: 2)
        package static let databases = Wants(rawValue: 4)
        package static let all: Wants = [.positions, .primaryKeys, .databases]

        package let rawValue: UInt8

        package init(rawValue: UInt8) { self.rawValue = rawValue }
    }

    /// - Parameters:
    ///   - headers: those that projections name, each as `$header.NAME`.
    ///   - extraDepth: how much deeper than usual a message may be nested.
    package init(settings: SourceSettings, wants: Wants = .all, headers: [[UInt8]] = [], extraDepth: Int = 0) {
        self.headerNames = headers
        self.takesPlainRows = settings.table != nil
        self.document = JSONDocument(extraDepth: extraDepth)
        self.settings = settings
        self.wants = wants
        self.gtidOrder = GTIDOrder(settings.gtidOrder)
        self.namesIdentityColumns = settings.replicaIdentities.namesColumns
    }

    /// Decodes one message into `message`, whose former content is dropped.
    ///
    /// Afterwards exactly one of these holds: `failure` is set; `isControl` is set; or `events` and `rowFailures`
    /// together have one entry for each row. Ranges refer to `message.bytes`.
    package mutating func decode(_ line: UnsafeRawBufferPointer, into message: inout DecodedMessage) {
        self.decodeValue(line, into: &message)
        guard self.takesPlainRows, message.events.contains(where: { $0.table.isEmpty }) else { return }
        message.reset()
        message.failure = Rejection(
            .unknownFormat,
            "the row names no table, and comes from no topic (table: from_topic); name the table, as in table: shop.orders"
        )
    }

    /// Decodes what has no record, or whose record is still to be regarded.
    mutating func decodeValue(_ line: UnsafeRawBufferPointer, into message: inout DecodedMessage) {
        message.resetAllButBytes()
        if !self.isInDump, self.lastDump != nil { self.lastDump = nil }
        do throws(Rejection) {
            let line = WireFrame.begins(line) ? try self.body(of: line) : line
            try self.document.parse(line)
            self.document.replaceBytes(of: &message.bytes)
            message.isVerbatim = self.document.byteCount == line.count + 1
            switch self.document.kind(JSONDocument.root) {
            case .null: message.isControl = true
            case .object: try self.decodeObject(into: &message)
            default: throw self.unknown(message)
            }
        } catch {
            message.reset()
            message.failure = error
        }
    }

    /// The JSON text behind the header of a schema registry.
    @inline(never)
    private func body(of line: UnsafeRawBufferPointer) throws(Rejection) -> UnsafeRawBufferPointer {
        guard let body = WireFrame.body(of: line) else { throw WireFrame.rejection(line) }
        return body
    }

    private mutating func decodeObject(into message: inout DecodedMessage) throws(Rejection) {
        let last = self.lastRoot.take()
        let root = self.known.root(of: self.document, names: self.names, after: last)
        if root.members.has(.topic), !self.isInDump, let dumped = self.dumped(root.members, in: message) {
            self.lastRoot = consume root
            self.decode(dumped, into: &message)
            if let failure = message.failure { throw failure }
            return
        }
        do throws(Rejection) {
            try self.decodeObject(root.members, into: &message)
        } catch {
            self.lastRoot = consume root
            throw error
        }
        self.lastRoot = consume root
    }

    private mutating func decodeObject(
        _ members: Members,
        into message: inout DecodedMessage
    ) throws(Rejection) {
        switch self.settings.format {
        case .tidemark: try self.decodeTidemark(members, into: &message)
        case .maxwell: try self.decodeMaxwell(JSONDocument.root, members, into: &message)
        case .canal: try self.decodeCanal(JSONDocument.root, members, into: &message)
        case .debezium, .auto:
            switch self.shape(of: members, at: JSONDocument.root, message.bytes) {
            case .envelope: try self.decodeEnvelope(JSONDocument.root, members, hints: nil, into: &message)
            case .flattened: try self.decodeFlattened(JSONDocument.root, members, hints: nil, into: &message)
            case .wrapped: try self.decodeWrapped(members, into: &message)
            case .debeziumControl: message.isControl = true
            case .tidemark where self.settings.format == .auto: try self.decodeTidemark(members, into: &message)
            case .canal where self.settings.format == .auto:
                try self.decodeCanal(JSONDocument.root, members, into: &message)
            case .maxwell where self.settings.format == .auto:
                try self.decodeMaxwell(JSONDocument.root, members, into: &message)
            default: throw self.unknown(message)
            }
        }
    }

    mutating func members(of object: Int) -> Members {
        self.known.members(of: object, in: self.document, names: self.names)
    }

    // MARK: Shapes

    enum Shape {
        case tidemark, envelope, wrapped, flattened, debeziumControl, maxwell, canal
    }

    mutating func shape(of members: Members, at object: Int, _ bytes: [UInt8]) -> Shape? {
        let shape = self.ownShape(of: members, at: object, bytes)
        guard self.takesPlainRows else { return shape }
        switch shape {
        case nil: return .flattened
        // A row may have columns of these names.
        case .tidemark, .maxwell, .canal: return self.settings.format == .debezium ? .flattened : shape
        case .envelope, .wrapped, .flattened, .debeziumControl: return shape
        }
    }

    private mutating func ownShape(of members: Members, at object: Int, _ bytes: [UInt8]) -> Shape? {
        if members.has(.metaTable) { return .flattened }
        // Before the others: Maxwell's filters add members of any name.
        if members.has(.database), members.has(.type) {
            let isCanal =
                members.has(.isDdl) || members.has(.es) || members.has(.pkNames) || members.has(.mysqlType)
                || members.has(.sqlType) || members[.data].map { self.document.kind($0) == .array } ?? false
            return isCanal ? .canal : .maxwell
        }
        if members.has(.op) {
            if self.document.object(members[.source]) != nil { return .envelope }
            return members.has(.table) ? .tidemark : nil
        }
        // TiCDC leaves the schema out where it is told to.
        if members.has(.payload), members.has(.schema) || members.count == 1 { return .wrapped }
        if members.has(.encrypted) { return .maxwell }
        return self.isControl(object, among: ControlForm.debezium, of: bytes) ? .debeziumControl : nil
    }

    /// Why nothing is known of the message's shape: what it has, and what would do.
    func unknown(_ message: DecodedMessage, at object: Int = JSONDocument.root) -> Rejection {
        let expected: String =
            switch self.settings.format {
            case .auto:
                "Tidemark (\"table\", \"op\"), Debezium (\"op\", \"source\"; \"schema\", \"payload\"; or rows with"
                    + " \"__table\"), Maxwell (\"database\", \"table\", \"type\", \"data\") or Canal (the same and"
                    + " \"isDdl\" or \"es\")"
            case .debezium:
                "Debezium (\"op\", \"source\"; \"schema\", \"payload\"; or flattened rows with \"__table\", which"
                    + " `add.fields` adds)"
            case .tidemark: "Tidemark (\"table\", \"op\")"
            case .maxwell: "Maxwell (\"database\", \"table\", \"type\", \"data\")"
            case .canal: "Canal (\"database\", \"table\", \"type\", \"data\")"
            }
        return Rejection(.unknownFormat, "\(self.seen(message, at: object)); expected \(expected)")
    }

    private func seen(_ message: DecodedMessage, at node: Int) -> String {
        guard self.document.kind(node) == .object else {
            return "the message is \(self.document.excerpt(node, of: message.bytes))"
        }
        let count = self.document.childCount(node)
        guard count > 0 else { return "the message is an empty object" }
        let names = self.document.children(of: node).prefix(12).map { self.document.excerpt($0, of: message.bytes) }
        let more = count > names.count ? " and \(count - names.count) more" : ""
        return "an object with \(names.joined(separator: ", "))\(more)"
    }

    /// A member that is not what its format says.
    func invalid(_ member: String, _ node: Int, in message: DecodedMessage, expected: String) -> Rejection {
        let value = self.document.excerpt(node, of: message.bytes)
        return Rejection(.valueInvalid, "\"\(member)\" is \(value), expected \(expected)")
    }

    /// A message whose type no row has, and which holds more than messages of that type do: it may be a row.
    func notOnlyControl(_ type: Int, of object: Int, in message: DecodedMessage) -> Rejection {
        let text = self.document.excerpt(type, of: message.bytes)
        return Rejection(
            .unknownFormat,
            "\(self.seen(message, at: object)) is of \"type\" \(text), whose messages have other members or other values,"
                + " so it is not dropped as one of them"
        )
    }

    /// A member that its format cannot do without.
    func missing(_ member: String, in message: DecodedMessage) -> Rejection {
        var rejection = self.unknown(message)
        rejection.detail = "\"\(member)\" is missing: " + rejection.detail
        return rejection
    }
}

extension MessageDecoder {
    /// Notes the key columns that the array `node` names, where it is one of names.
    mutating func notePrimaryKey(_ node: Int?, in message: inout DecodedMessage) {
        guard self.wants.contains(.primaryKeys), let node, self.document.kind(node) == .array else { return }
        var element = node + 1
        for _ in 0..<self.document.childCount(node) {
            guard let name = self.document.string(element) else { return message.primaryKey.removeAll() }
            message.primaryKey.append(name)
            element = self.document.next(element)
        }
    }
}
