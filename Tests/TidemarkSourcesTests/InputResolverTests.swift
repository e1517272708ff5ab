import Foundation
import Testing
import TidemarkSources

struct InputResolverTests {
    private func names(_ folder: TemporaryFolder, _ arguments: String...) throws -> [String] {
        try InputResolver.resolve(arguments.map { $0 == "-" ? $0 : folder.path + "/" + $0 }).map {
            String($0.path.dropFirst($0.isStandardInput ? 0 : folder.path.count + 1))
        }
    }

    private func failure(_ folder: TemporaryFolder, _ arguments: String...) -> InputError? {
        #expect(throws: InputError.self) {
            try InputResolver.resolve(arguments.map { folder.path + "/" + $0 })
        }
    }

    private func populate(_ folder: TemporaryFolder) throws {
        for name in [
            "b.log", "a10.log", "a2.log", "B.log", ".hidden.log", "é.log", "c[1].log", "sub/x.log", "sub/deep/y.log",
            "sub/.secret/z.log", "sub-1/x.log",
        ] {
            try folder.write(name, name.utf8)
        }
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/sub/circle",
            withDestinationPath: folder.path + "/sub"
        )
    }

    @Test func `names that differ by their bytes alone are two files`() throws {
        try withTemporaryFolder { folder in
            let names = ["e\u{301}.log", "\u{E9}.log"]
            for name in names { try folder.write("sub/\u{301}/" + name, name.utf8) }
            for arguments in [["sub/\u{301}/*.log"], ["**/?*.log"], names.map { "sub/\u{301}/" + $0 }] {
                let found = try InputResolver.resolve(arguments.map { folder.path + "/" + $0 })
                #expect(Set(found.map { Array($0.absolutePath.utf8) }).count == 2)
            }
            #expect(try self.names(folder, "sub/\u{301}/?.log").count == 1, "? is one code point")
        }
    }

    @Test func `folders and patterns give their files in byte order, arguments stay in theirs`() throws {
        try withTemporaryFolder { folder in
            try self.populate(folder)
            let all = ["B.log", "a10.log", "a2.log", "b.log", "c[1].log", "é.log"]
            #expect(try self.names(folder, "") == all)
            #expect(try self.names(folder, "*.log") == all)
            #expect(try self.names(folder, "?.log") == ["B.log", "b.log", "é.log"])
            #expect(try self.names(folder, "[a-b]*.log") == ["a10.log", "a2.log", "b.log"])
            #expect(try self.names(folder, "[!a-b]*.log") == ["B.log", "c[1].log", "é.log"])
            #expect(try self.names(folder, ".*.log") == [".hidden.log"])
            #expect(try self.names(folder, "sub*/x.log") == ["sub-1/x.log", "sub/x.log"])
            #expect(try self.names(folder, "sub/**/*.log") == ["sub/deep/y.log", "sub/x.log"])
            #expect(try self.names(folder, "**/x.log") == ["sub-1/x.log", "sub/x.log"])
            #expect(try self.names(folder, "sub/**") == ["sub/deep/y.log", "sub/x.log"])
            #expect(try self.names(folder, "c[1].log") == ["c[1].log"])
            #expect(try self.names(folder, "c\\[*") == ["c[1].log"])
            #expect(
                try self.names(folder, "b.log", "-", "a?.log", "b.log", "sub")
                    == ["b.log", "-", "a2.log", "b.log", "sub/x.log"]
            )
        }
    }

    @Test func `a file that is called as a pattern hides none of those that it matches`() throws {
        try withTemporaryFolder { folder in
            for name in ["*", "a", "b", "c[1]"] { try folder.write(name, name.utf8) }
            #expect(try self.names(folder, "*") == ["*", "a", "b", "c[1]"])
            #expect(try self.names(folder, "c[1]") == ["c[1]"])
        }
    }

    @Test func `what cannot be read is an error that names it, before anything is opened`() throws {
        try withTemporaryFolder { folder in
            try self.populate(folder)
            try FileManager.default.createDirectory(
                atPath: folder.path + "/empty/folder",
                withIntermediateDirectories: true
            )
            let loop = folder.path + "/loop"
            try FileManager.default.createSymbolicLink(atPath: loop, withDestinationPath: loop)
            let cases: [(String, InputError.Code)] = [
                ("none.log", .missing), ("b.log/none", .missing), ("*.none", .noMatch), ("none/*.log", .noMatch),
                ("empty", .emptyFolder), ("empty/*", .noMatch), ("loop", .unreadable),
            ]
            for (name, code) in cases {
                let error = self.failure(folder, "b.log", name, "other.log")
                #expect(error?.code == code)
                #expect(error?.path == folder.path + "/" + name)
                #expect(error?.isMissingInput == true)
                #expect(error?.description.hasPrefix(folder.path + "/" + name) == true)
            }
            #expect(try InputResolver.resolve(["/dev/null"]).map(\.kind) == [.stream])
        }
    }

    @Test func `a file is known by its absolute path, its size and the digest of its beginning`() throws {
        try withTemporaryFolder { folder in
            let file = try folder.file("abc", "abc".utf8)
            #expect(file.size == 3 && !file.isCompressed && !file.isStandardInput)
            #expect(file.digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
            try folder.write("x/y", [])
            let detour = try InputResolver.resolve([folder.path + "/./x/..//abc"])
            #expect(detour.map(\.absolutePath) == [file.absolutePath])
            #expect(file.absolutePath.hasPrefix("/") && file.absolutePath.hasSuffix("/abc"))

            let head = [UInt8](repeating: 0x61, count: 64 * 1024)
            let one = try folder.file("one", head + [1])
            let two = try folder.file("two", head + [2, 3])
            #expect(one.digest == two.digest && one.size != two.size)
            #expect(one.digest != (try folder.file("three", head.dropLast() + [2])).digest)
            #expect(try folder.file("empty", []).digest.hasPrefix("e3b0c44298fc1c14"))
            #expect(InputFile.standardInput.digest.isEmpty && InputFile.standardInput.path == "-")
        }
    }

    @Test func `gzip is known by how it begins, also when it was cut in that`() throws {
        try withTemporaryFolder { folder in
            let files = [
                try folder.file("a", gzip("x".utf8)), try folder.file("b.gz", []), try folder.file("c", [0x1F]),
                try folder.file("d.gz", "{}".utf8), try folder.file("e", []),
            ]
            #expect(files.map(\.isCompressed) == [true, true, true, false, false])
        }
    }
}
