/// How far a lane has come in a file: everything before it is committed.
package struct Checkpoint: Sendable, Hashable {
    package var file: Int64
    package var offset: Int64
    package var row: Int32
    package var line: Int64
    package var isFinished: Bool

    package init(file: Int64, offset: Int64 = 0, row: Int32 = 0, line: Int64 = 0, isFinished: Bool = false) {
        self.file = file
        self.offset = offset
        self.row = row
        self.line = line
        self.isFinished = isFinished
    }

    /// Whether an item at this place has been committed.
    package func covers(offset: Int64, row: Int32) -> Bool {
        (offset, row) < (self.offset, self.row)
    }

    package static func isBefore(_ left: Checkpoint, _ right: Checkpoint) -> Bool {
        (left.offset, left.row) < (right.offset, right.row)
    }
}
