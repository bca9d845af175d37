import MartletBase
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions

/// One machine's disk: the memory engine behind the latencies, refusals, failures and losses of a real one,
/// and beside it the small files of a data folder. It outlives the processes that use it.
///
/// It stands for the whole of the runtime's storage driver: all the writes of one turn of the node are one
/// batch; one sync at a time is under way and covers what was written before it began; an acknowledgement
/// follows from a sync.
package final class SimulatedDisk {
    /// How a disk behaves until told otherwise.
    struct Conditions {
        var syncLatency: ClosedRange<Interval> = .microseconds(100)...(.microseconds(600))
        var coldReadLatency: ClosedRange<Interval> = .microseconds(80)...(.milliseconds(2))
        /// The share of reads that memory can't answer.
        var coldReads = 0.0
        var refusal: StorageRefusal?
        /// The share of cold reads that find the queue full.
        var refusedReads = 0.0
    }

    let rules: RecordJoin
    private(set) var engine: MemoryEngine
    var conditions = Conditions()
    var durability: Durability

    // The small files.
    var epoch: UInt64 = 1
    var boot: UInt32 = 0
    /// `DataFolder.lostEpoch`.
    private(set) var lostEpoch: UInt64 = 0
    /// Whether the files of the folder are copies.
    var isForeign = false
    private(set) var stampCeiling: HybridTime = .zero
    /// On its way to the disk.
    var pendingCeiling: HybridTime?
    var wasStoppedCleanly = true
    /// `Node.treeCheckpoint` of the last clean end.
    private var trees: Blob?
    /// What a start finds of the run before.
    private var lastEnd = RunEnd()

    private var batch = WriteBatch()
    private var batchTickets: [WriteTicket] = []
    private var written = WriteTicket(0)
    private var sync: (mark: MemoryEngine.SyncMark, through: WriteTicket, versions: Int)?
    /// What the batches that aren't durable hold, oldest first, for the checkers.
    private var pending: [(batch: Int, change: Change)] = []
    private var batchCount = 0
    /// By key index: what no crash can take back any more.
    private(set) var durable: [HeldVersion] = []
    /// By key index: the hints that no crash can take back, but their deletion.
    private var durableHints: [Int: [Blob: Hinted.Hint]] = [:]

    /// Hints whose deletion was asked for, and the indexes of their keys.
    private var deleting: [Blob: Int] = [:]

    private enum Change {
        case version(key: Int, HeldVersion)
        case hint(Blob, Hinted.Hint)
        case deletion(Blob, key: Int)
        case erasure(ClosedRange<UInt64>)
    }

    package init(durability: Durability) {
        rules = .records
        engine = MemoryEngine(rules)
        self.durability = durability
    }

    /// What is read from the folder before a node is made.
    func recovered() -> RecoveredState {
        engine.refusal = nil
        let pairs = (try? engine.scanMeta(prefix: .empty)) ?? []
        return RecoveredState(
            stampCeiling: stampCeiling, meta: pairs.map { ($0.key, $0.value) }, end: lastEnd, trees: trees)
    }

    /// A process starts on the folder.
    func begin(at wall: WallTime) {
        lastEnd = RunEnd(boot: boot, lastWrite: engine.lastWritten)
        boot += 1
        if isForeign { boot = max(boot, RebuildOrder.bootNumber(wall)) }
        if isForeign || !wasStoppedCleanly { epoch += 1 }
        if isForeign { lostEpoch = epoch }
        isForeign = false
        wasStoppedCleanly = false
    }

    /// The folder becomes what the peers say.
    func become(_ order: RebuildOrder) {
        epoch = order.epoch
        lostEpoch = order.epoch
        boot = order.boot
        stampCeiling = max(stampCeiling, order.ceiling)
        wasStoppedCleanly = true
    }

    /// A copy of what is durable now.
    func copy() -> SimulatedDisk {
        let copy = SimulatedDisk(durability: durability)
        copy.engine = engine.copyOfDurable()
        copy.epoch = epoch
        copy.boot = boot
        copy.lostEpoch = lostEpoch
        copy.stampCeiling = stampCeiling
        copy.wasStoppedCleanly = false
        copy.trees = trees
        copy.durable = durable
        copy.durableHints = durableHints
        return copy
    }

    /// The truncation of a keyspace that no crash can take back.
    func durableTruncation(keyspace: UInt32) -> UInt64 {
        let pairs = (try? engine.copyOfDurable().scanMeta(prefix: Blob([UInt8(ascii: "k")]))) ?? []
        let definitions = pairs.compactMap { pair -> KeyspaceDefinition? in
            var reader = ByteReader(pair.value.span)
            return try? KeyspaceDefinition(from: &reader)
        }
        return definitions.first { $0.id == keyspace }?.truncation ?? 0
    }

    // MARK: Writing

    package func merge(_ ticket: WriteTicket, _ key: StorageKey, _ record: Blob) {
        batch.merge(key, record)
        batchTickets.append(ticket)
    }

    func putMeta(_ ticket: WriteTicket, _ key: Blob, _ value: Blob) {
        batch.putMeta(key, value)
        batchTickets.append(ticket)
    }

    func putHint(_ ticket: WriteTicket, _ key: Blob, _ value: Blob) {
        batch.putHint(key, value)
        batchTickets.append(ticket)
    }

    func deleteHints(_ ticket: WriteTicket, _ keys: [Blob]) {
        for key in keys {
            if let hint = hint(key) { deleting[key] = hint.key }
            batch.deleteHint(key)
        }
        batchTickets.append(ticket)
    }

    func delete(_ ticket: WriteTicket, _ keys: [StorageKey]) {
        for key in keys { batch.delete(key) }
        batchTickets.append(ticket)
    }

    func deleteRange(_ ticket: WriteTicket, _ keyspace: UInt32, _ tokens: ClosedRange<UInt64>) {
        batch.deleteRange(keyspace: keyspace, tokens)
        batchTickets.append(ticket)
    }

    package enum Written {
        case nothing
        /// The batch is visible, and not durable.
        case accepted
        case refused([WriteTicket], StorageRefusal)
        case failed(String)
    }

    /// Ends a turn, or makes its writes visible to a read of the same turn.
    package func flush() -> Written {
        guard !batch.isEmpty else { return .nothing }
        defer {
            batch.removeAll()
            batchTickets.removeAll(keepingCapacity: true)
        }
        engine.refusal = conditions.refusal
        do {
            try engine.write(batch)
        } catch {
            switch error {
            case .refused(let refusal): return .refused(batchTickets, refusal)
            case .failed(let text), .failedSync(let text): return .failed(text)
            }
        }
        batchCount += 1
        for write in batch.writes {
            if let change = change(write) { pending.append((batchCount, change)) }
        }
        written = batchTickets[batchTickets.count - 1]
        return .accepted
    }

    private func change(_ write: WriteBatch.Write) -> Change? {
        switch write {
        case .merge(let key, let record):
            guard let index = WorkloadKeys.index(of: key.bytes), let version = HeldVersion(of: record) else {
                return nil
            }
            return .version(key: index, version)
        case .putHint(let key, let value):
            return Self.hint(key, value).map { .hint(key, $0) }
        case .deleteHint(let key):
            return deleting[key].map { .deletion(key, key: $0) }
        case .deleteRange(keyspace: 0, let tokens):
            erased(tokens)
            return .erasure(tokens)
        case .putMeta, .delete, .deleteRange: return nil
        }
    }

    private static func hint(_ key: Blob, _ value: Blob) -> Hinted.Hint? {
        guard let hint = HintKey(key), let write = try? HintedWrite(stored: value),
            let index = WorkloadKeys.index(of: write.key), let version = HeldVersion(of: write.record)
        else { return nil }
        return Hinted.Hint(
            key: index, target: hint.target, version: version, counts: hint.counts,
            time: hint.time.milliseconds)
    }

    /// What is stored under a hint's key now.
    func hint(_ key: Blob) -> Hinted.Hint? {
        let page = try? engine.scanHints(from: key, until: nil, limit: ScanLimit(recordsMax: 1))
        guard let pair = page?.records.first, pair.key == key else { return nil }
        return Self.hint(key, pair.value)
    }

    func durableHints(_ key: Int, for target: NodeID) -> [Hinted.Hint] {
        // Only looked through, so that the order makes no difference.
        (durableHints[key] ?? [:]).values.filter { $0.target == target }
    }

    var hintCount: Int {
        let limit = ScanLimit(recordsMax: .max, bytesMax: .max)
        return (try? engine.scanHints(from: .empty, until: nil, limit: limit))?.records.count ?? 0
    }

    /// The last write that is visible; in `periodic` it counts as durable at once.
    var lastWritten: WriteTicket { written }

    // MARK: Syncing

    /// Begins a sync, unless one is under way or there is nothing to sync; tells whether it did.
    package func beginSync() -> Bool {
        guard sync == nil, engine.unsyncedBatches > 0 else { return false }
        sync = (engine.beginSync(), written, pending.count)
        return true
    }

    package enum Synced {
        case durable(through: WriteTicket)
        case failed(String)
    }

    package func finishSync() -> Synced {
        guard let sync else { invariantBroken("a sync ended that had not begun") }
        self.sync = nil
        do {
            _ = try engine.finishSync(sync.mark)
        } catch {
            return .failed("input/output error")
        }
        settle(sync.versions)
        return .durable(through: sync.through)
    }

    private func settle(_ count: Int) {
        for (_, change) in pending[..<count] {
            switch change {
            case .version(let key, let version): raise(key, to: version)
            case .hint(let key, let hint): durableHints[hint.key, default: [:]][key] = hint
            case .erasure(let tokens): erased(tokens)
            case .deletion(let key, let index):
                durableHints[index]?[key] = nil
                deleting[key] = nil
            }
        }
        pending.removeSubrange(..<count)
    }

    private func raise(_ key: Int, to version: HeldVersion) {
        while durable.count <= key { durable.append(.none) }
        if version > durable[key] { durable[key] = version }
    }

    /// What the disk need not hold any more.
    private func erased(_ tokens: ClosedRange<UInt64>) {
        for key in durable.indices where tokens.contains(WorkloadKeys.stored(key).token) {
            durable[key] = .none
        }
    }

    func letGo(_ keys: [StorageKey]) {
        for key in keys {
            if let index = WorkloadKeys.index(of: key.bytes), index < durable.count { durable[index] = .none }
        }
    }

    /// By key: what the disk holds, durable or not.
    var held: [HeldVersion] {
        var held = durable
        func raise(_ change: Change?) {
            guard case .version(let key, let version) = change else { return }
            while held.count <= key { held.append(.none) }
            held[key] = max(held[key], version)
        }
        for change in pending { raise(change.1) }
        for write in batch.writes {
            if case .merge = write { raise(self.change(write)) }
        }
        return held
    }

    /// What the disk is sure to hold under a key of the workload.
    package func durableVersion(_ key: Int) -> HeldVersion { key < durable.count ? durable[key] : .none }

    // MARK: Reading

    package func read(_ key: StorageKey) -> Blob? {
        guard case .found(let record) = try? engine.read(key, tier: .any) else { return nil }
        return record
    }

    /// The keyspaces of which there are records.
    var keyspacesHeld: Set<UInt32> {
        let limit = ScanLimit(recordsMax: .max, bytesMax: .max)
        let page = try? engine.scan(from: .empty, until: nil, limit: limit)
        return Set((page?.records ?? []).compactMap { StorageKey(stored: $0.key)?.keyspace })
    }

    /// With few records a page, so that lists have many pages here too.
    func carryOut(_ work: DiskWork) -> StorageCompletion {
        let empty = ScanPage(records: [], next: nil)
        func small(_ limit: ScanLimit) -> ScanLimit {
            ScanLimit(recordsMax: min(limit.recordsMax, Self.pageRecordsMax), bytesMax: limit.bytesMax)
        }
        switch work.what {
        case .scan(let lower, let upper, let limit):
            let page = try? engine.scan(from: lower, until: upper, limit: small(limit))
            return .scanned(work.ticket, page ?? empty)
        case .scanHints(let lower, let upper, let limit):
            let page = try? engine.scanHints(from: lower, until: upper, limit: small(limit))
            return .scanned(work.ticket, page ?? empty)
        case .digest(var query):
            query.limit = small(query.limit)
            return .digested(work.ticket, (try? engine.digest(query)) ?? DigestPage())
        case .collect(let keys, let bytesMax):
            return .scanned(work.ticket, (try? engine.collect(keys, bytesMax: bytesMax)) ?? empty)
        }
    }

    /// What a leaf of keyspace 0 sums up to, worked out anew.
    func sum(of leaf: Leaf, behind horizon: Horizon) -> UInt64 {
        let query = DigestQuery(
            keyspace: 0, ranges: [leaf.first.value...leaf.last.value], horizon: horizon, wanted: .sums,
            limit: ScanLimit(recordsMax: .max, bytesMax: .max))
        return (try? engine.digest(query))?.sums.first?.sum ?? 0
    }

    private static let pageRecordsMax = 16

    // MARK: Ends

    /// The process died: what was synced stays, and of what wasn't a random prefix.
    package func crash(_ random: inout Random) {
        let unsynced = engine.unsyncedBatches
        let kept = unsynced == 0 ? 0 : random.below(unsynced + 1)
        let isTorn = kept > 0 && random.chance(0.3)
        let survivors = kept - (isTorn ? 1 : 0)
        let lastSurvivor = batchCount - unsynced + survivors
        engine.crash(keeping: kept, tornTail: isTorn)
        settle(pending.prefix { $0.batch <= lastSurvivor }.count)
        if random.chance(0.5) { landCeiling() }
        forgetProcess()
        // What is there now is durable: an erasure may be lost, too.
        for key in durable.indices {
            if let record = read(WorkloadKeys.stored(key)), let version = HeldVersion(of: record) {
                raise(key, to: version)
            }
        }
    }

    /// The process ends of itself: the last of what it wrote is synced. False when the disk fails at that.
    func close(_ checkpoint: (SequenceNumber) -> Blob?) -> Bool {
        guard let lastWrite = try? engine.sync() else { return false }
        trees = checkpoint(lastWrite)
        settle(pending.count)
        forgetProcess()
        return true
    }

    private func forgetProcess() {
        pending.removeAll()
        batch.removeAll()
        batchTickets.removeAll()
        sync = nil
        written = WriteTicket(0)
        pendingCeiling = nil
    }

    /// The file of the stamp ceiling was replaced.
    func landCeiling() {
        if let ceiling = pendingCeiling, ceiling > stampCeiling { stampCeiling = ceiling }
        pendingCeiling = nil
    }

    var unsyncedBatches: Int { engine.unsyncedBatches }
    package func failNextSync() { engine.syncFault = "input/output error" }
    func checkInvariants() { engine.checkInvariants() }
    func forgetFaults() { engine.syncFault = nil }
}

/// When an acknowledgement is given: `storage.durability` of cluster.yaml.
package enum Durability: String, Sendable {
    case batch, periodic
}
