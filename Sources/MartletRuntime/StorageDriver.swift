import MartletBase
import MartletLoop
import MartletNode
import MartletStorage

/// Carries out a node's storage requests on a real engine without ever letting the loop wait for the disk.
///
/// **Writes.** All the merges of a loop turn are one batch, written at the turn's end, or earlier when a read
/// asks for one of its keys. Under `batch` one syncer thread makes them durable: a sync covers everything
/// written before it began, so all that came in during the previous fsync shares the next one (group commit).
///
/// **Reads.** What memory holds is answered in the same turn; only a cold read goes to a worker. Scans have
/// a worker of their own, so that no read waits behind one.
///
/// Completions may come from inside `carryOut` and `endTurn` (a read that memory answers, a batch that is
/// refused), and may ask for more: the owner queues what it is told.
package final class StorageDriver {
    package enum Durability: Sendable {
        /// Acknowledged after fsync.
        case batch
        /// Acknowledged when written; synced each interval.
        case periodic(Interval)
    }

    private enum Message: Sendable {
        case synced(through: WriteTicket)
        /// The disk is full: what was written isn't durable yet, and the sync is tried again after the next
        /// health check.
        case syncRefused
        case read(ReadTicket, Blob?)
        case scanned(ReadTicket, ScanPage)
        case digested(ReadTicket, DigestPage)
        case readRefused(ReadTicket, StorageRefusal)
        case stampsReserved(ceiling: UInt64)
        case stampsRefused(ceiling: UInt64)
        case healthy
        case failed(String)
    }

    private let loop: EventLoop
    private let engine: any StorageEngine & Sendable
    private let durability: Durability
    /// How long after its expiry a value's bytes may be dropped: by then no coordinator shows it any more.
    private let dropAfter: Interval
    private let reserve: @Sendable (UInt64) throws(StorageError) -> Void
    private let onCompletion: (consuming StorageCompletion) -> Void
    private var inbox: Inbox<Message>!
    private let syncer: WorkerPool
    private let readers: WorkerPool
    private let scanner: WorkerPool
    private let upkeep: WorkerPool
    private var timer: LoopTimer!

    private var batch = WriteBatch()
    private var batchTickets: [WriteTicket] = []
    /// Hashes of the keys in the batch: a read of one of them must see it.
    private var batchKeys: [UInt64] = []
    /// The last ticket that was written.
    private var written = WriteTicket(0)
    /// The last ticket whose durability was announced.
    private var announced = WriteTicket(0)
    private var isSyncing = false
    private var isCheckingHealth = false
    private var wantsStamps: UInt64?
    private var hasFailed = false
    private var nextSync: Instant
    private var nextHealthCheck: Instant

    package private(set) var coldReads: UInt64 = 0
    /// With a worker, or waiting for one.
    package private(set) var coldReadsPending = 0
    package private(set) var refusedWrites: UInt64 = 0
    private(set) var syncLatency = LatencyHistogram()
    private var syncBegan = Instant.zero

    /// How often the disk's free space and the engine's background work are looked at.
    static let healthInterval = Interval.milliseconds(250)
    /// A turn's batch is written early when it holds this many keys, which bounds the scan of `batchKeys`.
    static let batchKeysMax = 128
    /// Or this many bytes.
    static let batchBytesMax = 4 << 20
    /// Cold reads that may wait for a worker.
    static let coldReadsMax = 8_192
    /// Scans that may wait for their worker: all that the node may have under way.
    static let scansMax = Limits.replicaScansMax + Limits.hintScansMax + Limits.exchangeJobsMax

    package init(
        _ loop: EventLoop, engine: any StorageEngine & Sendable, durability: Durability, dropAfter: Interval,
        reserve: @escaping @Sendable (UInt64) throws(StorageError) -> Void,
        onCompletion: @escaping (consuming StorageCompletion) -> Void
    ) throws(LoopError) {
        self.loop = loop
        self.engine = engine
        self.durability = durability
        self.dropAfter = dropAfter
        self.reserve = reserve
        self.onCompletion = onCompletion
        syncer = try WorkerPool(name: "sync", threads: 1, queuedMax: 4)
        readers = try WorkerPool(name: "read", threads: 4, queuedMax: Self.coldReadsMax)
        scanner = try WorkerPool(name: "scan", threads: 1, queuedMax: Self.scansMax, yields: true)
        upkeep = try WorkerPool(name: "upkeep", threads: 1, queuedMax: 16)
        nextSync = loop.now.monotonic
        nextHealthCheck = loop.now.monotonic
        inbox = try Inbox(loop, countMax: 4 * Self.coldReadsMax) { [unowned self] in received($0) }
        timer = LoopTimer(loop) { [unowned self] in tick() }
        tick()
    }

    // MARK: Requests

    package func carryOut(_ request: consuming StorageRequest) {
        switch consume request {
        case .merge(let ticket, let key, let record):
            batchKeys.append(XXH3.hash(key.bytes))
            batch.merge(key, record)
            batchTickets.append(ticket)
            if batchKeys.count >= Self.batchKeysMax || batch.byteCount >= Self.batchBytesMax { writeBatch() }
        case .putMeta(let ticket, let key, let value):
            batch.putMeta(key, value)
            batchTickets.append(ticket)
        case .putHint(let ticket, let key, let value):
            batch.putHint(key, value)
            batchTickets.append(ticket)
            if batch.byteCount >= Self.batchBytesMax { writeBatch() }
        case .deleteHints(let ticket, let keys):
            for key in keys { batch.deleteHint(key) }
            batchTickets.append(ticket)
        case .delete(let ticket, let keys):
            for key in keys {
                batchKeys.append(XXH3.hash(key.bytes))
                batch.delete(key)
            }
            batchTickets.append(ticket)
            if batchKeys.count >= Self.batchKeysMax { writeBatch() }
        case .deleteRange(let ticket, let keyspace, let tokens):
            batch.deleteRange(keyspace: keyspace, tokens)
            batchTickets.append(ticket)
            // A read of any of its keys must see it.
            writeBatch()
        case .read(let ticket, let key): read(ticket, key)
        case .scan(let ticket, let lower, let upper, let limit):
            work(ticket) { (engine) throws(StorageError) in
                .scanned(ticket, try engine.scan(from: lower, until: upper, limit: limit))
            }
        case .scanHints(let ticket, let lower, let upper, let limit):
            work(ticket) { (engine) throws(StorageError) in
                .scanned(ticket, try engine.scanHints(from: lower, until: upper, limit: limit))
            }
        case .digest(let ticket, let query):
            work(ticket) { (engine) throws(StorageError) in .digested(ticket, try engine.digest(query)) }
        case .collect(let ticket, let keys, let bytesMax):
            work(ticket) { (engine) throws(StorageError) in
                .scanned(ticket, try engine.collect(keys, bytesMax: bytesMax))
            }
        case .reserveStamps(let ceiling): reserveStamps(ceiling)
        }
    }

    /// The turn is over: what it wrote goes to the engine, and to the disk if the syncer is idle.
    package func endTurn() {
        writeBatch()
        beginSync()
        // What completions have asked for meanwhile is for the next turn, which must come though nothing else
        // happens.
        if !batchTickets.isEmpty { loop.runAgain() }
    }

    private func writeBatch() {
        guard !batchTickets.isEmpty else { return }
        var refused: StorageRefusal?
        if !hasFailed {
            do {
                try engine.write(batch)
                written = batchTickets[batchTickets.count - 1]
            } catch {
                if case .refused(let refusal) = error { refused = refusal } else { fail(error) }
            }
        }
        // Completions may ask for new writes, so the batch must be empty before the first of them.
        let tickets = refused == nil ? [] : batchTickets
        batch.removeAll()
        batchTickets.removeAll(keepingCapacity: true)
        batchKeys.removeAll(keepingCapacity: true)
        guard let refused else { return }
        refusedWrites += UInt64(tickets.count)
        for ticket in tickets { onCompletion(.refused(ticket, refused)) }
    }

    // MARK: Reads

    private func read(_ ticket: ReadTicket, _ key: StorageKey) {
        if hasFailed { return }
        if !batchKeys.isEmpty, batchKeys.contains(XXH3.hash(key.bytes)) { writeBatch() }
        do {
            switch try engine.read(key, tier: .memoryOnly) {
            case .found(let record): onCompletion(.read(ticket, record))
            case .absent: onCompletion(.read(ticket, nil))
            case .cold: readCold(ticket, key)
            }
        } catch {
            if case .refused(let refusal) = error {
                onCompletion(.readRefused(ticket, refusal))
            } else {
                fail(error)
            }
        }
    }

    private func readCold(_ ticket: ReadTicket, _ key: StorageKey) {
        coldReads += 1
        let engine = engine
        let inbox = inbox!
        let isTaken = readers.submit {
            do throws(StorageError) {
                let record: Blob? =
                    switch try engine.read(key, tier: .any) {
                    case .found(let record): record
                    case .absent, .cold: nil
                    }
                Self.post(.read(ticket, record), to: inbox)
            } catch {
                if case .refused(let refusal) = error {
                    Self.post(.readRefused(ticket, refusal), to: inbox)
                } else {
                    Self.post(.failed("\(error)"), to: inbox)
                }
            }
        }
        if isTaken {
            coldReadsPending += 1
        } else {
            onCompletion(.readRefused(ticket, .readQueueFull))
        }
    }

    /// What takes a while: on the worker that does nothing else, on what was written by now or later.
    private func work(
        _ ticket: ReadTicket,
        _ page: @escaping @Sendable (any StorageEngine & Sendable) throws(StorageError) -> Message
    ) {
        if hasFailed { return }
        writeBatch()
        let engine = engine
        let inbox = inbox!
        let isTaken = scanner.submit {
            do throws(StorageError) {
                Self.post(try page(engine), to: inbox)
            } catch {
                if case .refused(let refusal) = error {
                    Self.post(.readRefused(ticket, refusal), to: inbox)
                } else {
                    Self.post(.failed("\(error)"), to: inbox)
                }
            }
        }
        if isTaken {
            coldReadsPending += 1
        } else {
            onCompletion(.readRefused(ticket, .readQueueFull))
        }
    }

    /// The inbox holds more than all the jobs that can be under way, so it never refuses but when it is
    /// closed.
    private static func post(_ message: Message, to inbox: Inbox<Message>) { _ = inbox.send(message) }

    // MARK: Syncs

    private func beginSync() {
        guard !hasFailed, written > announced else { return }
        switch durability {
        case .batch: submitSync()
        case .periodic:
            announced = written
            onCompletion(.durable(through: written))
        }
    }

    private func submitSync() {
        guard !isSyncing else { return }
        isSyncing = true
        syncBegan = loop.now.monotonic
        let engine = engine
        let inbox = inbox!
        let through = written
        _ = syncer.submit {
            do throws(StorageError) {
                _ = try engine.sync()
                Self.post(.synced(through: through), to: inbox)
            } catch {
                if case .refused = error {
                    Self.post(.syncRefused, to: inbox)
                } else {
                    Self.post(.failed("\(error)"), to: inbox)
                }
            }
        }
    }

    // MARK: Stamps

    private func reserveStamps(_ ceiling: UInt64) {
        let reserve = reserve
        let inbox = inbox!
        _ = upkeep.submit {
            do throws(StorageError) {
                try reserve(ceiling)
                Self.post(.stampsReserved(ceiling: ceiling), to: inbox)
            } catch {
                if case .refused = error {
                    Self.post(.stampsRefused(ceiling: ceiling), to: inbox)
                } else {
                    Self.post(.failed("\(error)"), to: inbox)
                }
            }
        }
    }

    // MARK: Upkeep

    private func tick() {
        let now = loop.now.monotonic
        if now >= nextHealthCheck {
            nextHealthCheck = now + Self.healthInterval
            checkHealth()
        }
        if case .periodic(let interval) = durability, now >= nextSync {
            nextSync = now + interval
            submitSync()
        }
        timer.arm(
            at: min(
                nextHealthCheck, { if case .periodic = durability { nextSync } else { nextHealthCheck } }()))
    }

    private func checkHealth() {
        guard !isCheckingHealth, !hasFailed else { return }
        isCheckingHealth = true
        let engine = engine
        let inbox = inbox!
        engine.dropValues(expiredBefore: loop.now.wall + -dropAfter)
        _ = upkeep.submit {
            do {
                try engine.checkHealth()
                Self.post(.healthy, to: inbox)
            } catch {
                Self.post(.failed("\(error)"), to: inbox)
            }
        }
    }

    // MARK: Completions

    private func received(_ message: Message) {
        switch message {
        case .synced(let ticket):
            isSyncing = false
            syncLatency.add(loop.now.monotonic - syncBegan)
            if case .batch = durability, ticket > announced {
                announced = ticket
                onCompletion(.durable(through: ticket))
                beginSync()
            }
        case .syncRefused: isSyncing = false
        case .read(let ticket, let record):
            coldReadsPending -= 1
            onCompletion(.read(ticket, record))
        case .scanned(let ticket, let page):
            coldReadsPending -= 1
            onCompletion(.scanned(ticket, page))
        case .digested(let ticket, let page):
            coldReadsPending -= 1
            onCompletion(.digested(ticket, page))
        case .readRefused(let ticket, let refusal):
            coldReadsPending -= 1
            onCompletion(.readRefused(ticket, refusal))
        case .stampsReserved(let ceiling): onCompletion(.stampsReserved(ceiling: ceiling))
        case .stampsRefused(let ceiling): wantsStamps = ceiling
        case .healthy:
            isCheckingHealth = false
            if let ceiling = wantsStamps {
                wantsStamps = nil
                reserveStamps(ceiling)
            }
            beginSync()
        case .failed(let text): fail(text)
        }
    }

    private func fail(_ error: StorageError) { fail("\(error)") }

    private func fail(_ text: String) {
        guard !hasFailed else { return }
        hasFailed = true
        onCompletion(.failed(text))
    }

    /// Ends the threads; jobs that have begun are waited for.
    package func shutDown() {
        timer.close()
        readers.shutDown(discarding: true)
        scanner.shutDown(discarding: true)
        upkeep.shutDown(discarding: true)
        syncer.shutDown(discarding: true)
        inbox.close()
    }
}
