import MartletBase

/// What an engine must know of records: how two of them are joined, how an expired one sheds its value, and
/// what two nodes compare of them. Injected, so that engines don't depend on what a record is.
///
/// Called on the engine's threads, several at once: the functions are pure.
package struct RecordJoin: Sendable {
    package typealias Bytes = UnsafeRawBufferPointer

    /// Where the join of two records is found. Naming an input saves its copy; `.written` is always right.
    package enum Outcome: Sendable {
        /// The join equals the first record's bytes.
        case first
        /// The join equals the second record's bytes.
        case second
        /// The join was appended to the writer.
        case written
    }

    /// The join of two records: total, commutative, associative and idempotent, over all byte strings:
    /// undecodable bytes lose against decodable ones.
    package let join: @Sendable (_ first: Bytes, _ second: Bytes, _ out: inout ByteWriter) -> Outcome

    /// Appends the record without its value bytes and returns true, when it expired before the cutoff and
    /// still has them. Else appends nothing.
    package let dropExpired:
        @Sendable (_ record: Bytes, _ expiredBefore: WallTime, _ out: inout ByteWriter) -> Bool

    /// The record's digest; nil when it lies behind the horizon.
    package let digest: @Sendable (_ record: Bytes, _ horizon: Horizon) -> UInt64?

    /// Whether a purge floor that rises may change the digest, or hide the record.
    package let isPurgeable: @Sendable (_ record: Bytes) -> Bool

    package init(
        join: @escaping @Sendable (_ first: Bytes, _ second: Bytes, _ out: inout ByteWriter) -> Outcome,
        dropExpired:
            @escaping @Sendable (
                _ record: Bytes, _ expiredBefore: WallTime, _ out: inout ByteWriter
            ) -> Bool,
        digest: @escaping @Sendable (_ record: Bytes, _ horizon: Horizon) -> UInt64?,
        isPurgeable: @escaping @Sendable (_ record: Bytes) -> Bool
    ) {
        self.join = join
        self.dropExpired = dropExpired
        self.digest = digest
        self.isPurgeable = isPurgeable
    }

    /// The join of two records that are held as blobs. The writer is the caller's scratch and left empty.
    package func joined(_ first: Blob, _ second: Blob, scratch: inout ByteWriter) -> Blob {
        let outcome = first.withUnsafeBytes { x in
            second.withUnsafeBytes { y in join(x, y, &scratch) }
        }
        switch outcome {
        case .first: return first
        case .second: return second
        case .written:
            let result = Blob(copying: scratch.bytes.span.bytes)
            scratch.bytes.removeAll(keepingCapacity: true)
            return result
        }
    }
}
