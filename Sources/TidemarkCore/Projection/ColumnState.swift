/// Which event each column of an entity's row comes from, for rows that no single complete image explains.
///
/// A column takes its value from the greatest event that carries it. A complete image carries every column, and so does
/// a delete, as gone: no column of an event below the greatest delete is ever taken. So three marks and the columns
/// above them are all there is to know: the greatest delete, the greatest complete image above it, and for each column
/// that a partial image above both carried, the greatest that did. All of them are maxima, so the order of arrival does
/// not show.
///
/// An entity whose greatest event is a complete image or a delete needs none of this, and keeps none.
package struct ColumnState: Sendable, Hashable {
    /// The greatest delete, a truncate of the entity's table included.
    package var deleted: [UInt8]?
    /// The greatest complete image above it.
    package var base: [UInt8]?
    /// For each column, the greatest partial image above both that carries it.
    package var columns: [[UInt8]: [UInt8]] = [:]
    /// For each column that partial images named without its value, the greatest of them above `deleted`.
    package var named: [[UInt8]: [UInt8]] = [:]
    /// The greatest partial image above both that carries the state.
    package var state: [UInt8]?
    /// The source tables that the entity's events came from, where truncates are deletes.
    package var tables: Set<[UInt8]> = []

    package init() {}

    /// What a row without marks of its own stands for: one complete image, or a delete.
    package init(highWater: [UInt8]?, isDeleted: Bool) {
        if isDeleted { self.deleted = highWater } else { self.base = highWater }
    }

    /// Whether the row is what one event made it: nothing has to be kept beside its order key.
    package func isExplained(by highWater: [UInt8]?) -> Bool {
        guard self.tables.isEmpty else { return false }
        return self.columns.isEmpty && self.state == nil && (self.base ?? self.deleted) == highWater
    }

    // MARK: As bytes

    /// The form in which the database keeps it: marks and names, each behind its length.
    package var bytes: [UInt8] {
        var output: [UInt8] = []
        for mark in [self.deleted, self.base, self.state] { Self.append(mark, to: &output) }
        for marks in [self.columns, self.named] {
            output.appendBigEndian(UInt32(marks.count))
            for (name, key) in marks.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                Self.append(name, to: &output)
                Self.append(key, to: &output)
            }
        }
        output.appendBigEndian(UInt32(self.tables.count))
        for table in self.tables.sorted(by: { $0.lexicographicallyPrecedes($1) }) { Self.append(table, to: &output) }
        return output
    }

    private static func append(_ bytes: [UInt8]?, to output: inout [UInt8]) {
        output.appendBigEndian(bytes.map { UInt32($0.count) } ?? .max)
        output.append(contentsOf: bytes ?? [])
    }

    /// - Returns: `nil` for bytes that ``bytes`` did not make.
    package init?(bytes: [UInt8]) {
        var reader = LengthPrefixedReader(bytes[...])
        do throws(LengthPrefixedReader.Cut) {
            self.deleted = try reader.next().map(Array.init)
            self.base = try reader.next().map(Array.init)
            self.state = try reader.next().map(Array.init)
            for marks in [\ColumnState.columns, \ColumnState.named] {
                for _ in 0..<(try reader.count()) {
                    guard let name = try reader.next(), let key = try reader.next() else { return nil }
                    self[keyPath: marks][Array(name)] = Array(key)
                }
            }
            for _ in 0..<(try reader.count()) {
                guard let table = try reader.next() else { return nil }
                self.tables.insert(Array(table))
            }
        } catch {
            return nil
        }
    }
}

/// Reads fields that stand behind one another, each behind its length in four bytes; all ones stand for none.
package struct LengthPrefixedReader {
    package struct Cut: Error {}

    private var rest: ArraySlice<UInt8>

    package init(_ bytes: ArraySlice<UInt8>) { self.rest = bytes }

    package var isAtEnd: Bool { self.rest.isEmpty }

    package mutating func count() throws(Cut) -> UInt32 {
        guard self.rest.count >= 4 else { throw Cut() }
        let count = self.rest.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        self.rest = self.rest.dropFirst(4)
        return count
    }

    /// The next field; `nil` for none.
    package mutating func next() throws(Cut) -> ArraySlice<UInt8>? {
        let count = try self.count()
        guard count != .max else { return nil }
        guard self.rest.count >= Int(count) else { throw Cut() }
        defer { self.rest = self.rest.dropFirst(Int(count)) }
        return self.rest.prefix(Int(count))
    }
}
