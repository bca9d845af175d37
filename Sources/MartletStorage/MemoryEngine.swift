import MartletBase

/// A storage engine in memory, for tests and for the simulator: deterministic, on one thread, with a disk's
/// durability modelled exactly.
///
/// What is written is visible at once, and an undo log keeps, for every batch that isn't synced, what each
/// write replaced. `finishSync` forgets the undo log up to a mark; `crash` undoes the batches that didn't
/// survive, newest first. So a write costs one look-up and one entry, a sync costs nothing, and a crash
/// costs what was lost.
///
/// The simulator gives a sync its latency by calling `beginSync` when it starts and `finishSync` when it
/// ends; `sync` is both at once.
package final class MemoryEngine: StorageEngine {
    /// What a sync that was begun will cover.
    package struct SyncMark: Hashable, Sendable {
        package let sequence: SequenceNumber
        /// Crashes before the sync was begun.
        let crashes: Int
    }

    /// What a write replaced; nil when there was nothing.
    enum Undo {
        case record(StorageKey, Blob?)
        case meta(Blob, Blob?)
        case hint(Blob, Blob?)
        /// The end of the batch with this number.
        case batch(SequenceNumber)
    }

    package let rules: RecordJoin
    var data = OrderedTable<StorageKey>()
    var meta = OrderedTable<Blob>()
    var hints = OrderedTable<Blob>()
    var undo = UndoLog()
    var scratch = ByteWriter()
    package internal(set) var lastWritten = SequenceNumber.zero
    var lastSynced = SequenceNumber.zero
    var failure: StorageError?
    var crashes = 0
    var expiredBefore: WallTime?
    var counts = StorageStatistics()

    /// Set by tests and the simulator: every write is refused with it until it is nil again.
    package var refusal: StorageRefusal?
    /// Set by tests and the simulator: the next sync fails with this text, and with it the engine.
    package var syncFault: String?

    package init(_ rules: RecordJoin) { self.rules = rules }

    /// Another engine, with what a crash now would certainly leave.
    package func copyOfDurable() -> MemoryEngine {
        let copy = MemoryEngine(rules)
        copy.data = data
        copy.meta = meta
        copy.hints = hints
        copy.undo = undo
        copy.lastWritten = lastWritten
        copy.lastSynced = lastSynced
        copy.crashes = crashes
        copy.crash(keeping: 0)
        return copy
    }

    // MARK: Writing

    @discardableResult
    package func write(_ batch: borrowing WriteBatch) throws(StorageError) -> SequenceNumber {
        if let failure { throw failure }
        if let refusal {
            counts.refusedStalled += refusal == .stalled ? 1 : 0
            counts.refusedDiskFull += refusal == .diskFull ? 1 : 0
            throw .refused(refusal)
        }
        guard !batch.isEmpty else { return lastWritten }
        for write in batch.writes {
            switch write {
            case .merge(let key, let record): merge(record, under: key)
            case .putMeta(let key, let value):
                undo.append(.meta(key, meta.replace(value, under: key)))
            case .putHint(let key, let value):
                undo.append(.hint(key, hints.replace(value, under: key)))
            case .deleteHint(let key):
                guard let before = hints[key] else { continue }
                hints.restore(nil, under: key)
                undo.append(.hint(key, before))
            case .delete(let key): delete(key)
            case .deleteRange(let keyspace, let tokens): delete(keyspace, tokens)
            }
        }
        counts.batches += 1
        lastWritten = SequenceNumber(lastWritten.number + UInt64(batch.count))
        undo.append(.batch(lastWritten))
        return lastWritten
    }

    private func merge(_ record: Blob, under key: StorageKey) {
        guard let present = data[key] else {
            undo.append(.record(key, data.replace(record, under: key)))
            return
        }
        let joined = rules.joined(present, record, scratch: &scratch)
        undo.append(.record(key, data.replace(joined, under: key)))
    }

    private func delete(_ keyspace: UInt32, _ tokens: ClosedRange<UInt64>) {
        let first = StorageKey.position(keyspace: keyspace, token: tokens.lowerBound)
        var keys: [StorageKey] = []
        data.visit(from: StorageKey(position: first)) { key, _ in
            guard key.keyspace == keyspace, tokens.contains(key.token) else { return false }
            keys.append(key)
            return true
        }
        for key in keys { delete(key) }
    }

    private func delete(_ key: StorageKey) {
        guard let before = data[key] else { return }
        data.restore(nil, under: key)
        undo.append(.record(key, before))
    }

    // MARK: Durability

    package func sync() throws(StorageError) -> SequenceNumber { try finishSync(beginSync()) }

    /// Notes what a sync that starts now will cover.
    package func beginSync() -> SyncMark { SyncMark(sequence: lastWritten, crashes: crashes) }

    /// The sync that was begun at the mark has ended: what it covers survives every crash from here on. A
    /// sync that a crash has overtaken must not be finished.
    package func finishSync(_ mark: SyncMark) throws(StorageError) -> SequenceNumber {
        if let failure { throw failure }
        if let fault = syncFault {
            syncFault = nil
            failure = .failedSync(fault)
            throw .failedSync(fault)
        }
        invariant(mark.crashes == crashes, "a sync from before a crash was finished after it")
        counts.syncs += 1
        lastSynced = max(lastSynced, mark.sequence)
        undo.forget(through: lastSynced)
        return lastSynced
    }

    /// How many batches a crash could lose now.
    package var unsyncedBatches: Int { undo.batches }

    /// Turns this engine into what a restart after a crash finds: everything synced, and the first `kept`
    /// of the batches that weren't. With `tornTail` the last of these reached the disk in part only: it is
    /// dropped whole.
    package func crash(keeping kept: Int, tornTail: Bool = false) {
        let whole = max(0, min(kept, unsyncedBatches) - (tornTail ? 1 : 0))
        let lost = unsyncedBatches - whole
        undo.takeBack(batches: lost) { entry in
            switch entry {
            case .record(let key, let before): data.restore(before, under: key)
            case .meta(let key, let before): meta.restore(before, under: key)
            case .hint(let key, let before): hints.restore(before, under: key)
            case .batch: break
            }
        }
        crashes += 1
        // What survived a crash was read back from the disk, so it is durable.
        lastWritten = undo.lastBatch ?? lastSynced
        lastSynced = lastWritten
        undo.forget(through: lastSynced)
        failure = nil
        syncFault = nil
    }

    // MARK: Reading

    package func read(_ key: StorageKey, tier: ReadTier) throws(StorageError) -> ReadResult {
        if let failure { throw failure }
        return data[key].map { .found($0) } ?? .absent
    }

    package func readMeta(_ key: Blob) throws(StorageError) -> Blob? {
        if let failure { throw failure }
        return meta[key]
    }

    package func scanMeta(prefix: Blob) throws(StorageError) -> [StoredPair] {
        if let failure { throw failure }
        var found: [StoredPair] = []
        meta.visit(from: prefix) { key, value in
            guard key.bytes.starts(with: prefix.bytes) else { return false }
            found.append(StoredPair(key: key, value: value))
            return true
        }
        return found
    }

    package func scan(
        from lower: Blob, until upper: Blob?, limit: ScanLimit
    ) throws(StorageError) -> ScanPage {
        if let failure { throw failure }
        var page = ScanPage(records: [], next: nil)
        var byteCount = 0
        data.visit(from: StorageKey(position: lower)) { key, record in
            if let upper, key.bytes >= upper { return false }
            if page.records.count >= limit.recordsMax || byteCount >= limit.bytesMax {
                page.next = key.bytes
                return false
            }
            byteCount += key.bytes.count + record.count
            page.records.append(StoredPair(key: key.bytes, value: record))
            return true
        }
        return page
    }

    package func visit(
        from lower: Blob, until upper: Blob?,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StorageError) {
        if let failure { throw failure }
        data.visit(from: StorageKey(position: lower)) { key, record in
            if let upper, key.bytes >= upper { return false }
            return key.bytes.withUnsafeBytes { k in record.withUnsafeBytes { body(k, $0) } }
        }
    }

    package func scanHints(
        from lower: Blob, until upper: Blob?, limit: ScanLimit
    ) throws(StorageError) -> ScanPage {
        if let failure { throw failure }
        var page = ScanPage(records: [], next: nil)
        var byteCount = 0
        hints.visit(from: lower) { key, value in
            if let upper, key >= upper { return false }
            if page.records.count >= limit.recordsMax || byteCount >= limit.bytesMax {
                page.next = key
                return false
            }
            byteCount += key.count + value.count
            page.records.append(StoredPair(key: key, value: value))
            return true
        }
        return page
    }

    // MARK: Upkeep

    package func compact() throws(StorageError) {
        if let failure { throw failure }
        guard let expiredBefore else { return }
        data.mapInOrder { record in
            let dropped = record.withUnsafeBytes { rules.dropExpired($0, expiredBefore, &scratch) }
            guard dropped else { return nil }
            let rest = Blob(copying: scratch.bytes.span.bytes)
            scratch.bytes.removeAll(keepingCapacity: true)
            counts.valuesDropped += 1
            return rest
        }
    }

    package func dropValues(expiredBefore cutoff: WallTime) { expiredBefore = cutoff }

    package func checkHealth() throws(StorageError) {
        if let failure { throw failure }
    }

    package func statistics() -> StorageStatistics {
        var statistics = counts
        statistics.memtableBytes = data.byteCount + meta.byteCount + hints.byteCount
        statistics.lastWritten = lastWritten
        statistics.lastSynced = lastSynced
        return statistics
    }

    /// What is stored stays: `crash` is also how a closed engine is opened again.
    package func close() throws(StorageError) {
        _ = try sync()
        failure = .failed("the engine is closed")
    }

    /// Traps when the books don't agree. Takes time in proportion to what is stored.
    package func checkInvariants() {
        invariant(lastSynced <= lastWritten, "synced \(lastSynced), but written only \(lastWritten)")
        invariant(
            undo.batches > 0 || lastSynced == lastWritten || lastWritten == .zero,
            "writes up to \(lastWritten) aren't synced, but nothing could undo them")
        data.checkInvariants()
        meta.checkInvariants()
        hints.checkInvariants()
    }
}
