import PlatformC
import TidemarkCore

/// Finds the inputs that arguments and configured paths name, and makes sure that each can be read.
package enum InputResolver {
    /// The files, in the order of the arguments; those of a folder or a pattern in the byte order of their names.
    ///
    /// An argument is `-` for standard input, the path of a file, of a pipe, or of a folder (its files, without hidden
    /// ones and without folders within), or a pattern of files with `*`, `?`, `[…]` and `**`. Every file is opened once
    /// and closed again. A file that is named twice is there twice.
    /// - Throws: the first that is `.missing`, `.unreadable` or `.misnamed`, a pattern with `.noMatch`, an `.emptyFolder`.
    package static func resolve(_ arguments: [String]) throws(InputError) -> [InputFile] {
        var files: [InputFile] = []
        for argument in arguments {
            if argument == "-" {
                files.append(try self.standardInput())
                continue
            }
            let status: FileStatus
            do throws(SystemError) {
                status = try FileStatus(of: argument)
            } catch {
                guard error.isAbsence, GlobPattern.isPattern(argument) else { throw error.opening(argument) }
                for path in try self.matches(of: argument) { files.append(try self.inspectReadable(path)) }
                continue
            }
            // A file may be called as a pattern that matches it; the others that it matches are meant all the same.
            if GlobPattern.isPattern(argument), let found = try? self.matches(of: argument), found.contains(argument) {
                for path in found { files.append(try self.inspectReadable(path)) }
            } else if status.kind == .folder {
                for path in try self.files(in: argument) { files.append(try self.inspectReadable(path)) }
            } else {
                files.append(try self.inspectReadable(argument))
            }
        }
        return files
    }

    private static func standardInput() throws(InputError) -> InputFile {
        do throws(SystemError) {
            _ = try Descriptor(borrowing: STDIN_FILENO).status()
        } catch {
            throw InputError(.unreadable, path: "-", detail: "standard input cannot be read: \(error.text)")
        }
        return .standardInput
    }

    // MARK: One file

    private static func inspectReadable(_ path: String) throws(InputError) -> InputFile {
        let file = try self.inspect(path)
        if file.kind == .regular { try self.refuseForeign(file) }
        return file
    }

    private static func inspect(_ path: String) throws(InputError) -> InputFile {
        do throws(SystemError) {
            let status = try FileStatus(of: path)
            if status.kind == .regular { return try self.inspectRegular(path) }
            if status.kind == .stream {
                // Opening a pipe and closing it again would take its reader away from whoever writes.
                guard access(path, R_OK) == 0 else { throw SystemError() }
                return InputFile(
                    path: path,
                    absolutePath: self.absolutePath(of: path),
                    kind: .stream,
                    identity: status.identity
                )
            }
        } catch {
            throw error.opening(path)
        }
        throw InputError(.unreadable, path: path, detail: "is neither a file nor a pipe")
    }

    private static func inspectRegular(_ path: String) throws(SystemError) -> InputFile {
        let descriptor = try Descriptor(opening: path)
        let status = try descriptor.status()
        let head = try self.head(of: descriptor, count: Int(min(status.size, Int64(InputFile.digestedBytes))))
        return InputFile(regular: path, head: head, status)
    }

    private static func head(of descriptor: borrowing Descriptor, count: Int) throws(SystemError) -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { memory, filled throws(SystemError) in
            while filled < count {
                let rest = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: memory[filled...]))
                guard let read = try descriptor.readOnce(into: rest) else { continue }
                if read == 0 { break }
                filled += read
            }
        }
    }

    /// Reads the first bytes of a regular file, to refuse what is no lines before anything of any file is applied.
    private static func refuseForeign(_ file: InputFile) throws(InputError) {
        do throws(InputError) {
            let raw = try RawInput(file, standardInput: STDIN_FILENO, interrupt: Interrupt())
            var content = ByteStream(raw, readBytes: ContentStart.bytesMax, readsLines: true)
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: ContentStart.bytesMax, alignment: 1)
            defer { memory.deallocate() }
            _ = try content.read(into: memory)
        } catch {
            // Whatever else is wrong is found again when it is the file's turn.
            guard error.code == .foreign else { return }
            throw error
        }
    }

    static func absolutePath(of path: String) -> String {
        var whole = path
        if !path.begins(with: "/"), let folder = getcwd(nil, 0) {
            whole = String(cString: folder) + "/" + path
            free(folder)
        }
        var parts: [Substring] = []
        for part in whole.parts(between: "/") where !part.isEmpty && part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    // MARK: Folders and patterns

    private static func files(in folder: String) throws(InputError) -> [String] {
        let names = try self.names(in: folder) { name throws(InputError) in
            if !name.isHidden, name.kind == .regular { throw name.error }
        }
        let paths = names.filter { !$0.begins(with: ".") }.map { self.join(folder, $0) }.filter { self.isRegular($0) }
        guard !paths.isEmpty else {
            throw InputError(.emptyFolder, path: folder, detail: "there is no file in this folder")
        }
        return self.inByteOrder(paths)
    }

    /// The files that a pattern matches.
    /// - Parameters:
    ///   - willList: is told each folder in which a new name could be another match.
    ///   - refuse: is told each match whose name is not UTF-8.
    static func matches(
        of pattern: String,
        willList: (String) -> Void = { _ in },
        refuse: (InputError) throws(InputError) -> Void = { error throws(InputError) in throw error }
    ) throws(InputError) -> [String] {
        var paths = [pattern.begins(with: "/") ? "/" : ""]
        var parts = pattern.parts(between: "/").filter { !$0.isEmpty }
        if parts.last == "**" { parts.append("*") }
        for (index, part) in parts.enumerated() {
            // Known by their bytes: é in one code point and in two are two files.
            var seen: Set<[UInt8]> = []
            var next: [String] = []
            func add(_ path: String) -> Bool {
                guard seen.insert(Array(path.utf8)).inserted else { return false }
                next.append(path)
                return true
            }
            for path in paths {
                if part == "**" {
                    let add = { (folder: String) in
                        willList(folder)
                        return add(folder)
                    }
                    try self.addFolders(in: path, add, refuse)
                    continue
                }
                if index == parts.count - 1 || GlobPattern.isPattern(part) { willList(path) }
                if GlobPattern.isPattern(part) {
                    let glob = GlobPattern(part, .shell(separator: "/"))
                    let kind: FileStatus.Kind = index == parts.count - 1 ? .regular : .folder
                    let names = try self.names(in: path) { name throws(InputError) in
                        if glob.matches(name.repaired), name.kind == kind { try refuse(name.error) }
                    }
                    for name in names where glob.matches(name) { _ = add(self.join(path, name)) }
                } else {
                    _ = add(self.join(path, String(part)))
                }
            }
            paths = next
        }
        let files = paths.filter { self.isRegular($0) }
        guard !files.isEmpty else {
            throw InputError(.noMatch, path: pattern, detail: "no file matches this pattern")
        }
        return self.inByteOrder(files)
    }

    /// The folder itself and all folders below it, without hidden ones and without links, which could lead in circles.
    /// - Parameter add: takes a folder; `false` for one that it has.
    private static func addFolders(
        in folder: String,
        _ add: (String) -> Bool,
        _ refuse: (InputError) throws(InputError) -> Void
    ) throws(InputError) {
        guard add(folder) else { return }
        let names = try self.names(in: folder) { name throws(InputError) in
            if !name.isHidden, name.kind == .folder { try refuse(name.error) }
        }
        for name in names where !name.begins(with: ".") {
            let path = self.join(folder, name)
            if let status = try? FileStatus(of: path, followingLinks: false), status.kind == .folder {
                try self.addFolders(in: path, add, refuse)
            }
        }
    }

    /// The names in a folder, in no order; none when it is not there, or is no folder.
    /// - Parameter refuse: is told each name that is not UTF-8, which is not among the result.
    static func names(
        in folder: String,
        refuse: (ForeignName) throws(InputError) -> Void = { _ in }
    ) throws(InputError) -> [String] {
        guard let handle = opendir(folder.isEmpty ? "." : folder) else {
            let error = SystemError()
            if error.isAbsence { return [] }
            throw error.opening(folder)
        }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            guard let name = String(validating: bytes, as: UTF8.self) else {
                try refuse(ForeignName(bytes, in: folder))
                continue
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    static func join(_ folder: String, _ name: String) -> String {
        folder.isEmpty || folder.utf8.last == UInt8(ascii: "/") ? folder + name : folder + "/" + name
    }

    private static func isRegular(_ path: String) -> Bool {
        (try? FileStatus(of: path))?.kind == .regular
    }

    static func inByteOrder(_ paths: [String]) -> [String] {
        paths.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }
}

extension InputFile {
    /// A regular file as it was found.
    /// - Parameter head: its first bytes, up to ``digestedBytes``.
    init(regular path: String, head: [UInt8], _ status: FileStatus) {
        self.init(
            path: path,
            absolutePath: InputResolver.absolutePath(of: path),
            kind: .regular,
            size: status.size,
            digest: BinaryText.hex(DigestContext.sha256(head)),
            compression: head.isEmpty ? Compression(path: path) : Compression(head: head),
            identity: status.identity
        )
    }
}
