import LibPQ
import TidemarkCore
import TidemarkIngest
import TidemarkPostgres

/// Finds which stream a file is.
///
/// A file is the stream whose stored prefix it begins with, at its device and inode; else the stream of that prefix
/// whose file is gone, or which had its path; else it is new. So a file that grows, is moved or is compressed stays the
/// stream that it was.
enum FileStreams {
    /// The stream of each file, entered where it is new.
    /// - Parameter source: the name of the source that reads a file.
    static func resolve(
        _ files: [InputFile],
        source: (InputFile) -> String,
        on connection: Connection
    ) async throws -> [StreamEntry] {
        let ids = try await PassStore.identify(sources: files.map(source), on: connection)
        var entries: [StreamEntry] = []
        for file in files {
            let name = source(file)
            let id = try await Self.resolve(file, source: name, sourceID: ids[name], on: connection)
            entries.append(StreamEntry(id: id, isResumable: file.isReadAgain))
        }
        return entries
    }

    private static func resolve(
        _ file: InputFile,
        source: String,
        sourceID: Int64?,
        on connection: Connection
    ) async throws -> StreamID {
        let name = StreamName(source: source, name: file.absolutePath)
        guard file.isReadAgain else { return try await StreamStore.enter(name, sourceID: nil, on: connection) }
        let prefix: FilePrefix
        do throws(InputError) { prefix = try FilePrefix(of: file) } catch {
            // Told when it is the file's turn to be read.
            return try await StreamStore.enter(name, sourceID: nil, on: connection)
        }
        let hint = "\(file.identity.device):\(file.identity.inode)"
        let candidates = try await StreamStore.candidates(
            name: file.absolutePath,
            incarnation: prefix.incarnation,
            hint: hint,
            on: connection
        ).filter { prefix.fits($0.incarnation) }
        let known =
            candidates.first { $0.hint == hint && $0.name == file.absolutePath } ?? candidates.first { $0.hint == hint }
            ?? candidates.first { $0.name == file.absolutePath } ?? candidates.first { !Self.isThere($0.name) }
        var stream = name
        stream.incarnation = prefix.incarnation
        guard var known else {
            return try await StreamStore.enter(stream, sourceID: sourceID, hint: hint, on: connection)
        }
        if !file.isCompressed, UInt64(clamping: file.size) < known.reached {
            // Cut, and begun alike: what was read of the former file says nothing of this one.
            stream.incarnation += ":\(known.id.rawValue)"
            return try await StreamStore.enter(stream, sourceID: sourceID, hint: hint, on: connection)
        }
        if known.name != file.absolutePath || known.hint != hint {
            (known.name, known.hint) = (file.absolutePath, hint)
            try await StreamStore.update(known, on: connection)
        }
        return known.id
    }

    private static func isThere(_ path: String) -> Bool {
        (try? InputResolver.resolve([path])) != nil
    }
}
