import MartletBase
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// The replica: merges and reads for coordinators, this node's own among them.
extension Node {
    // MARK: Requests of peers

    mutating func mergeAsked(_ link: LinkID, _ peer: PeerIndex, _ request: MergeRequest) {
        let token = Token(key: request.key)
        let refusal = replicaRefusal(keyspace: request.keyspace, token: token, placement: request.placement)
        if let refusal {
            if refusal == .stalePlacement { showView(to: peer, over: link, request.keyspace, token.slot) }
            metrics.replicaRefusals += 1
            respond(link, request.request, .refused(refusal))
            return
        }
        guard request.key.count <= configuration.keyBytesMax else {
            respond(link, request.request, .refused(.invalid))
            return
        }
        replicaMerge(
            .link(link, request: request.request), keyspace: request.keyspace, token: token, key: request.key,
            record: request.record, isFresh: request.isFresh)
    }

    mutating func readAsked(_ link: LinkID, _ peer: PeerIndex, _ request: ReadRequest) {
        let token = Token(key: request.key)
        var refusal = replicaRefusal(keyspace: request.keyspace, token: token, placement: request.placement)
        if refusal == nil, !answersReads { refusal = .notServing }
        if let refusal {
            if refusal == .stalePlacement { showView(to: peer, over: link, request.keyspace, token.slot) }
            metrics.replicaRefusals += 1
            effects.append(
                .respond(link, .readAnswer(ReadAnswer(request: request.request, outcome: .refused(refusal)))))
            return
        }
        replicaRead(
            .link(link, request: request.request), keyspace: request.keyspace, token: token, key: request.key,
            wantsDigest: request.wantsDigest)
    }

    /// Why this node can't act as a replica for a request made on the given placement.
    mutating func replicaRefusal(
        keyspace: UInt32, token: Token, placement: UInt64
    ) -> ReplicaRefusal? {
        guard formation.isFormed, life == .running else { return .notServing }
        guard let index = keyspaces.index(of: keyspace),
            let replicas = keyspaces.replicas(index, of: token.slot), replicas.own != nil
        else { return .stalePlacement }
        return agrees(replicas, with: placement, index, token.slot) ? nil : .stalePlacement
    }

    /// Whether a request's placement is this node's, but for the step that the slot's purge floor is just
    /// taking.
    mutating func agrees(
        _ replicas: ReplicaSet, with placement: UInt64, _ index: Int, _ slot: Slot
    ) -> Bool {
        if placement == replicas.digest { return true }
        if configuration.planted == .skipPlacementDigest { return true }
        // A node that gains the slot takes old records in: only of those who know the same floor.
        if placement == replicas.formerDigest, isFloorNew(index), !replicas.isGained { return true }
        guard placement == replicas.nextDigest, replicas.own != nil else { return false }
        // Who sent it has heard of the floor that is proved here, and so all have proved it.
        raiseFloor(
            index, to: keyspaces[index].marks[slot.index].proved, in: [keyspaces.span(index, of: slot)])
        return true
    }

    /// Whether others may not have heard of a keyspace's last floor yet. For longer an owner isn't excused:
    /// it may have been set back to before its proof.
    private func isFloorNew(_ index: Int) -> Bool {
        keyspaces[index].floorRaisedAt.map { now.monotonic - $0 < configuration.requestTimeout } ?? false
    }

    mutating func respond(_ link: LinkID, _ request: UInt64, _ outcome: MergeAnswer.Outcome) {
        effects.append(.respond(link, .mergeAnswer(MergeAnswer(request: request, outcome: outcome))))
    }

    // MARK: Merge

    mutating func replicaMerge(
        _ origin: Origin, keyspace: UInt32, token: Token, key: Blob, record: Blob, isFresh: Bool
    ) {
        guard let summary = try? RecordSummary(record.span) else {
            answerMerge(origin, .refused(.invalid))
            return
        }
        if let refusal = placementRefusal(origin, keyspace, token.slot) {
            metrics.replicaRefusals += 1
            answerMerge(origin, .refused(refusal))
            return
        }
        replica.stamps.prune(now: now.monotonic)
        guard replica.pending.count < Limits.replicaRequestsMax else {
            metrics.replicaRefusals += 1
            answerMerge(origin, .refused(.overloaded))
            return
        }
        clock.observe(summary.latest)
        if summary.latest > clock.ceiling {
            // Merging it now would break the promise that a restart relies on: all that was merged is at or
            // below the ceiling on disk.
            park(origin, keyspace, token, key, record, isFresh, above: summary.latest)
            return
        }
        if isFresh { reopen() }
        switch entry(keyspace, token.slot, summary, isFresh) {
        case .open: break
        case .shut:
            metrics.replicaRefusals += 1
            answerMerge(origin, .refused(.notServing))
            return
        case .closed(let time):
            metrics.putsBelowFloor += 1
            answerMerge(origin, .closed(time))
            return
        case .onlyKnown where rebuilding != nil:
            // Only an exchange brings what owners at the floor hold; all else may be older than a deletion.
            guard case .group = origin, floorBehind(keyspace, token.slot) == .zero else {
                metrics.replicaRefusals += 1
                answerMerge(origin, .refused(.notServing))
                return
            }
        case .onlyKnown where bringsOld(origin, keyspace, token.slot, record, summary, isFresh): break
        case .onlyKnown:
            admitIfKnown(origin, keyspace, token, key, record, isFresh)
            return
        }
        emitMerge(origin, keyspace, token, key, record, summary.stamp, isFresh)
    }

    /// What is asked for by a message was compared with this node's placement when that came. What this node
    /// asks itself for may come from before the ring turned.
    private func placementRefusal(_ origin: Origin, _ keyspace: UInt32, _ slot: Slot) -> ReplicaRefusal? {
        if isErasing(keyspace, slot) { return .overloaded }
        if case .link = origin { return nil }
        // Of a dropped keyspace nothing is stored, whoever owned its slots.
        guard let index = keyspaces.index(of: keyspace) else { return nil }
        guard let replicas = keyspaces.replicas(index, of: slot), replicas.own != nil else {
            return .stalePlacement
        }
        guard case .own(let number, _) = origin, let placement = placement(of: number) else { return nil }
        return placement == replicas.placement ? nil : .stalePlacement
    }

    /// The placement on which a request of this node's own goes; nil where it goes on none.
    private func placement(of number: RequestNumber) -> UInt64? {
        switch number.kind {
        case .write: writes.contains(number) ? writes[number.index].replicas.placement : nil
        case .read: reads.contains(number) ? reads[number.index].replicas.placement : nil
        default: nil
        }
    }

    /// The placement of a slot as this node has it; zero where it owns nothing.
    func ownPlacement(_ keyspace: UInt32, _ slot: Slot) -> UInt64 {
        guard let index = keyspaces.index(of: keyspace), let replicas = keyspaces.replicas(index, of: slot),
            replicas.own != nil
        else { return 0 }
        return replicas.placement
    }

    /// Whether the record, with a version at or below the floor, comes from owners at the same floor to a
    /// node that gains the slot: they hold of that age only what counts (`PurgeMarks`, b). So it is with an
    /// exchange, and with a read's repair: neither is served on another placement, or another floor. What is
    /// new and old at once comes from a client, which may have read the old part long ago; but of siblings it
    /// is what the owner holds that made the put: to leave out the old ones would be to say that they were
    /// replaced.
    private func bringsOld(
        _ origin: Origin, _ keyspace: UInt32, _ slot: Slot, _ record: Blob, _ summary: RecordSummary,
        _ isFresh: Bool
    ) -> Bool {
        guard let index = keyspaces.index(of: keyspace), let replicas = keyspaces.replicas(index, of: slot),
            replicas.isGained
        else { return false }
        if case .group = origin { return true }
        if RecordKind(of: record.span) == .siblings { return true }
        return !isFresh && summary.latest <= replicas.floor
    }

    /// Hands a merge to the storage.
    mutating func emitMerge(
        _ origin: Origin, _ keyspace: UInt32, _ token: Token, _ key: Blob, _ record: Blob, _ stamp: Stamp,
        _ isFresh: Bool
    ) {
        let hash = Replica.hash(token, keyspace)
        var outcome = MergeAnswer.Outcome.merged
        // Siblings lose against nothing that they haven't seen.
        let isRegister = RecordKind(of: record.span) == .register
        if isFresh, isRegister, let dominator = replica.stamps.dominator(of: stamp, key: hash) {
            outcome = .dominated(dominator)
        }
        if let truncation = truncation(of: keyspace, over: stamp.time) {
            // The truncation was before this put, or beside it: stamped above, it is after it for sure.
            if isFresh { outcome = .dominated(truncation.stamp) }
            if truncation.isDurable {
                metrics.mergesTruncated += 1
                answerMerge(origin, outcome)
                return
            }
        }
        if isRegister { replica.stamps.remember(stamp, key: hash, now: now.monotonic) }
        metrics.replicaMerges += 1
        if configuration.planted != .skipDirtyBit { exchanges.forest.mark(keyspace, token.leaf.index) }
        let ticket = replica.nextTicket
        replica.pending.append(Replica.PendingWrite(purpose: .merge(origin, outcome), key: hash))
        replica.unsynced[hash] = ticket.number
        touch(hash)
        effects.append(
            .storage(.merge(ticket, StorageKey(keyspace: keyspace, token: token.value, key: key), record)))
        if configuration.planted == .acknowledgeBeforeDurable {
            replica.pending[replica.pending.count - 1].purpose = .answered
            answerMerge(origin, outcome)
        }
    }

    /// The truncation of the keyspace, when it hides what was written at this time. A dropped keyspace is
    /// truncated for good.
    private func truncation(of keyspace: UInt32, over time: HybridTime) -> (stamp: Stamp, isDurable: Bool)? {
        guard let index = keyspaces.index(of: keyspace) else { return (.zero, true) }
        let truncation = keyspaces[index].definition.truncation
        guard time.bits <= truncation, configuration.planted != .ignoreTruncation else { return nil }
        return (
            Stamp(time: HybridTime(bits: truncation), writer: .last),
            truncation <= keyspaces[index].truncationDurable
        )
    }

    private mutating func park(
        _ origin: Origin, _ keyspace: UInt32, _ token: Token, _ key: Blob, _ record: Blob, _ isFresh: Bool,
        above ceiling: HybridTime
    ) {
        guard replica.parked.count < Limits.parkedMergesMax else {
            answerMerge(origin, .refused(.overloaded))
            return
        }
        replica.parked.append(
            Replica.ParkedMerge(
                origin: origin, keyspace: keyspace, token: token, key: key, record: record, isFresh: isFresh,
                ceiling: ceiling))
        reserveStamps()
    }

    /// Merges what waited for the ceiling that was just made durable.
    mutating func unparkMerges() {
        for _ in 0..<replica.parked.count {
            let merge = replica.parked.removeFirst()
            replicaMerge(
                merge.origin, keyspace: merge.keyspace, token: merge.token, key: merge.key,
                record: merge.record,
                isFresh: merge.isFresh)
        }
    }

    mutating func answerMerge(_ origin: Origin, _ outcome: MergeAnswer.Outcome) {
        switch origin {
        case .own(let number, let place): mergeAnswered(number, place, outcome)
        case .link(let link, let request): respond(link, request, outcome)
        case .group(let number): groupAnswered(number, outcome)
        }
    }

    // MARK: Read

    mutating func replicaRead(_ origin: Origin, keyspace: UInt32, token: Token, key: Blob, wantsDigest: Bool)
    {
        guard replica.reads.count < Limits.replicaRequestsMax else {
            metrics.replicaRefusals += 1
            answerRead(origin, .refused(.overloaded))
            return
        }
        metrics.replicaReads += 1
        let hash = Replica.hash(token, keyspace)
        let (index, generation) = replica.reads.insert(
            Replica.PendingRead(
                origin: origin, wantsDigest: wantsDigest, keyspace: keyspace, slot: token.slot, key: hash,
                placement: ownPlacement(keyspace, token.slot)))
        let number = RequestNumber(kind: .read, attempt: 0, generation: generation, index: index)
        effects.append(
            .storage(
                .read(
                    ReadTicket(number.bits), StorageKey(keyspace: keyspace, token: token.value, key: key))))
    }

    private mutating func readCompleted(_ ticket: ReadTicket, _ result: Result<Blob?, ReadRefused>) {
        let number = RequestNumber(bits: ticket.number)
        invariant(replica.reads.contains(number), "the storage completed a read that nobody asked for")
        let read = replica.reads[number.index]
        replica.reads.remove(number.index)
        let outcome: ReadAnswer.Outcome
        switch result {
        // What was read may have been erased before it was, when the ring has turned meanwhile.
        case .success where read.placement != ownPlacement(read.keyspace, read.slot):
            outcome = .refused(.stalePlacement)
        case .success(var record):
            if let stored = record { record = seen(stored, read.keyspace, read.slot) }
            outcome = read.wantsDigest ? .digest(Record.digest(record)) : .record(record)
        case .failure: outcome = .refused(.overloaded)
        }
        // What was read may hold merges that a power cut would still undo: it is shown when they are durable.
        if let ticket = replica.unsynced[read.key], configuration.planted != .answerUnsyncedRead {
            replica.pending[Int(ticket - replica.firstTicket)].withheld.append(
                Replica.WithheldAnswer(origin: read.origin, outcome: .read(outcome)))
        } else {
            answerRead(read.origin, outcome)
        }
    }

    /// What of a stored record counts; nil when all of it is hidden.
    func seen(_ record: Blob, _ keyspace: UInt32, _ slot: Slot) -> Blob? {
        configuration.planted == .ignoreTruncation
            ? record : Record.seen(record, behind: keyspaces.horizon(of: keyspace, slot))
    }

    private mutating func answerRead(_ origin: Origin, _ outcome: ReadAnswer.Outcome) {
        switch origin {
        case .own(let number, _) where number.kind == .round: roundRead(number, outcome)
        case .own(let number, let place): readAnswered(number, place, outcome)
        case .link(let link, let request):
            effects.append(.respond(link, .readAnswer(ReadAnswer(request: request, outcome: outcome))))
        case .group: invariantBroken("a group of merges reads nothing")
        }
    }

    struct ReadRefused: Error {}

    // MARK: Storage

    mutating func storageCompleted(_ completion: StorageCompletion) {
        switch completion {
        case .durable(let ticket): becameDurable(through: ticket)
        case .refused(let ticket, let refusal): writeRefused(ticket, refusal)
        case .read(let ticket, let record):
            if RequestNumber(bits: ticket.number).kind == .admission {
                heldCame(ticket, .success(record))
            } else {
                readCompleted(ticket, .success(record))
            }
        case .readRefused(let ticket, _):
            switch RequestNumber(bits: ticket.number).kind {
            case .scan: scanRefused(ticket)
            case .hint: hintsRefused(ticket)
            case .sweep: sweepRefused()
            case .exchange: exchangeJobRefused(ticket)
            case .admission: heldCame(ticket, .failure(ReadRefused()))
            default: readCompleted(ticket, .failure(ReadRefused()))
            }
        case .scanned(let ticket, let page):
            switch RequestNumber(bits: ticket.number).kind {
            case .hint: hintsCame(ticket, page)
            case .sweep: sweptPageCame(page)
            case .exchange: exchangeCollected(ticket, page)
            default: scanCame(ticket, page)
            }
        case .digested(let ticket, let page): exchangeDigested(ticket, page)
        case .stampsReserved(let ceiling):
            clock.reserved(HybridTime(bits: ceiling))
            reserving = nil
            reserveStamps()
            unparkMerges()
            stampParkedWrites()
        case .failed(let text): stop(.storage(text))
        }
    }

    private mutating func becameDurable(through ticket: WriteTicket) {
        while !replica.pending.isEmpty, replica.firstTicket <= ticket.number { finishFirstWrite() }
        finishRefusedWrites()
    }

    /// No completion comes for what was refused: it goes when all before it is durable.
    private mutating func finishRefusedWrites() {
        while case .refused = replica.pending.first?.purpose { finishFirstWrite() }
    }

    private mutating func finishFirstWrite() {
        let write = replica.pending.removeFirst()
        let number = replica.firstTicket
        replica.firstTicket += 1
        if replica.unsynced[write.key] == number { replica.unsynced[write.key] = nil }
        switch write.purpose {
        case .merge(let origin, let outcome): answerMerge(origin, outcome)
        case .hint(let index): hintStored(index)
        case .deletion(let index): hintsDeleted(index)
        case .meta(let key, let value): metaIsDurable(key, value)
        case .marks(let marks): marksAreDurable(marks)
        case .act(let act, let asker): actIsDurable(act, asker)
        case .ballot(let ballot, let asker): ballotIsDurable(ballot, asker)
        case .shape(let shape): shapeIsDurable(shape)
        case .erasure(let erasure): erasureIsDurable(erasure)
        case .sweep: pageSwept()
        case .answered, .refused: break
        }
        for answer in write.withheld {
            switch answer.outcome {
            case .read(let outcome): answerRead(answer.origin, outcome)
            case .scan(let outcome): answerScan(answer.origin, outcome)
            case .definition(let ids): answerDefinition(answer.origin, ids)
            case .exchange(let outcome): answerExchange(answer.origin, outcome)
            case .settled:
                if case .own(let number, _) = answer.origin { exchangeSettled(number) }
            }
        }
    }

    private mutating func metaIsDurable(_ key: Blob, _ value: Blob) {
        if MetaMemory.isKeyspace(key) {
            definitionIsDurable(value)
        } else if key == MetaMemory.erasuresKey {
            handover.isErased = handover.erasures.isEmpty
        }
    }

    /// It is written again, as it is then.
    private mutating func keepRefused(_ key: Blob, _ value: Blob) {
        replica.refusedMeta.removeAll { $0.key == key }
        replica.refusedMeta.append((key, value))
    }

    private mutating func writeRefused(_ ticket: WriteTicket, _ refusal: StorageRefusal) {
        let offset = Int(ticket.number - replica.firstTicket)
        invariant(offset < replica.pending.count, "the storage refused a write that nobody asked for")
        let write = replica.pending[offset]
        replica.pending[offset].purpose = .refused
        metrics.replicaRefusals += 1
        effects.append(.report(.storageRefused(refusal.name)))
        switch write.purpose {
        case .merge(let origin, _): answerMerge(origin, .refused(.overloaded))
        case .meta(let key, let value): keepRefused(key, value)
        case .marks(let marks): keepRefused(marks.key, marks.value)
        case .hint(let index): hintRefused(index)
        case .deletion(let index): deletionRefused(index)
        case .erasure(let erasure): replica.refusedErasures.append(erasure)
        case .act(let act, let asker): actRefused(act, asker)
        // Who asked asks again.
        case .ballot: handover.isCasting = false
        case .shape: handover.isHolding = false
        case .sweep: sweepRefused()
        case .answered, .refused: break
        }
        finishRefusedWrites()
    }

    /// Durably remembers a fact of the node's own.
    mutating func putMeta(_ key: Blob, _ value: Blob) { putMeta(key, value, .meta(key: key, value: value)) }

    mutating func putMeta(_ key: Blob, _ value: Blob, _ purpose: Replica.PendingWrite.Purpose) {
        let ticket = replica.nextTicket
        replica.refusedMeta.removeAll { $0.key == key }
        replica.pending.append(Replica.PendingWrite(purpose: purpose, key: 0))
        effects.append(.storage(.putMeta(ticket, key: key, value: value)))
    }

    /// Asks again for what the storage refused and nobody else asks for: the node's own facts, and what
    /// follows from them. With each timer, of which gossip needs one a second.
    mutating func retryRefused() {
        if !replica.refusedErasures.isEmpty {
            let refused = replica.refusedErasures
            replica.refusedErasures.removeAll()
            for erasure in refused { erase(erasure) }
        }
        guard !replica.refusedMeta.isEmpty else { return }
        let refused = replica.refusedMeta
        replica.refusedMeta.removeAll()
        for (key, value) in refused { putMeta(key, value) }
    }
}

extension StorageRefusal {
    /// For reports and metrics.
    var name: StaticName {
        switch self {
        case .stalled: "stalled"
        case .diskFull: "disk_full"
        case .readQueueFull: "read_queue_full"
        }
    }
}
