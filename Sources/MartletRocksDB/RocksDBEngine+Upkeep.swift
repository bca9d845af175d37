import CRocksDB
import MartletBase
import MartletStorage

extension RocksDBEngine {
    package func compact() throws(StorageError) {
        try checkUsable()
        do {
            try database.flushTables()
        } catch {
            throw outcome(of: error)
        }
        let options = EngineHandle(rocksdb_compactoptions_create(), rocksdb_compactoptions_destroy)
        // kForce: also files of the last level that nothing lies above.
        rocksdb_compactoptions_set_bottommost_level_compaction(options.pointer, 2)
        for family in database.families {
            rocksdb_compact_range_cf_opt(database.pointer, family, options.pointer, nil, 0, nil, 0)
        }
    }

    package func dropValues(expiredBefore cutoff: WallTime) {
        expiry.cutoff.store(cutoff.microseconds, ordering: .relaxed)
    }

    package func checkHealth() throws(StorageError) {
        try checkUsable()
        try checkSpace()
        let isStopped = database.number("rocksdb.is-write-stopped", in: database.data) != 0
        counters.isWriteStopped.store(isStopped, ordering: .relaxed)
    }

    /// Free space below which writes are refused.
    private var freeBytesMin: Int {
        max(settings.diskFreeMinBytes, 2 * settings.memtableBytes + Limits.spaceReserveBytes)
    }

    func checkSpace() throws(StorageError) {
        do {
            let free = try FileSystem.freeBytes(at: folder.path)
            counters.freeBytes.store(free, ordering: .relaxed)
            counters.isDiskFull.store(free < freeBytesMin, ordering: .relaxed)
        } catch {
            throw fail(.failed("\(error)"))
        }
    }

    package var refusal: StorageRefusal? {
        if counters.isDiskFull.load(ordering: .relaxed) { return .diskFull }
        return counters.isWriteStopped.load(ordering: .relaxed) ? .stalled : nil
    }

    package func statistics() -> StorageStatistics {
        var statistics = StorageStatistics()
        for family in database.families {
            statistics.memtableBytes += database.number("rocksdb.cur-size-all-mem-tables", in: family)
            statistics.levelZeroFiles +=
                Int(database.text("rocksdb.num-files-at-level0", in: family) ?? "") ?? 0
            statistics.compactionPendingBytes += database.number(
                "rocksdb.estimate-pending-compaction-bytes", in: family)
        }
        let data = database.data
        statistics.isCompacting = database.number("rocksdb.num-running-compactions", in: data) > 0
        statistics.isWriteStopped = database.number("rocksdb.is-write-stopped", in: data) != 0
        statistics.delayedWriteBytesPerSecond = database.number("rocksdb.actual-delayed-write-rate", in: data)
        statistics.backgroundErrors = database.number("rocksdb.background-errors", in: data)
        statistics.blockCacheBytes = database.number("rocksdb.block-cache-usage", in: data)
        statistics.diskBytes = FileSystem.bytes(inFolder: folder.enginePath)
        statistics.diskFreeBytes = counters.freeBytes.load(ordering: .relaxed)
        statistics.recordCacheBytes = counters.cacheBytes.load(ordering: .relaxed)
        statistics.recordCacheHits = counters.cacheHits.load(ordering: .relaxed)
        statistics.recordCacheMisses = counters.cacheMisses.load(ordering: .relaxed)
        statistics.batches = counters.batches.load(ordering: .relaxed)
        statistics.syncs = counters.syncs.load(ordering: .relaxed)
        statistics.refusedStalled = counters.refusedStalled.load(ordering: .relaxed)
        statistics.refusedDiskFull = counters.refusedDiskFull.load(ordering: .relaxed)
        statistics.valuesDropped = expiry.dropped.load(ordering: .relaxed)
        statistics.lastWritten = SequenceNumber(counters.lastWritten.load(ordering: .relaxed))
        statistics.lastSynced = SequenceNumber(counters.lastSynced.load(ordering: .relaxed))
        return statistics
    }
}
