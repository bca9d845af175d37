import CRocksDB
import MartletBase
import MartletStorage

// Writing, on the loop.
extension RocksDBEngine {
    @discardableResult
    package func write(_ batch: borrowing WriteBatch) throws(StorageError) -> SequenceNumber {
        try checkUsable()
        loop.bytesSinceSpaceCheck += batch.byteCount
        if loop.bytesSinceSpaceCheck >= Limits.spaceCheckBytes {
            loop.bytesSinceSpaceCheck = 0
            try checkSpace()
        }
        if counters.isDiskFull.load(ordering: .relaxed) {
            counters.refusedDiskFull.wrappingAdd(1, ordering: .relaxed)
            throw .refused(.diskFull)
        }
        rocksdb_writebatch_clear(loop.batch.pointer)
        for write in batch.writes {
            switch write {
            case .merge(let key, let record): add(merging: record, under: key)
            case .putMeta(let key, let value): put(value, under: key, in: database.meta)
            case .putHint(let key, let value): put(value, under: key, in: database.hints)
            case .deleteHint(let key): delete(key, in: database.hints)
            case .delete(let key):
                delete(key.bytes, in: database.data)
                loop.cache.remove(key)
            case .deleteRange(let keyspace, let tokens): delete(keyspace, tokens)
            }
        }
        if rocksdb_writebatch_count(loop.batch.pointer) > 0 {
            do {
                try callEngine {
                    rocksdb_write(database.pointer, loop.options.pointer, loop.batch.pointer, $0)
                }
            } catch {
                forget(batch)
                throw outcome(of: error)
            }
            counters.batches.wrappingAdd(1, ordering: .relaxed)
            counters.lastWritten.store(database.latestSequence, ordering: .relaxed)
        }
        holdHot()
        counters.cacheBytes.store(loop.cache.byteCount, ordering: .relaxed)
        // Also when nothing had to be written: the records that the batch changed nothing in may still wait
        // for their sync.
        return SequenceNumber(counters.lastWritten.load(ordering: .relaxed))
    }

    private func add(merging record: Blob, under key: StorageKey) {
        guard let present = loop.cache.record(key) else {
            key.bytes.withUnsafeBytes { k in
                record.withUnsafeBytes { v in
                    rocksdb_writebatch_merge_cf(
                        loop.batch.pointer, database.data, k.characters, k.count, v.characters, v.count)
                }
            }
            if loop.cache.isHot(afterBlindMergeOf: key) { loop.hot.append(key) }
            return
        }
        let joined = loop.rules.joined(present, record, scratch: &loop.scratch)
        if joined == present { return }
        put(joined, under: key.bytes, in: database.data)
        loop.cache.hold(joined, under: key)
    }

    private func put(_ value: Blob, under key: Blob, in family: OpaquePointer) {
        key.withUnsafeBytes { k in
            value.withUnsafeBytes { v in
                rocksdb_writebatch_put_cf(
                    loop.batch.pointer, family, k.characters, k.count, v.characters, v.count)
            }
        }
    }

    private func delete(_ key: Blob, in family: OpaquePointer) {
        key.withUnsafeBytes {
            rocksdb_writebatch_delete_cf(loop.batch.pointer, family, $0.characters, $0.count)
        }
    }

    /// Keyspace ids end one before the largest number, so that each has an end.
    private func delete(_ keyspace: UInt32, _ tokens: ClosedRange<UInt64>) {
        let first = StorageKey.position(keyspace: keyspace, token: tokens.lowerBound)
        guard let end = StorageKey.position(keyspace: keyspace, after: tokens.upperBound) else {
            invariantBroken("the last keyspace has no end")
        }
        first.withUnsafeBytes { first in
            end.withUnsafeBytes { end in
                rocksdb_writebatch_delete_range_cf(
                    loop.batch.pointer, database.data, first.characters, first.count, end.characters,
                    end.count)
            }
        }
        loop.cache.remove(keyspace: keyspace, tokens)
    }

    /// The batch wasn't written, so the cache must not hold what it would have made.
    private func forget(_ batch: borrowing WriteBatch) {
        for write in batch.writes {
            if case .merge(let key, _) = write { loop.cache.remove(key) }
        }
        loop.hot.removeAll(keepingCapacity: true)
    }

    /// Brings the records of keys that were merged into often to the cache, unless their bases are on the
    /// disk: then the next read brings them.
    private func holdHot() {
        for key in loop.hot {
            if case .found(let record)? = try? lookUp(key, options: readMemory.pointer) {
                loop.cache.hold(record, under: key)
            }
        }
        loop.hot.removeAll(keepingCapacity: true)
    }
}

// Making durable, on the syncer thread.
extension RocksDBEngine {
    private static let markInterval = Interval.seconds(1)

    package func sync() throws(StorageError) -> SequenceNumber {
        try checkUsable()
        let covered = database.latestSequence
        if covered == counters.lastSynced.load(ordering: .relaxed) { return SequenceNumber(covered) }
        do {
            try database.syncLog()
        } catch {
            throw fail(.failedSync(error.text))
        }
        counters.syncs.wrappingAdd(1, ordering: .relaxed)
        counters.lastSynced.store(covered, ordering: .relaxed)
        try raiseMark(to: covered)
        return SequenceNumber(covered)
    }

    private func raiseMark(to covered: UInt64) throws(StorageError) {
        let failure = folder.synced.withLock { (mark) -> FileFailure? in
            do throws(FileFailure) {
                try mark.raise(to: covered)
                return nil
            } catch {
                return error
            }
        }
        // A mark that can't be raised is only older than it could be, unless the disk itself fails.
        if let failure, !failure.isFull { throw fail(.failedSync("\(failure)")) }
        if MonotonicClock.now() - syncer.markSynced >= Self.markInterval { try syncMark() }
    }

    func syncMark() throws(StorageError) {
        syncer.markSynced = MonotonicClock.now()
        let failure = folder.synced.withLock { (mark) -> FileFailure? in
            do throws(FileFailure) {
                try mark.sync()
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw fail(.failedSync("\(failure)")) }
    }
}

extension UnsafeRawBufferPointer {
    /// As C takes bytes.
    var characters: UnsafePointer<CChar>? { baseAddress?.assumingMemoryBound(to: CChar.self) }
}
