import CRocksDB
import MartletBase
import MartletStorage
import Synchronization

/// The storage engine on disk: RocksDB, with records joined by its merge operator.
///
/// Column families: `meta` (the node's own facts), `data` (records), `hints` (writes kept for nodes that
/// missed them), and RocksDB's `default`, which stays empty.
///
/// **Durability.** `write` puts a batch into RocksDB's log buffer and memory; `sync`, on the syncer thread,
/// writes and syncs the log and then notes in SYNCED how far it came. SYNCED itself is made durable about
/// once a second: after a power cut it may lag, never lead.
///
/// **Recovery.** After a crash RocksDB stops at the first damaged record of its log and opens with what
/// came before, which is right for the torn tail of a power cut and wrong for a log that rotted. SYNCED
/// tells them apart. It is asked before RocksDB may write anything: the log is first replayed in memory, by
/// a read-only opening, so that a start that is refused leaves every file as it was.
///
/// **Hot keys.** A chain of merge operands makes every read of its key join them all. The records of keys
/// that are read, or merged into again and again, are held in a cache on the loop, the only writer; a merge
/// into one of these is a put of the join, and one that changes nothing isn't written at all.
///
/// **Failures.** A write that would stall is refused, and so are writes while the disk has little space left;
/// both heal. What an fsync reports is final, and so is a log that can't be written: RocksDB drops the part
/// of the log that didn't fit. So writes stop while there is still room for the next log, which RocksDB
/// allocates when it begins one, and for writing out a table. Anything else that RocksDB reports means that a
/// file can't be trusted: the node stops, and nothing is retried.
///
/// Safe: `loop` is touched only by calls that the protocol confines to the loop, `syncer` only by `sync`
/// and, after all other calls, by `close`; `database` is only read until `close`; the rest is constant,
/// atomic or behind a mutex.
package final class RocksDBEngine: StorageEngine, @unchecked Sendable {
    let folder: DataFolder
    let settings: RocksDBSettings
    package let rules: RecordJoin
    let expiry: ExpiryFilter.Context
    let database: EngineDatabase
    let readAny: EngineHandle
    let readMemory: EngineHandle
    let counters = EngineCounters()
    var loop: LoopState
    var syncer: SyncerState
    private let failure = Mutex<StorageError?>(nil)
    private let hasFailed = Atomic<Bool>(false)

    /// What only the loop touches.
    struct LoopState: ~Copyable {
        let rules: RecordJoin
        var cache: RecordCache
        var scratch = ByteWriter()
        /// Keys that this batch made hot.
        var hot: [StorageKey] = []
        var bytesSinceSpaceCheck = 0
        let batch = EngineHandle(rocksdb_writebatch_create(), rocksdb_writebatch_destroy)
        let options = EngineHandle(rocksdb_writeoptions_create(), rocksdb_writeoptions_destroy)
    }

    /// What only the syncer thread touches.
    struct SyncerState {
        /// When SYNCED was last made durable.
        var markSynced: Instant
    }

    /// Opens the engine in the folder. Takes as long as the log since the last writing of tables is large:
    /// up to a few seconds after a crash.
    package init(
        opening folder: DataFolder, settings: RocksDBSettings, rules: RecordJoin
    ) throws(DataFolderError) {
        self.folder = folder
        self.settings = settings
        self.rules = rules
        expiry = ExpiryFilter.Context(rules)
        readAny = Self.readOptions(tier: 0)
        readMemory = Self.readOptions(tier: 1)
        loop = LoopState(rules: rules, cache: RecordCache(bytesMax: settings.recordCacheBytes))
        rocksdb_writeoptions_set_no_slowdown(loop.options.pointer, 1)
        syncer = SyncerState(markSynced: MonotonicClock.now())
        database = try Self.open(folder, settings: settings, rules: rules, expiry: expiry)
        // RocksDB wrote what it read from the log to table files, but SYNCED doesn't say so yet: the first
        // sync does.
        counters.lastWritten.store(database.latestSequence, ordering: .relaxed)
    }

    private static func readOptions(tier: Int32) -> EngineHandle {
        let options = EngineHandle(rocksdb_readoptions_create(), rocksdb_readoptions_destroy)
        rocksdb_readoptions_set_read_tier(options.pointer, tier)
        return options
    }

    // MARK: Failure

    /// Throws what the engine failed with, if it did.
    func checkUsable() throws(StorageError) {
        guard hasFailed.load(ordering: .acquiring) else { return }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Notes a failure that is final; the first one stands.
    func fail(_ error: StorageError) -> StorageError {
        let first = failure.withLock { failure in
            let first = failure ?? error
            failure = first
            return first
        }
        hasFailed.store(true, ordering: .releasing)
        return first
    }

    /// What to throw for a call that failed: a refusal as it is, anything else for good.
    func outcome(of failure: EngineFailure) -> StorageError {
        let error = failure.storageError
        if case .refused(let refusal) = error {
            if refusal == .stalled {
                counters.refusedStalled.wrappingAdd(1, ordering: .relaxed)
            } else {
                counters.refusedDiskFull.wrappingAdd(1, ordering: .relaxed)
            }
            return error
        }
        return fail(error)
    }

    // MARK: End

    /// After a failure nothing more is written: what the disk holds is for the next start to judge.
    package func close() throws(StorageError) {
        defer { database.close() }
        try checkUsable()
        _ = try sync()
        // With the tables written out the next start has no log to replay. A disk too full for them is no
        // failure: the log has everything.
        do {
            try database.flushTables()
        } catch {
            let error = outcome(of: error)
            guard case .refused = error else { throw error }
        }
        try syncMark()
        _ = fail(.failed("the engine is closed"))
    }
}

/// Numbers that the loop, the syncer and the workers share.
final class EngineCounters: Sendable {
    let lastWritten = Atomic<UInt64>(0)
    let lastSynced = Atomic<UInt64>(0)
    let batches = Atomic<Int>(0)
    let syncs = Atomic<Int>(0)
    let refusedStalled = Atomic<Int>(0)
    let refusedDiskFull = Atomic<Int>(0)
    let cacheHits = Atomic<Int>(0)
    let cacheMisses = Atomic<Int>(0)
    let cacheBytes = Atomic<Int>(0)
    let freeBytes = Atomic<Int>(.max)
    let isDiskFull = Atomic<Bool>(false)
    let isWriteStopped = Atomic<Bool>(false)
}
