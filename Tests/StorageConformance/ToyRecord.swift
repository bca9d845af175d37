import MartletBase
import MartletStorage

/// The smallest records that show whether an engine keeps the laws: joins that pick an input, joins that
/// make something new, bytes that aren't a record, and values that expire.
///
///     register = 1 | stamp u64 | expiry u64 (ms, 0: none) | hasValue u8 | value    the greater stamp wins
///     set      = 2 | bytes, ascending, each once                                        union
///
/// Kinds are ordered: a set beats a register, and anything else loses.
package enum ToyRecord {
    private static let registerHead = 18

    package static func register(stamp: UInt64, value: String?, expiry: UInt64 = 0) -> Blob {
        var writer = ByteWriter()
        writer.u8(1)
        writer.u64(stamp)
        writer.u64(expiry)
        writer.u8(value == nil ? 0 : 1)
        writer.raw(Array((value ?? "").utf8))
        return Blob(writer.bytes)
    }

    package static func set(_ members: Set<UInt8>) -> Blob { Blob([2] + members.sorted()) }

    package static let rules = RecordJoin(
        join: join, dropExpired: dropExpired,
        digest: { record, horizon in
            horizon.truncation > 0 && kind(record) == 1 && stamp(record) <= horizon.truncation
                ? nil : XXH3.hash(record)
        },
        // Registers without a value, or with an expiry.
        isPurgeable: { record in
            kind(record) == 1 && (record[registerHead - 1] == 0 || expiry(record) > 0)
        })

    /// The join of blobs, for models.
    package static func joined(_ a: Blob, _ b: Blob) -> Blob {
        var scratch = ByteWriter()
        return rules.joined(a, b, scratch: &scratch)
    }

    private static func kind(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let first = bytes.first else { return 0 }
        if first == 1 { return bytes.count >= registerHead ? 1 : 0 }
        guard first == 2 else { return 0 }
        let members = bytes.dropFirst()
        return zip(members, members.dropFirst()).allSatisfy { $0 < $1 } ? 2 : 0
    }

    private static func expiry(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 9, as: UInt64.self))
    }

    private static func stamp(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt64.self))
    }

    @Sendable private static func join(
        _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, _ out: inout ByteWriter
    ) -> RecordJoin.Outcome {
        let kinds = (kind(a), kind(b))
        if kinds.0 != kinds.1 { return kinds.0 > kinds.1 ? .first : .second }
        if kinds.0 == 2 {
            out.raw([2] + Set(a.dropFirst()).union(b.dropFirst()).sorted())
            return .written
        }
        if kinds.0 == 1 {
            if stamp(a) != stamp(b) { return stamp(a) > stamp(b) ? .first : .second }
            // At equal stamps a present value beats a dropped one.
            if a[17] != b[17] { return a[17] > b[17] ? .first : .second }
        }
        return compareBytes(a, b) >= 0 ? .first : .second
    }

    @Sendable private static func dropExpired(
        _ record: UnsafeRawBufferPointer, _ cutoff: WallTime, _ out: inout ByteWriter
    ) -> Bool {
        guard kind(record) == 1, record[17] == 1 else { return false }
        let expiry = expiry(record)
        guard expiry > 0, Int64(clamping: expiry) < cutoff.milliseconds else { return false }
        out.raw(Array(record[..<17]))
        out.u8(0)
        return true
    }
}
