/// Damage of compressed files that shows only at their end, in a check sum: until then what they hold is dead letters.
package enum InputDamage {
    /// About so much is read on disk, to tell why a pass has failed: a minute at most.
    private static let bytesMax: Int64 = 1 << 30

    /// The first file that is damaged or cut short. Reads them to their ends, but not more than 1 GiB in all.
    package static func first(in files: [InputFile]) -> InputError? {
        var left = Self.bytesMax
        for file in files where file.kind == .regular && file.isCompressed && file.size <= left {
            left -= file.size
            if let damage = Self.damage(of: file) { return damage }
        }
        return nil
    }

    private static func damage(of file: InputFile) -> InputError? {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: LineReader.readBytes, alignment: 16)
        defer { memory.deallocate() }
        do throws(InputError) {
            let raw = try RawInput(file, standardInput: -1, interrupt: Interrupt())
            var content = ByteStream(raw, readBytes: LineReader.readBytes, readsLines: false)
            while try content.read(into: memory) > 0 {}
            return nil
        } catch {
            return error.isBadData ? error : nil
        }
    }
}
