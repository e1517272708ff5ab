/// Why an input cannot be read, or be read any further.
package struct InputError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable {
        /// There is no file of that name.
        case missing
        /// No file matches the pattern.
        case noMatch
        /// The folder holds no file.
        case emptyFolder
        /// It is there, and cannot be opened or is nothing that can be read.
        case unreadable
        /// Its name is not UTF-8, as the names of streams are.
        case misnamed
        /// This process, or the system, may open no more files.
        case tooManyOpen
        /// It is no longer the file that was found at the start.
        case changed
        /// The system refused a read.
        case readFailed
        /// It begins as no lines of text in UTF-8 do.
        case foreign
        /// A compressed stream or a JSON array ends too early; every whole line before that point has been delivered.
        case truncated
        /// A compressed stream is damaged; every whole line before that point has been delivered.
        case corrupt
        /// The ``Interrupt`` was raised: there may be more to read.
        case interrupted
    }

    package let code: Code
    /// As the user gave it, or as a folder or a pattern led to it.
    package let path: String
    /// Where in the decompressed stream the good bytes end, for `.truncated` and `.corrupt`.
    package let offset: Int64?
    package let detail: String

    package init(_ code: Code, path: String, offset: Int64? = nil, detail: String) {
        self.code = code
        self.path = path
        self.offset = offset
        self.detail = detail
    }

    package var description: String { "\(self.path): \(self.detail)\(self.remedy.map { "; \($0)" } ?? "")" }

    /// What an operator can do about it, where the detail does not say so.
    var remedy: String? {
        switch self.code {
        case .misnamed: "rename it"
        case .tooManyOpen: "raise the limit of open files (ulimit -n, LimitNOFILE=)"
        default: nil
        }
    }

    /// What was asked for cannot be opened: nothing has been read yet.
    package var isMissingInput: Bool {
        [.missing, .noMatch, .emptyFolder, .unreadable, .misnamed, .tooManyOpen].contains(self.code)
    }

    /// The content is at fault, not the system.
    package var isBadData: Bool {
        [.foreign, .truncated, .corrupt].contains(self.code)
    }
}
