import Testing
import TidemarkCore

@Suite struct DigestContextTests {
    /// Of FIPS 180-2: nothing, one block, two blocks, and a million bytes.
    @Test func `known contents have their digests, one after the other in one context`() {
        let contents: [(content: [UInt8], digest: String)] = [
            ([], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (Array("abc".utf8), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8),
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            (
                Array(repeating: UInt8(ascii: "a"), count: 1_000_000),
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
            ),
        ]
        var context = DigestContext()
        for (content, digest) in contents + contents.reversed() {
            for part in [content.prefix(3), content.dropFirst(3)] { context.update(part) }
            #expect(BinaryText.hex(context.finish()) == digest)
            #expect(BinaryText.hex(DigestContext.sha256(content)) == digest)
        }
    }

    @Test func `a digest goes over the first bytes, whatever it is given in`() {
        var context = DigestContext()
        var output = [UInt8](repeating: 7, count: 34)
        context.update("a".utf8)
        context.update(repeatElement(UInt8(ascii: "b"), count: 1))
        context.update("c".utf8)
        context.finish(into: &output)
        #expect(
            BinaryText.hex(output) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0707"
        )
        #expect(BinaryText.hex(DigestContext.sha1(Array("abc".utf8))) == "a9993e364706816aba3e25717850c26c9cd0d89d")
    }
}
