import MartletBase

/// How a stamp is shown to clients, as a version or as a register's causal context: opaque base64url that
/// names its key, so that it can't be used for another, and carries a checksum, so that a damaged one is told
/// from a wrong one.
///
///     format 1 | stamp or context | key hash 4 | checksum 4
///
/// Format 1 is a stamp: a version, and the context of a register. Format 2 is the context of siblings.
package enum VersionToken {
    /// Why a context or version that a client sent is refused.
    package enum Refusal: String, Error, Sendable {
        case checksum, key, future, truncated
    }

    private static let stampFormat: UInt8 = 1
    private static let contextFormat: UInt8 = 2

    private static func keyHash(_ key: RawSpan) -> UInt32 {
        UInt32(truncatingIfNeeded: XXH3.hash(key, seed: 0x6B65_7900))
    }

    package static func encode(_ stamp: Stamp, key: RawSpan) -> String {
        var writer = ByteWriter(reservingCapacity: 48)
        writer.u8(stampFormat)
        stamp.write(to: &writer)
        return sealed(&writer, key)
    }

    package static func encode(_ context: CausalContext, key: RawSpan) -> String {
        var writer = ByteWriter(reservingCapacity: 16 + 32 * context.entries.count)
        writer.u8(contextFormat)
        context.write(to: &writer)
        return sealed(&writer, key)
    }

    private static func sealed(_ writer: inout ByteWriter, _ key: RawSpan) -> String {
        writer.u32(keyHash(key))
        writer.u32(UInt32(truncatingIfNeeded: XXH3.hash(writer.bytes.span.bytes)))
        return Base64URL.encode(writer.bytes)
    }

    /// - Parameter latest: the greatest time that a stamp issued by now can have.
    package static func decode(
        _ text: RawSpan, key: RawSpan, latest: HybridTime
    ) throws(Refusal) -> Stamp {
        let body = try opened(text, key)
        var reader = ByteReader(body.span)
        let stamp: Stamp
        do {
            guard try reader.u8() == stampFormat else { throw Refusal.truncated }
            stamp = try Stamp(from: &reader)
            try reader.expectEnd()
        } catch {
            throw .truncated
        }
        guard stamp.time <= latest else { throw .future }
        return stamp
    }

    /// The same for the context of siblings.
    package static func decodeContext(
        _ text: RawSpan, key: RawSpan, latest: HybridTime
    ) throws(Refusal) -> CausalContext {
        let body = try opened(text, key)
        var reader = ByteReader(body.span)
        let context: CausalContext
        do {
            guard try reader.u8() == contextFormat else { throw Refusal.truncated }
            context = try CausalContext(from: &reader)
            try reader.expectEnd()
        } catch {
            throw .truncated
        }
        guard context.latest <= latest else { throw .future }
        return context
    }

    /// The format and what follows it, once checksum and key are found right.
    private static func opened(_ text: RawSpan, _ key: RawSpan) throws(Refusal) -> Blob {
        guard let raw = text.withUnsafeBytes({ Base64URL.decode($0) }), raw.count > 9 else {
            throw .truncated
        }
        let blob = Blob(raw)
        var tail = ByteReader(blob.span.extracting((raw.count - 8)..<raw.count))
        guard let hash = try? tail.u32(), let sum = try? tail.u32(),
            sum == UInt32(truncatingIfNeeded: XXH3.hash(blob.span.extracting(0..<(raw.count - 4))))
        else { throw .checksum }
        let body = Blob(Array(raw[..<(raw.count - 8)]))
        // What isn't of ours at all says nothing about keys.
        guard body.bytes.first == stampFormat || body.bytes.first == contextFormat else { throw .truncated }
        guard hash == keyHash(key) else { throw .key }
        return body
    }
}
