/// How two nodes shorten the digests that they compare.
///
/// Three bytes are enough where a mistake heals: two digests that differ look equal once in 16 million times,
/// and another exchange, with another salt, tells them apart. Where equality is to be *proved*, nothing is
/// cut off.
package struct Abridgement: Hashable, Sendable {
    package let salt: UInt64
    /// 3 or 8.
    package let byteCount: Int

    package static let shortBytes = 3
    package static let fullBytes = 8

    package init(salt: UInt64) {
        self.salt = salt
        byteCount = Self.shortBytes
    }

    private init() {
        salt = 0
        byteCount = Self.fullBytes
    }

    package static let full = Abridgement()

    @inlinable package func short(_ digest: UInt64) -> UInt64 {
        byteCount == Self.fullBytes ? digest : XXH3.hash(digest, seed: salt) >> 40
    }
}

extension Abridgement {
    package func write(to writer: inout ByteWriter) {
        writer.u8(UInt8(byteCount))
        if byteCount < Self.fullBytes { writer.u64(salt) }
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        switch Int(try reader.u8()) {
        case Self.shortBytes: self.init(salt: try reader.u64())
        case Self.fullBytes: self = .full
        default: throw .invalid("abridgement")
        }
    }

    /// Appends a shortened digest.
    @inlinable package func write(_ short: UInt64, to writer: inout ByteWriter) {
        if byteCount == Self.fullBytes {
            writer.u64(short)
        } else {
            writer.u8(UInt8(truncatingIfNeeded: short >> 16))
            writer.u16(UInt16(truncatingIfNeeded: short))
        }
    }

    @inlinable package func read(from reader: inout ByteReader) throws(WireError) -> UInt64 {
        if byteCount == Self.fullBytes { return try reader.u64() }
        return UInt64(try reader.u8()) << 16 | UInt64(try reader.u16())
    }
}
