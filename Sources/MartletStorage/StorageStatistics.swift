/// What an engine says of itself: for metrics, `status` and the record of refusals. Sizes are in bytes.
package struct StorageStatistics: Hashable, Sendable {
    /// Table files and log.
    package var diskBytes = 0
    package var diskFreeBytes = 0
    package var memtableBytes = 0
    package var blockCacheBytes = 0
    package var recordCacheBytes = 0
    package var recordCacheHits = 0
    package var recordCacheMisses = 0
    /// Table files that overlap all others; writes stall when there are too many.
    package var levelZeroFiles = 0
    package var compactionPendingBytes = 0
    package var isCompacting = false
    package var isWriteStopped = false
    /// Bytes a second that writes are slowed down to; 0 when they aren't.
    package var delayedWriteBytesPerSecond = 0
    package var backgroundErrors = 0
    package var batches = 0
    package var syncs = 0
    /// Batches refused because writes would have stalled, or because the disk is full.
    package var refusedStalled = 0
    package var refusedDiskFull = 0
    /// Expired records whose value bytes were dropped.
    package var valuesDropped = 0
    package var lastWritten = SequenceNumber.zero
    package var lastSynced = SequenceNumber.zero

    package init() {}
}
