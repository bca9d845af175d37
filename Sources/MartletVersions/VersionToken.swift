import MartletBase

/// How a stamp is shown to clients, as a version or as a register's causal context: opaque base64url that
/// names its key, so that it can't be used for another, and carries a checksum, so that a damaged one is told
/// from a wrong one.
///
///     format 1 | stamp | key hash 4 | checksum 4
package enum VersionToken {
    /// Why a context or version that a client sent is refused.
    package enum Refusal: String, Error, Sendable {
        case checksum, key, future, truncated
    }

    private static let format: UInt8 = 1

    private static func keyHash(_ key: RawSpan) -> UInt32 {
        UInt32(truncatingIfNeeded: XXH3.hash(key, seed: 0x6B65_7900))
    }

    package static func encode(_ stamp: Stamp, key: RawSpan) -> String {
        var writer = ByteWriter(reservingCapacity: 48)
        writer.u8(format)
        stamp.write(to: &writer)
        writer.u32(keyHash(key))
        writer.u32(UInt32(truncatingIfNeeded: XXH3.hash(writer.bytes.span.bytes)))
        return Base64URL.encode(writer.bytes)
    }

    /// - Parameter latest: the greatest time that a stamp issued by now can have.
    package static func decode(
        _ text: RawSpan, key: RawSpan, latest: HybridTime
    ) throws(Refusal) -> Stamp {
        guard let raw = text.withUnsafeBytes({ Base64URL.decode($0) }), raw.count > 9 else {
            throw .truncated
        }
        let blob = Blob(raw)
        let body = blob.span.extracting(0..<(raw.count - 4))
        var tail = ByteReader(blob.span.extracting((raw.count - 4)..<raw.count))
        guard let sum = try? tail.u32(), sum == UInt32(truncatingIfNeeded: XXH3.hash(body)) else {
            throw .checksum
        }
        var reader = ByteReader(body)
        let stamp: Stamp
        let hash: UInt32
        do {
            guard try reader.u8() == format else { throw Refusal.truncated }
            stamp = try Stamp(from: &reader)
            hash = try reader.u32()
            try reader.expectEnd()
        } catch {
            throw .truncated
        }
        guard hash == keyHash(key) else { throw .key }
        guard stamp.time <= latest else { throw .future }
        return stamp
    }
}
