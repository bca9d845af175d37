import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// What becomes of the places of a put that don't acknowledge it: others stand in for them, hints are kept
/// for them, and the put lives on behind its answer until it is known which of them need one.
///
/// Hints of a put that nobody counts on are made when its client has its answer, so that a put that is
/// refused as if nothing had been done leaves nothing behind. When all replicas answer, a put costs nothing
/// here but the look at their number.
extension Node {
    // MARK: The end of a put

    /// Answers the client; the put goes on until every place has the write or a hint.
    mutating func answerWrite(_ index: Int, _ reply: ClientReply) {
        self.reply(to: writes[index].asker, reply)
        if case .written = reply { notePace(writes[index].began) }
        writes[index].isAnswered = true
        hints.answeredPuts += 1
        hints.answeredBytes += writes[index].key.count + writes[index].record.count
        settleHints(index)
        guard writes.isInUse(index) else { return }
        if hints.answeredPuts > Limits.answeredPutsMax || hints.answeredBytes > Limits.answeredPutBytesMax {
            giveUpWaiting(index)
        } else {
            let until = writes[index].began + configuration.requestTimeout
            if writes[index].deadline > until {
                let number = RequestNumber(
                    kind: .write, attempt: 0, generation: writes.generation(index), index: index)
                addDeadline(Deadline(number: number, purpose: .expire), at: until)
            }
        }
    }

    /// Keeps hints for the places whose answers won't come; ends the put when none is waited for.
    mutating func settleHints(_ index: Int) {
        let done = writes[index].acked.union(writes[index].hinted)
        let missing = writes[index].replicas.all.subtracting(done)
        let awaited = missing.intersection(
            writes[index].sent.subtracting(writes[index].lost).union(writes[index].hinting))
        let gone = missing.subtracting(awaited)
        if !gone.isEmpty {
            keepHints(index, for: gone)
            writes[index].hinted = writes[index].hinted.union(gone)
        }
        if awaited.isEmpty { endWrite(index) }
    }

    /// What hasn't answered by now gets a hint.
    mutating func giveUpWaiting(_ index: Int) {
        writes[index].lost = writes[index].sent.subtracting(writes[index].acked)
        writes[index].hinting = .none
        settleHints(index)
    }

    private mutating func endWrite(_ index: Int) {
        hints.answeredPuts -= 1
        hints.answeredBytes -= writes[index].key.count + writes[index].record.count
        writes.remove(index)
    }

    private mutating func keepHints(_ index: Int, for places: Places) {
        places.forEach { place in keepHint(missed(index, place), counts: false) }
    }

    private func missed(_ index: Int, _ place: Int) -> MissedWrite {
        MissedWrite(
            target: peers[writes[index].replicas.peers[place]].id, keyspace: writes[index].keyspace,
            token: writes[index].token, key: writes[index].key, record: writes[index].record)
    }

    /// How long requests take is what replay goes by.
    mutating func notePace(_ began: Instant) { hints.pace.note(now.monotonic - began, now: now.monotonic) }

    // MARK: ANY

    /// Half of the time has passed without an acknowledgement at ANY: a hint will do.
    mutating func hintAtHalfTime(_ number: RequestNumber) {
        guard writes.contains(number), !writes[number.index].isAnswered, writes[number.index].isStamped,
            !writes[number.index].hasTriedHints
        else { return }
        _ = keepHintsForAny(number.index)
    }

    /// Keeps hints for all the places without an acknowledgement; one of them, durable here, meets ANY. Nil
    /// when at least one is on its way, else why none is.
    mutating func keepHintsForAny(_ index: Int) -> StaticName? {
        writes[index].hasTriedHints = true
        let number = writeNumber(index)
        var obstacle: StaticName?
        var isKept = false
        writes[index].replicas.all.subtracting(writes[index].acked).forEach { place in
            if let limit = keepHint(missed(index, place), counts: true, for: .own(number, place: place)) {
                obstacle = limit
            } else {
                isKept = true
                writes[index].hinting.insert(place)
            }
        }
        return isKept ? nil : obstacle ?? "owners"
    }

    private func writeNumber(_ index: Int) -> RequestNumber {
        RequestNumber(
            kind: .write, attempt: writes[index].attempt, generation: writes.generation(index), index: index)
    }

    // MARK: Hints that count, at this node

    mutating func hintKept(_ number: RequestNumber, _ place: Int) {
        guard isCurrent(number), writes[number.index].hinting.contains(place) else { return }
        noteKept(number.index, place, by: PeerTable.own)
    }

    mutating func hintLost(_ number: RequestNumber, _ place: Int) {
        noteOverload(PeerTable.own)
        guard isCurrent(number), writes[number.index].hinting.contains(place) else { return }
        let index = number.index
        writes[index].hinting.remove(place)
        if !writes[index].isAnswered, writes[index].isUndone, !writes[index].isPossible {
            refuseFull(index, "storage")
            return
        }
        if !writes[index].isAnswered { standIn(index, for: .only(place)) }
        advanceWrite(index)
    }

    private func isCurrent(_ number: RequestNumber) -> Bool {
        writes.contains(number) && writes[number.index].attempt == number.attempt
    }

    private mutating func noteKept(_ index: Int, _ place: Int, by peer: PeerIndex) {
        writes[index].hinting.remove(place)
        writes[index].hinted.insert(place)
        for i in writes[index].standIns.indices where writes[index].standIns[i].peer == peer {
            writes[index].standIns[i].hasKept = true
            metrics.standIns += 1
        }
        advanceWrite(index)
    }

    // MARK: Standing in

    /// Asks the next healthy nodes of the preference list to stand in for places, under a sloppy quorum.
    mutating func standIn(_ index: Int, for places: Places) {
        guard !places.isEmpty, let keyspace = keyspaces.index(of: writes[index].keyspace) else { return }
        if configuration.planted == .countHintAsOwner, !writes[index].hasTriedHints {
            writes[index].hasTriedHints = true
            let number = writeNumber(index)
            places.forEach { place in
                if keepHint(missed(index, place), counts: true, for: .own(number, place: place)) == nil {
                    writes[index].hinting.insert(place)
                }
            }
        }
        let plan = standIns(
            keyspace, writes[index].level, writes[index].replicas, writes[index].token, for: places,
            asked: writes[index].standIns)
        for standIn in plan { ask(index, standIn) }
    }

    private mutating func ask(_ index: Int, _ standIn: WriteOperation.StandIn) {
        let number = writeNumber(index)
        let missed = missed(index, standIn.place)
        if standIn.peer == PeerTable.own {
            guard keepHint(missed, counts: true, for: .own(number, place: standIn.place)) == nil else {
                return
            }
        } else {
            effects.append(
                .send(
                    standIn.peer,
                    .hint(
                        HintRequest(
                            request: number.bits, placement: writes[index].replicas.digest,
                            keyspace: missed.keyspace, target: missed.target, key: missed.key,
                            record: missed.record))))
        }
        writes[index].standIns.append(standIn)
        writes[index].hinting.insert(standIn.place)
    }

    /// How far down the preference list stand-ins are looked for, behind the owners.
    private static let fallbacksMax = 16

    /// Who could stand in for these places: of the nodes behind the owners in the preference list the first
    /// that are healthy and were not asked yet, each for one place. Where a level counts by data centres,
    /// only nodes of the place's own.
    func standIns(
        _ keyspace: Int, _ level: ConsistencyLevel, _ replicas: ReplicaSet, _ token: Token,
        for places: Places, asked: [WriteOperation.StandIn]
    ) -> [WriteOperation.StandIn] {
        guard keyspaces[keyspace].definition.sloppyQuorum, !places.isEmpty,
            let placement = keyspaces[keyspace].placement
        else { return [] }
        func dataCenter(of place: Int) -> Int? {
            placement.ordinal(of: peers[replicas.peers[place]].id).map { placement.dataCenter(of: $0) }
        }
        var free = placement.fallbacks(of: token.slot, max: Self.fallbacksMax)
        var plan: [WriteOperation.StandIn] = []
        places.forEach { place in
            let found = free.firstIndex { ordinal in
                guard let peer = peers.index(of: placement.members[ordinal].id) else { return false }
                return peers.isReachable(peer) && !peers[peer].isOverloaded(now.monotonic)
                    && !asked.contains { $0.peer == peer }
                    && (!level.isByDataCenter
                        || placement.dataCenter(of: ordinal) == dataCenter(of: place))
            }
            guard let found, let peer = peers.index(of: placement.members[free[found]].id) else { return }
            free.remove(at: found)
            plan.append(WriteOperation.StandIn(place: place, peer: peer))
        }
        return plan
    }

    /// The answer of a node that is no owner of the key.
    mutating func standInAnswered(
        _ number: RequestNumber, _ peer: PeerIndex, _ outcome: MergeAnswer.Outcome
    ) {
        guard isCurrent(number) else { return }
        let index = number.index
        guard let standIn = writes[index].standIns.first(where: { $0.peer == peer && !$0.hasKept }),
            writes[index].hinting.contains(standIn.place)
        else { return }
        switch outcome {
        case .merged, .dominated: noteKept(index, standIn.place, by: peer)
        case .closed: standInLost(index, peer)
        case .refused(let refusal):
            if refusal == .overloaded { noteOverload(peer) }
            if refusal == .stalePlacement, !writes[index].isAnswered, retryWrite(index) { return }
            standInLost(index, peer)
        }
    }

    /// No answer will come from who was asked to stand in: another one is asked.
    mutating func standInLost(_ index: Int, _ peer: PeerIndex) {
        guard let standIn = writes[index].standIns.first(where: { $0.peer == peer && !$0.hasKept }),
            writes[index].hinting.contains(standIn.place)
        else { return }
        writes[index].hinting.remove(standIn.place)
        if !writes[index].isAnswered { self.standIn(index, for: .only(standIn.place)) }
        advanceWrite(index)
    }
}

extension ConsistencyLevel {
    /// Whether it says in which data centres the answers must be.
    var isByDataCenter: Bool { isLocal || self == .eachQuorum }
}
