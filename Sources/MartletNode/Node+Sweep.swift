import MartletBase
import MartletRing
import MartletStorage
import MartletVersions

/// Deletes from the disk what lies behind the horizon, because a keyspace was truncated or the purge floor of
/// some slots has risen: page after page, one at a time, each deleted before the next one is read, so that
/// the requests of clients come between.
///
/// A record is deleted as it was read, a moment ago. Merges of its key that were asked for before the page
/// was are in it; one that was asked for since then may have brought a later value, so such keys stay
/// (`touched`), and so do those that are to be merged into when it is known what they hold
/// (`Replica.admissions`). What is hidden is never merged again, so one pass is enough. A crash on the way of
/// a truncation begins it again; what it leaves of a purge goes when the floor rises next.
struct Sweep {
    /// Its place in the request number of the page that is read.
    static let ticket = RequestNumber(kind: .sweep, attempt: 0, generation: 0, index: 0)

    /// What is to be looked through.
    enum Reason: Hashable {
        case truncation(UInt64)
        case floor(SlotSpan)
        /// All that is at or below the floor goes, because this node's disk is older than that: the owners at
        /// the floor have it, as far as it counts (`Rebuilding`).
        case discard(SlotSpan, through: HybridTime)

        var span: SlotSpan? {
            switch self {
            case .truncation: nil
            case .floor(let span), .discard(let span, _): span
            }
        }
    }

    let keyspace: UInt32
    let reason: Reason
    var position: Blob
    /// Where the page that is deleted now began.
    var pageStart = Blob.empty
    /// Hashes of the keys that were merged into since the page was asked for.
    var touched: Set<UInt64> = []
    var isLastPage = false
    /// The storage had no room for it.
    var isPaused = false
    /// Something that must go stayed, because it was merged into meanwhile.
    var mustRepeat = false

    init(keyspace: UInt32, reason: Reason) {
        self.keyspace = keyspace
        self.reason = reason
        position = StorageKey.position(keyspace: keyspace, token: 0)
        if let span = reason.span {
            let first = Token.bounds(of: Slot(index: span.first)).lowerBound
            position = StorageKey.position(keyspace: keyspace, token: first.value)
        }
    }

    /// Where it ends.
    var end: Blob? {
        guard let span = reason.span else {
            return StorageKey.position(keyspace: keyspace, after: .max)
        }
        return StorageKey.position(
            keyspace: keyspace, after: Token.bounds(of: Slot(index: span.last)).upperBound.value)
    }
}

extension Node {
    private static let sweepLimit = ScanLimit(recordsMax: 512, bytesMax: 1 << 20)

    /// The floor of these slots has risen: those of which this node holds records are to be looked through.
    mutating func sweep(_ index: Int, _ spans: [SlotSpan]) {
        let id = keyspaces[index].definition.id
        for span in spans {
            for part in ownedParts(index, span) where part.isOwned {
                let sweep = Purge.Sweep(keyspace: id, span: part.span)
                // What waits there already will see the newer floor when its turn comes.
                if !purge.sweeps.contains(sweep) { purge.sweeps.append(sweep) }
            }
        }
        if purge.sweeps.count > Limits.sweepsMax {
            purge.sweeps.removeAll { $0.keyspace == id }
            purge.sweeps.append(Purge.Sweep(keyspace: id, span: .all))
        }
        sweepNext()
    }

    /// Begins with the next keyspace or slots that need it, unless something is being swept.
    mutating func sweepNext() {
        guard sweep == nil, life == .running else { return }
        if let discard = rebuilding?.discards.first {
            sweep = Sweep(
                keyspace: discard.keyspace, reason: .discard(discard.span, through: discard.floor))
        } else if let keyspace = keyspaces.all.first(where: { $0.truncationSwept < $0.truncationDurable }) {
            sweep = Sweep(
                keyspace: keyspace.definition.id, reason: .truncation(keyspace.truncationDurable))
        } else if !purge.sweeps.isEmpty {
            let next = purge.sweeps.removeFirst()
            sweep = Sweep(keyspace: next.keyspace, reason: .floor(next.span))
        }
        readSwept()
    }

    private mutating func readSwept() {
        guard let sweep else { return }
        self.sweep?.touched.removeAll(keepingCapacity: true)
        self.sweep?.isPaused = false
        self.sweep?.pageStart = sweep.position
        effects.append(
            .storage(
                .scan(ReadTicket(Sweep.ticket.bits), from: sweep.position, until: sweep.end, Self.sweepLimit))
        )
    }

    /// A merge is on its way to the storage: what a page shows of its key is old.
    mutating func touch(_ hash: UInt64) {
        guard sweep != nil, configuration.planted != .purgeTouchedKeys else { return }
        sweep?.touched.insert(hash)
    }

    mutating func sweptPageCame(_ page: ScanPage) {
        guard let sweep else { invariantBroken("a page was read for no sweep") }
        guard let index = keyspaces.index(of: sweep.keyspace) else {
            // Dropped meanwhile, and deleted as a whole.
            rebuilding?.discards.removeAll { $0.keyspace == sweep.keyspace }
            self.sweep = nil
            sweepNext()
            return
        }
        guard sweep.touched.count <= Limits.sweptTouchesMax else {
            // So many merges came while it was read that the next try is for a quieter moment.
            self.sweep?.isPaused = true
            self.sweep?.touched.removeAll()
            return
        }
        let keys = hiddenKeys(sweep, index, page)
        metrics.recordsSwept += UInt64(keys.count)
        if let next = page.next {
            self.sweep?.position = next
        } else {
            self.sweep?.isLastPage = true
        }
        guard !keys.isEmpty else {
            pageSwept()
            return
        }
        if case .discard = sweep.reason {
            // What goes was counted; all else that is swept had been hidden before.
            for key in keys { exchanges.forest.mark(sweep.keyspace, Token(value: key.token).leaf.index) }
        }
        let ticket = replica.nextTicket
        replica.pending.append(Replica.PendingWrite(purpose: .sweep, key: 0))
        effects.append(.storage(.delete(ticket, keys)))
        if case .discard(_, let floor) = sweep.reason { keepRest(of: keys, page, above: floor) }
    }

    /// Of siblings only the old versions are discarded: the newer ones are merged again, in the same batch.
    private mutating func keepRest(of keys: [StorageKey], _ page: ScanPage, above floor: HybridTime) {
        let discarded = Set(keys.map(\.bytes))
        for pair in page.records where discarded.contains(pair.key) {
            guard RecordKind(of: pair.value.span) == .siblings, let key = StorageKey(stored: pair.key),
                let rest = Record.admitted(pair.value, over: nil, floor: floor)
            else { continue }
            let ticket = replica.nextTicket
            let hash = Replica.hash(Token(value: key.token), key.keyspace)
            replica.pending.append(Replica.PendingWrite(purpose: .answered, key: hash))
            replica.unsynced[hash] = ticket.number
            effects.append(.storage(.merge(ticket, key, rest)))
        }
    }

    private mutating func hiddenKeys(_ sweep: Sweep, _ index: Int, _ page: ScanPage) -> [StorageKey] {
        var awaited: Set<UInt64> = []
        for place in replica.admissions.indices {
            let admission = replica.admissions[place]
            awaited.insert(Replica.hash(admission.token, admission.keyspace))
        }
        return page.records.compactMap { pair -> StorageKey? in
            guard let key = StorageKey(stored: pair.key) else { return nil }
            let token = Token(value: key.token)
            var horizon = keyspaces.horizon(index, token.slot)
            // What isn't durable yet may be lost, and what it hides be shown again.
            horizon.truncation = keyspaces[index].truncationDurable
            var isDiscarded = false
            if case .discard(_, let floor) = sweep.reason {
                isDiscarded = (try? RecordSummary(pair.value.span)).map { $0.oldest <= floor } ?? false
            }
            guard isDiscarded || Record.isHidden(pair.value.span, behind: horizon) else { return nil }
            let hash = Replica.hash(token, sweep.keyspace)
            guard sweep.touched.contains(hash) || awaited.contains(hash) else { return key }
            if isDiscarded { self.sweep?.mustRepeat = true }
            return nil
        }
    }

    /// A page's deletions are durable.
    mutating func pageSwept() {
        guard let sweep else { invariantBroken("a page was swept for no sweep") }
        guard sweep.isLastPage else {
            readSwept()
            return
        }
        if case .truncation(let truncation) = sweep.reason {
            putMeta(MetaMemory.sweptKey(sweep.keyspace), MetaMemory.value(truncation))
            if let index = keyspaces.index(of: sweep.keyspace) {
                keyspaces[index].truncationSwept = truncation
            }
        }
        self.sweep = nil
        if case .discard(let span, let floor) = sweep.reason, !sweep.mustRepeat {
            discarded(sweep.keyspace, span, through: floor)
        }
        sweepNext()
    }

    /// The page is read again with the next timer.
    mutating func sweepRefused() {
        guard let refused = sweep else { return }
        sweep?.isPaused = true
        sweep?.isLastPage = false
        sweep?.position = refused.pageStart
    }

    mutating func resumeSweep() {
        if sweep?.isPaused ?? false { readSwept() }
    }
}
