/// Which event each column of an entity's row comes from, for rows that no single complete image explains.
///
/// A column takes its value from the greatest event that carries it. A complete image carries every column, and so does
/// a delete, as gone: no column of an event below the greatest delete is ever taken. So three marks and the columns
/// above them are all there is to know: the greatest delete, the greatest complete image above it, and for each column
/// that a partial image above both carried, the greatest that did. All of them are maxima, so the order of arrival does
/// not show.
///
/// A base may lack columns itself (`open`): placeholders of an image that is complete but for them, and columns that were
/// configured after it had been seen. Each of those comes from the greatest event that carries it, below the base too.
///
/// An entity whose greatest event is a complete image or a delete needs none of this, and keeps none.
package struct ColumnState: Sendable, Hashable {
    /// The greatest delete, a truncate of the entity's table included.
    package var deleted: [UInt8]?
    /// The greatest complete image above it.
    package var base: [UInt8]?
    /// Columns that the base does not carry.
    package var open: Set<[UInt8]> = []
    /// The base does not carry the state.
    package var isStateOpen = false
    /// For each column, the greatest partial image above both that carries it; of an open one, the greatest event of all
    /// above `deleted`.
    package var columns: [[UInt8]: [UInt8]] = [:]
    /// For each column that partial images named without its value, the greatest of them above `deleted`.
    package var named: [[UInt8]: [UInt8]] = [:]
    /// The greatest partial image above both that carries the state.
    package var state: [UInt8]?
    /// The source tables that the entity's events came from, where truncates are deletes.
    package var tables: Set<[UInt8]> = []
    /// The greatest event that had been seen when a column was last added to the configuration, as long as the base lacks
    /// such a column. Read again, an event up to here does not carry it.
    package var seen: [UInt8]?

    package init() {}

    /// What a row without marks of its own stands for: one complete image, or a delete.
    package init(highWater: [UInt8]?, isDeleted: Bool) {
        if isDeleted { self.deleted = highWater } else { self.base = highWater }
    }

    /// Whether the row is what one event made it: nothing has to be kept beside its order key.
    package func isExplained(by highWater: [UInt8]?) -> Bool {
        guard self.tables.isEmpty, self.open.isEmpty, !self.isStateOpen else { return false }
        return self.columns.isEmpty && self.state == nil && (self.base ?? self.deleted) == highWater
    }
}

/// Reads consecutive fields, each after its length in four bytes; all ones stand for none.
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
