import MartletBase

/// Where a node keeps its records and its own facts. One conformance suite holds for every engine.
///
/// Two keyed stores share one log: `data`, whose records are only ever joined, and `meta`, whose values are
/// overwritten. Both are ordered by their keys' unsigned bytes.
///
/// * `write` makes a batch visible to every later read, whole or not at all, and returns at once: it isn't
///   durable.
/// * `sync` makes durable what was written before it was called. It is the only thing that does, so an
///   acknowledgement waits for the sequence number that it returns.
/// * After a crash the engine holds a prefix of the batches, in the order in which they were written, and
///   this prefix holds at least everything that a completed `sync` covered.
///
/// Threads: `write`, reads of the tier `.memoryOnly` and `refusal` are called on the loop. `sync` is called
/// on one syncer thread while `write` goes on. Everything else may be called on any worker. An engine that
/// isn't `Sendable` is used on one thread only. Nobody calls an engine after `close`.
package protocol StorageEngine: AnyObject {
    /// Applies all of the batch, or none of it and throws. Never waits for the disk.
    @discardableResult
    func write(_ batch: borrowing WriteBatch) throws(StorageError) -> SequenceNumber

    /// Returns the number of the last write that is durable now: at least that of the last one before the
    /// call. Once it has failed, every call throws the same: a failed fsync says nothing about what the
    /// disk holds.
    func sync() throws(StorageError) -> SequenceNumber

    /// The joined record under the key.
    func read(_ key: StorageKey, tier: ReadTier) throws(StorageError) -> ReadResult

    func readMeta(_ key: Blob) throws(StorageError) -> Blob?

    /// Every fact whose key starts with the prefix, in order. For facts of which there are few.
    func scanMeta(prefix: Blob) throws(StorageError) -> [StoredPair]

    /// Records in the order of their stored keys, from `lower` (included) to `upper` (excluded; nil: to the
    /// end), until a limit is met. At least one record is returned if there is one.
    func scan(from lower: Blob, until upper: Blob?, limit: ScanLimit) throws(StorageError) -> ScanPage

    /// The same of hints.
    func scanHints(from lower: Blob, until upper: Blob?, limit: ScanLimit) throws(StorageError) -> ScanPage

    /// What it was opened with.
    var rules: RecordJoin { get }

    /// Calls the body with the stored key and the record of each record from `lower` (included) to `upper`
    /// (excluded; nil: to the end), in order, until it answers false. The bytes last as long as the call.
    func visit(
        from lower: Blob, until upper: Blob?,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StorageError)

    /// Rewrites everything, so that superseded versions go away. An expired value may outlive the first
    /// rewriting that follows its last write, not the second.
    func compact() throws(StorageError)

    /// From now on the value bytes of records that expired before this time are dropped when they are next
    /// rewritten; their stamps and expiries stay.
    func dropValues(expiredBefore cutoff: WallTime)

    /// Looks at the disk's free space and the engine's background work, and updates `refusal`. Called off
    /// the loop several times a second. Throws when the engine can't be trusted any more.
    func checkHealth() throws(StorageError)

    /// Why a write would be refused now, as of the last `checkHealth`; nil when it would be taken. Heals by
    /// itself.
    var refusal: StorageRefusal? { get }

    func statistics() -> StorageStatistics

    /// Makes everything durable and lets go of the files.
    func close() throws(StorageError)
}

/// The place of a write in the engine's order. Numbers only rise; not every number is used.
package struct SequenceNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let number: UInt64
    @inlinable package init(_ number: UInt64) { self.number = number }
    package static let zero = SequenceNumber(0)
    @inlinable package static func < (a: SequenceNumber, b: SequenceNumber) -> Bool { a.number < b.number }
    package var description: String { String(number) }
}

/// How far a read may go.
package enum ReadTier: Sendable {
    /// Only what memory holds: never waits for the disk.
    case memoryOnly
    case any
}

package enum ReadResult: Hashable, Sendable {
    case found(Blob)
    case absent
    /// Memory alone can't tell. Never the answer to a read of the tier `.any`.
    case cold
}

/// A stored key and what is stored under it.
package struct StoredPair: Hashable, Sendable {
    package let key: Blob
    package let value: Blob

    @inlinable package init(key: Blob, value: Blob) {
        self.key = key
        self.value = value
    }
}

/// Where a scan stops: after this many records, or with the record that brings their bytes to `bytesMax`.
package struct ScanLimit: Hashable, Sendable {
    package let recordsMax: Int
    package let bytesMax: Int

    package init(recordsMax: Int = Limits.scanRecordsMax, bytesMax: Int = Limits.scanBytesMax) {
        invariant(recordsMax > 0 && bytesMax > 0, "a scan must be allowed one record")
        self.recordsMax = recordsMax
        self.bytesMax = bytesMax
    }
}

package struct ScanPage: Hashable, Sendable {
    package var records: [StoredPair]
    /// Where to go on; nil when the range is finished.
    package var next: Blob?

    @inlinable package init(records: [StoredPair], next: Blob?) {
        self.records = records
        self.next = next
    }
}
