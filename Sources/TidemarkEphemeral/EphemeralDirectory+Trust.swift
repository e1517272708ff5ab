import PlatformC

/// What is refused before anything is touched: what another account owns or may change could make this process, which may
/// be root's, write elsewhere or signal another server.
extension EphemeralDirectory {
    /// Links above the folder are followed, a link in its place is not: its owner could turn it elsewhere.
    static func refuseLink(_ directory: String) throws(EphemeralServerError) {
        var path = Substring(directory)
        while path.utf8.count > 1, path.hasSuffix("/") { path = path.dropLast() }
        guard FileStatus(String(path))?.isLink == true else { return }
        throw EphemeralServerError(
            code: .directoryUnusable,
            message: "\(path) is a link, which is not followed: name the folder that it leads to"
        )
    }

    /// Refuses a folder or marker of another account, data that is no folder, and any of the three that others may write.
    static func refuseUntrusted(_ path: String) throws(EphemeralServerError) {
        try Self.refuseShared(path)
        let marker = path + "/" + Self.markerName
        if let status = FileStatus(marker) {
            guard status.isFile else { throw Self.isNo("file", marker) }
            try Self.refuseShared(marker)
        }
        let data = path + "/data"
        if let status = FileStatus(data) {
            guard status.isDirectory else { throw Self.isNo("folder", data) }
            try Self.refuseWritable(data, status)
        }
    }

    private static func refuseShared(_ path: String) throws(EphemeralServerError) {
        guard let status = FileStatus(path) else { throw Self.unusable(path, "cannot be reached") }
        guard status.owner == geteuid() else {
            throw EphemeralServerError(
                code: .directoryUnusable,
                message: "\(path) belongs to \(ServerAccount.describe(status.owner)), and tidemark runs as "
                    + "\(ServerAccount.describe(geteuid())): run as the owner, or name another folder"
            )
        }
        try Self.refuseWritable(path, status)
    }

    private static func refuseWritable(_ path: String, _ status: FileStatus) throws(EphemeralServerError) {
        guard status.permissions & 0o022 != 0 else { return }
        throw EphemeralServerError(
            code: .directoryUnusable,
            message: "others may write \(path) (mode \(String(status.permissions, radix: 8))): "
                + "`chmod go-w \(ShellWord.quoted(path))` if you trust what is in it, or name another folder"
        )
    }

    private static func isNo(_ kind: String, _ path: String) -> EphemeralServerError {
        EphemeralServerError(
            code: .directoryUnusable,
            message: "\(path) is no \(kind), and links are not followed: it was left as it is; name another folder"
        )
    }

    /// A folder is ours if it is empty or has our marker.
    static func refuseForeign(_ path: String) throws(EphemeralServerError) {
        let marker = path + "/" + Self.markerName
        if let status = FileStatus(marker), status.isFile {
            let line = Self.firstLine(marker) ?? ""
            if line == Self.markerLine { return }
            guard line.isEmpty else {
                throw EphemeralServerError(
                    code: .foreignDirectory,
                    message: "\(path) was made by another version of tidemark (its marker says \"\(line)\"): "
                        + "use that version, or name another folder"
                )
            }
        }
        guard let folder = opendir(path) else { throw Self.unusable(path, "cannot be read") }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if [".", "..", Self.markerName].contains(name) { continue }
            throw EphemeralServerError(
                code: .foreignDirectory,
                message: "\(path) is not empty and was not made by tidemark: it was left as it is; "
                    + "name a folder that is absent or empty"
            )
        }
    }

    static func firstLine(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return FileLock.read(descriptor).split(separator: "\n", omittingEmptySubsequences: false).first.map(String.init)
    }
}
