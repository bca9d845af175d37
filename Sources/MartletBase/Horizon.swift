/// Below what a slot's records don't count any more. Both are hybrid times as bits (`HybridTime` in
/// MartletVersions), and only rise.
///
/// What lies behind the horizon is left out of reads, scans, digests, exchanges and streams, by everyone who
/// knows of it, whether its bytes are still on a disk or not (`Record.isHidden`). So two replicas of which
/// one has deleted it already agree.
package struct Horizon: Hashable, Sendable {
    /// FLUSHDB's: whatever was written at or below it is gone. Of a keyspace.
    package var truncation: UInt64
    /// Tombstones at or below it, and values that expired and were written at or below it, may be deleted:
    /// nobody owes the slot anything of that age. Of a slot.
    package var purgeFloor: UInt64

    @inlinable package init(truncation: UInt64 = 0, purgeFloor: UInt64 = 0) {
        self.truncation = truncation
        self.purgeFloor = purgeFloor
    }

    /// Hides nothing.
    package static let none = Horizon()
}
