import Glibc
import MartletBase
import MartletNode
import MartletRuntime
import MartletStorage

/// A memory engine that fails as it is told, from any thread.
///
/// Safe: everything is behind one lock.
final class FaultyEngine: StorageEngine, @unchecked Sendable {
    private let memory = MemoryEngine(.records)
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var faults = Faults()

    struct Faults {
        var write: StorageError?
        var sync: StorageError?
        var coldRead: StorageError?
        var health: StorageError?
        var isCold = false
        var syncs = 0
        var batches = 0
    }

    init() { pthread_mutex_init(lock, nil) }

    deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    private func locked<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return try body()
    }

    func change(_ body: (inout Faults) -> Void) { locked { body(&faults) } }
    var counts: (syncs: Int, batches: Int) { locked { (faults.syncs, faults.batches) } }

    func write(_ batch: borrowing WriteBatch) throws(StorageError) -> SequenceNumber {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        if let fault = faults.write { throw fault }
        faults.batches += 1
        return try memory.write(batch)
    }

    func sync() throws(StorageError) -> SequenceNumber {
        try locked { () throws(StorageError) in
            faults.syncs += 1
            if let fault = faults.sync { throw fault }
            return try memory.sync()
        }
    }

    func read(_ key: StorageKey, tier: ReadTier) throws(StorageError) -> ReadResult {
        try locked { () throws(StorageError) in
            if tier == .memoryOnly, faults.isCold { return .cold }
            if tier == .any, let fault = faults.coldRead { throw fault }
            return try memory.read(key, tier: tier)
        }
    }

    func readMeta(_ key: Blob) throws(StorageError) -> Blob? {
        try locked { () throws(StorageError) in try memory.readMeta(key) }
    }

    func scanHints(
        from lower: Blob, until upper: Blob?, limit: ScanLimit
    ) throws(StorageError) -> ScanPage {
        try locked { () throws(StorageError) in
            try memory.scanHints(from: lower, until: upper, limit: limit)
        }
    }

    func scanMeta(prefix: Blob) throws(StorageError) -> [StoredPair] {
        try locked { () throws(StorageError) in try memory.scanMeta(prefix: prefix) }
    }

    func scan(from lower: Blob, until upper: Blob?, limit: ScanLimit) throws(StorageError) -> ScanPage {
        try locked { () throws(StorageError) in try memory.scan(from: lower, until: upper, limit: limit) }
    }

    var rules: RecordJoin { .records }

    func visit(
        from lower: Blob, until upper: Blob?,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StorageError) {
        try locked { () throws(StorageError) in try memory.visit(from: lower, until: upper, body) }
    }

    func compact() throws(StorageError) {}
    func dropValues(expiredBefore cutoff: WallTime) { locked { memory.dropValues(expiredBefore: cutoff) } }

    func checkHealth() throws(StorageError) {
        try locked { () throws(StorageError) in if let fault = faults.health { throw fault } }
    }

    var refusal: StorageRefusal? { nil }
    func statistics() -> StorageStatistics { locked { memory.statistics() } }
    func close() throws(StorageError) {}
}

/// Counts from one, on any thread.
///
/// Safe: behind a lock.
final class Counter: @unchecked Sendable {
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var count = 0

    init() { pthread_mutex_init(lock, nil) }

    deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    func next() -> Int {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        count += 1
        return count
    }
}
