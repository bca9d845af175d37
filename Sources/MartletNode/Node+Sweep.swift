import MartletBase
import MartletRing
import MartletStorage
import MartletVersions

/// Deletes from the disk what a truncation has hidden: page after page of the keyspace, one page at a time,
/// each deleted before the next one is read, so that the requests of clients come between.
///
/// A record is deleted as it was read, a moment ago; a merge of its key that was asked for since then may
/// have brought a later value, so such keys stay (`touched`). What a truncation hides is never merged again,
/// so one pass is enough.
struct Sweep {
    /// Its place in the request number of the page that is read.
    static let ticket = RequestNumber(kind: .sweep, attempt: 0, generation: 0, index: 0)

    let keyspace: UInt32
    let truncation: UInt64
    var position: Blob
    /// Hashes of the keys that were merged into since the page was asked for.
    var touched: Set<UInt64> = []
    var isLastPage = false
    /// The storage had no room for it.
    var isPaused = false
}

extension Node {
    private static let sweepLimit = ScanLimit(recordsMax: 512, bytesMax: 1 << 20)

    /// Begins with the next keyspace that needs it, unless one is being swept.
    mutating func sweepNext() {
        guard sweep == nil, life == .running else { return }
        for keyspace in keyspaces.all where keyspace.truncationSwept < keyspace.truncationDurable {
            let id = keyspace.definition.id
            sweep = Sweep(
                keyspace: id, truncation: keyspace.truncationDurable,
                position: StorageKey.position(keyspace: id, token: 0))
            readSwept()
            return
        }
    }

    private mutating func readSwept() {
        guard let sweep else { return }
        self.sweep?.touched.removeAll(keepingCapacity: true)
        self.sweep?.isPaused = false
        effects.append(
            .storage(
                .scan(
                    ReadTicket(Sweep.ticket.bits), from: sweep.position,
                    until: StorageKey.position(keyspace: sweep.keyspace, after: .max), Self.sweepLimit)))
    }

    mutating func sweptPageCame(_ page: ScanPage) {
        guard let sweep else { invariantBroken("a page was read for no sweep") }
        guard keyspaces.index(of: sweep.keyspace) != nil else {
            // Dropped meanwhile, and deleted as a whole.
            self.sweep = nil
            sweepNext()
            return
        }
        let horizon = Horizon(truncation: sweep.truncation)
        let keys = page.records.compactMap { pair -> StorageKey? in
            guard let key = StorageKey(stored: pair.key), Record.isHidden(pair.value.span, behind: horizon),
                !sweep.touched.contains(Replica.hash(Token(value: key.token), sweep.keyspace))
            else { return nil }
            return key
        }
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
        let ticket = replica.nextTicket
        replica.pending.append(Replica.PendingWrite(purpose: .sweep, key: 0))
        effects.append(.storage(.delete(ticket, keys)))
    }

    /// A page's deletions are durable.
    mutating func pageSwept() {
        guard let sweep else { invariantBroken("a page was swept for no sweep") }
        guard sweep.isLastPage else {
            readSwept()
            return
        }
        putMeta(MetaMemory.sweptKey(sweep.keyspace), MetaMemory.value(sweep.truncation))
        if let index = keyspaces.index(of: sweep.keyspace) {
            keyspaces[index].truncationSwept = sweep.truncation
        }
        self.sweep = nil
        sweepNext()
    }

    /// The sweep begins again with the next timer.
    mutating func sweepRefused() { sweep?.isPaused = true }

    mutating func resumeSweep() {
        guard let paused = sweep, paused.isPaused else { return }
        sweep = nil
        sweepNext()
    }
}
