import PlatformC
import TidemarkCore

/// What the configured paths lead to now: files, and the folders in which others may appear.
struct FolderListing {
    struct Found {
        /// Without `.`, `..` and doubled slashes; links stay as they are.
        var path: String
        var status: FileStatus
    }

    /// One for each file, however many paths lead to it, in the order of the paths.
    private(set) var files: [Found] = []
    private(set) var folders: Set<String> = []
    /// Where paths lead that are links.
    private(set) var targets: [String: String] = [:]
    private(set) var errors: [InputError] = []
    /// Files whose names are not UTF-8. Apart from ``errors``, because the listing is complete all the same.
    private(set) var misnamed: [InputError] = []
    /// Paths that lead to nothing yet.
    private(set) var missing: [InputError] = []
    private var known: [InputFile.Identity: Int] = [:]

    /// - Parameter paths: absolute ones.
    init(_ paths: [String]) {
        for path in paths {
            do throws(InputError) {
                try self.add(path)
            } catch {
                if error.isAbsence { self.missing.append(error) } else { self.errors.append(error) }
            }
        }
    }

    private mutating func matches(of pattern: String) throws(InputError) -> [String] {
        var folders: Set<String> = []
        var misnamed: [InputError] = []
        defer {
            self.folders.formUnion(folders)
            self.misnamed += misnamed
        }
        return try InputResolver.matches(
            of: pattern,
            willList: { folders.insert($0) },
            refuse: { misnamed.append($0) }
        )
    }

    private mutating func add(_ path: String) throws(InputError) {
        let status: FileStatus
        do throws(SystemError) {
            status = try FileStatus(of: path)
        } catch {
            guard error.isAbsence else { throw error.opening(path) }
            guard GlobPattern.isPattern(path) else {
                self.folders.insert(Self.folder(of: path))
                throw error.opening(path)
            }
            for match in try self.matches(of: path) { self.enter(match) }
            return
        }
        // A file may be called as a pattern that matches it; the others that it matches are meant all the same.
        if GlobPattern.isPattern(path), let found = try? self.matches(of: path), found.contains(path) {
            for match in found { self.enter(match) }
            return
        }
        switch status.kind {
        case .folder:
            self.folders.insert(path)
            var misnamed: [InputError] = []
            let names = try InputResolver.names(in: path) { name throws(InputError) in
                if !name.isHidden, name.kind == .regular { misnamed.append(name.error) }
            }
            self.misnamed += misnamed
            let paths = names.filter { !$0.begins(with: ".") }.map { InputResolver.join(path, $0) }
            for file in InputResolver.inByteOrder(paths) { self.enter(file) }
        case .regular:
            self.folders.insert(Self.folder(of: path))
            self.enter(path)
        case .stream, .other:
            throw InputError(.unreadable, path: path, detail: "is no regular file, and so cannot be followed")
        }
    }

    private mutating func enter(_ path: String) {
        guard let status = try? FileStatus(of: path), status.kind == .regular else { return }
        if let link = try? FileStatus(of: path, followingLinks: false), link.kind != .regular,
            let target = Self.target(of: path)
        {
            // Its changes are told where it is.
            self.folders.insert(Self.folder(of: target))
            self.targets[path] = target
        }
        guard self.known[status.identity] == nil else { return }
        self.known[status.identity] = self.files.count
        self.files.append(Found(path: path, status: status))
    }

    func file(_ identity: InputFile.Identity) -> Found? { self.known[identity].map { self.files[$0] } }

    static func folder(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    /// Where a path leads to by links.
    static func target(of path: String) -> String? {
        guard let target = realpath(path, nil) else { return nil }
        defer { free(target) }
        return String(cString: target)
    }

    /// All regular files of folders, whatever they are called, by device and inode.
    static func everyFile(in folders: Set<String>) -> [InputFile.Identity: Found] {
        var files: [InputFile.Identity: Found] = [:]
        for folder in folders.sorted() {
            for name in (try? InputResolver.names(in: folder)) ?? [] {
                let path = InputResolver.join(folder, name)
                guard let status = try? FileStatus(of: path, followingLinks: false), status.kind == .regular,
                    files[status.identity] == nil
                else { continue }
                files[status.identity] = Found(path: path, status: status)
            }
        }
        return files
    }
}

extension InputError {
    /// What is not there may come.
    fileprivate var isAbsence: Bool { [.missing, .noMatch, .emptyFolder].contains(self.code) }
}
