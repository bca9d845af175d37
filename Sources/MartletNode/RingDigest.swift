import MartletBase

/// What a node says of its ring, so that `status` can tell whether all agree.
struct RingDigest: Hashable {
    /// The speaker's hybrid time: of two, the newer one counts.
    var at: UInt64
    var digest: UInt64

    init(at: UInt64, digest: UInt64) {
        self.at = at
        self.digest = digest
    }

    init(from reader: inout ByteReader) throws(WireError) {
        at = try reader.u64()
        digest = try reader.u64()
        try reader.expectEnd()
    }

    func encoded() -> Blob {
        var writer = ByteWriter()
        writer.u64(at)
        writer.u64(digest)
        return Blob(writer.bytes)
    }
}
