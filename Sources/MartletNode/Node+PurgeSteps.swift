import MartletBase
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// The steps to a purge floor, as a node takes them for whoever drives the round.
extension Node {
    /// Who asked for a step, and where its answer goes.
    enum PurgeAsker {
        case own
        case link(LinkID)
    }

    mutating func purgeAsked(_ link: LinkID, from peer: PeerIndex, _ request: PurgeRequest) {
        take(.link(link), peers[peer].id, request)
    }

    mutating func take(_ asker: PurgeAsker, _ id: NodeID, _ request: PurgeRequest) {
        guard formation.isFormed, life == .running else { return hinder(asker, request, .notServing) }
        guard let index = keyspaces.index(of: request.keyspace), ringView(index) == request.ring,
            handover.change == nil
        else {
            return hinder(asker, request, .ring)
        }
        switch request.step {
        case .promise: promise(asker, index, request)
        case .close: close(asker, index, request)
        case .prove: prove(asker, id, index, request)
        }
    }

    /// What two nodes must agree on before one takes the other's word for who owns the slots.
    func ringView(_ index: Int) -> UInt64 {
        var writer = ByteWriter(reservingCapacity: 16)
        writer.u64(ring.digest)
        writer.u64(keyspaces[index].definition.digest)
        return XXH3.hash(writer.bytes.span.bytes)
    }

    private mutating func hinder(
        _ asker: PurgeAsker, _ request: PurgeRequest, _ obstacle: PurgeAnswer.Obstacle
    ) {
        answer(
            asker, PurgeAnswer(round: request.round, step: request.step, outcome: .hindered(obstacle)))
    }

    mutating func answer(_ asker: PurgeAsker, _ answer: PurgeAnswer) {
        switch asker {
        case .own: purgeAnswered(configuration.id, answer)
        case .link(let link): effects.append(.respond(link, .purgeAnswer(answer)))
        }
    }

    /// Raises a mark, and answers when that is durable. Written again even where it is that high already:
    /// the write that made it so may not be durable yet.
    private mutating func raise(
        _ mark: PurgeMarks.Mark, _ index: Int, _ request: PurgeRequest, in spans: [SlotSpan],
        for asker: PurgeAsker
    ) {
        if keyspaces[index].marks.raise(mark, to: request.floor, in: spans), mark == .proved {
            layOutMarks(index, in: spans)
        }
        let answer = PurgeAnswer(
            round: request.round, step: request.step, outcome: .done(epoch: configuration.epoch))
        let keyspace = keyspaces[index].definition.id
        let marks = Replica.Marks(
            key: MetaMemory.marksKey(keyspace), value: keyspaces[index].marks.encoded(), keyspace: keyspace,
            promised: keyspaces[index].marks.lowest(.promised, in: [.all]), asker: asker, answer: answer)
        putMeta(marks.key, marks.value, .marks(marks))
    }

    mutating func marksAreDurable(_ marks: Replica.Marks) {
        if let index = keyspaces.index(of: marks.keyspace) {
            let known = keyspaces[index].promisedDurable
            keyspaces[index].promisedDurable = max(known, marks.promised)
        }
        answer(marks.asker, marks.answer)
    }

    // MARK: Promising

    private mutating func promise(_ asker: PurgeAsker, _ index: Int, _ request: PurgeRequest) {
        guard request.floor <= HybridTime(now.wall) else { return hinder(asker, request, .clock) }
        guard !keepsHint(upTo: request.floor) else { return hinder(asker, request, .hints) }
        guard !hasPut(upTo: request.floor) else { return hinder(asker, request, .puts) }
        // Every driver asks every node, in an interval all for one floor. And hints aren't counted by slots:
        // what is true of those that are asked about is true of all. So only the first to ask costs a write.
        if request.floor <= keyspaces[index].promisedDurable {
            let outcome = PurgeAnswer.Outcome.done(epoch: configuration.epoch)
            return answer(asker, PurgeAnswer(round: request.round, step: request.step, outcome: outcome))
        }
        clock.observe(request.floor)
        reserveStamps()
        raise(.promised, index, request, in: [.all], for: asker)
    }

    /// Whether this node may owe anybody a write of that age. Hints aren't counted by slots; but while their
    /// target is away it blocks the floor itself, and when it isn't they are soon delivered.
    private func keepsHint(upTo floor: HybridTime) -> Bool {
        guard hints.ledger.counting == nil, hints.parked.isEmpty else { return true }
        return hints.ledger.sorted.contains { id in
            hints.ledger[id]?.oldest.map { $0 <= floor } ?? false
        }
    }

    private func hasPut(upTo floor: HybridTime) -> Bool {
        guard writes.count > 0 else { return false }
        return writes.indices.contains { index in
            (writes[index].version ?? writes[index].put.version).map { $0.time <= floor } ?? false
        }
    }

    // MARK: Closing

    private mutating func close(_ asker: PurgeAsker, _ index: Int, _ request: PurgeRequest) {
        let spans = owned(index, request.spans)
        guard !spans.isEmpty else { return hinder(asker, request, .ring) }
        guard !isRebuilding else { return hinder(asker, request, .rebuilding) }
        raise(.closed, index, request, in: spans, for: asker)
    }

    private func owned(_ index: Int, _ spans: [SlotSpan]) -> [SlotSpan] {
        spans.flatMap { span in ownedParts(index, span).filter(\.isOwned).map(\.span) }
    }

    // MARK: Proving

    private mutating func prove(
        _ asker: PurgeAsker, _ id: NodeID, _ index: Int, _ request: PurgeRequest
    ) {
        let spans = owned(index, request.spans)
        guard !spans.isEmpty else { return hinder(asker, request, .ring) }
        guard !isRebuilding else { return hinder(asker, request, .rebuilding) }
        let own = request.closed.first { $0.id == configuration.id }
        guard own?.epoch == configuration.epoch,
            keyspaces[index].marks.lowest(.closed, in: spans) >= request.floor
        else { return hinder(asker, request, .epoch) }
        if keyspaces[index].marks.lowest(.proved, in: spans) >= request.floor {
            raise(.proved, index, request, in: spans, for: asker)
            return
        }
        let isUnderWay = purge.proofs.contains {
            $0.asker == id && $0.keyspace == request.keyspace && $0.floor == request.floor
                && $0.closed == request.closed
        }
        if !isUnderWay { beginProof(id, index, request, spans) }
        advanceProofs()
        if keyspaces[index].marks.lowest(.proved, in: spans) >= request.floor {
            raise(.proved, index, request, in: spans, for: asker)
        } else {
            hinder(asker, request, .exchange)
        }
    }

    private mutating func beginProof(
        _ id: NodeID, _ index: Int, _ request: PurgeRequest, _ spans: [SlotSpan]
    ) {
        purge.proofs.removeAll { $0.asker == id && $0.keyspace == request.keyspace }
        var others: [PeerIndex] = []
        for span in spans {
            var slot = span.first
            while true {
                for peer in keyspaces.replicas(index, of: Slot(index: slot))?.peers ?? []
                where peer != PeerTable.own && !others.contains(peer) { others.append(peer) }
                let last = keyspaces.span(index, of: Slot(index: slot)).last
                if last >= span.last { break }
                slot = last + 1
            }
        }
        if configuration.planted == .purgeOneExchangeSoon { others.removeAll() }
        purge.proofs.append(
            Purge.Proof(
                asker: id, keyspace: request.keyspace, floor: request.floor, spans: spans,
                closed: request.closed, left: others.sorted().map { ($0, .due) }))
    }

    /// Begins the exchanges that proofs wait for, and ends the proofs that wait for none. One exchange serves
    /// all proofs that were due when it began.
    mutating func advanceProofs() {
        for proof in purge.proofs.indices {
            let keyspace = purge.proofs[proof].keyspace
            for place in purge.proofs[proof].left.indices
            where purge.proofs[proof].left[place].exchange == .due {
                let peer = purge.proofs[proof].left[place].peer
                guard !isExchanging(keyspace, peer), startExchange(keyspace: keyspace, peer: peer, .proof)
                else { continue }
                markUnderWay(keyspace, peer)
            }
        }
        var index = 0
        while index < purge.proofs.count {
            guard purge.proofs[index].left.isEmpty else {
                index += 1
                continue
            }
            let proof = purge.proofs.remove(at: index)
            guard let keyspace = keyspaces.index(of: proof.keyspace) else { continue }
            if keyspaces[keyspace].marks.raise(.proved, to: proof.floor, in: proof.spans) {
                storeMarks(keyspace)
                layOutMarks(keyspace, in: proof.spans)
            }
        }
    }

    private func isExchanging(_ keyspace: UInt32, _ peer: PeerIndex) -> Bool {
        purge.proofs.contains { proof in
            proof.keyspace == keyspace
                && proof.left.contains { $0.peer == peer && $0.exchange == .underWay }
        }
    }

    private mutating func markUnderWay(_ keyspace: UInt32, _ peer: PeerIndex) {
        for proof in purge.proofs.indices where purge.proofs[proof].keyspace == keyspace {
            for place in purge.proofs[proof].left.indices
            where purge.proofs[proof].left[place].peer == peer {
                purge.proofs[proof].left[place].exchange = .underWay
            }
        }
    }

    /// An exchange that was begun for proofs has ended.
    ///
    /// - Parameter isComplete: all that differed when it began is here, durably.
    mutating func proofExchanged(_ keyspace: UInt32, _ peer: PeerIndex, isComplete: Bool) {
        let epoch = peers.folders[peers[peer].id]?.epoch
        for proof in purge.proofs.indices where purge.proofs[proof].keyspace == keyspace {
            guard
                let place = purge.proofs[proof].left.firstIndex(where: {
                    $0.peer == peer && $0.exchange == .underWay
                })
            else { continue }
            // Of another epoch than it closed under: its disk may be an older one.
            let closed = purge.proofs[proof].closed.first { $0.id == peers[peer].id }
            if isComplete, epoch == nil || closed?.epoch == epoch {
                purge.proofs[proof].left.remove(at: place)
            } else {
                purge.proofs[proof].left[place].exchange = .due
            }
        }
        advanceProofs()
    }
}
