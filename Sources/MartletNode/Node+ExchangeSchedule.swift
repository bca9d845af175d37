import MartletBase
import MartletMerkle
import MartletRing
import MartletStorage

/// When exchanges are begun: each pair of owners in turn, the one with the smaller id begins.
///
/// A pair that could not exchange tries again soon; one whose peer has come back, or in whose leaves hints
/// were dropped, is brought forward.
extension Node {
    static let exchangePause = Interval.milliseconds(250)
    static let exchangePaceTick = Interval.milliseconds(5)
    /// After a peer came back, or something is known to differ.
    static let exchangeSoon = Interval.seconds(2)
    /// The schedule is looked at so often, at the least.
    private static let exchangeTick = Interval.seconds(1)

    mutating func tickExchanges() {
        exchanges.tickAt = .distantFuture
        guard life == .running, formation.isFormed else {
            exchanges.tick(by: now.monotonic + Self.exchangeTick)
            return
        }
        expireExchanges()
        noticeQuestions()
        let paused = exchanges.paused
        exchanges.paused.removeAll()
        for job in paused where exchanges.jobs.isInUse(job) { continueRescan(job) }
        advanceAllRescans()
        answerListings()
        for index in exchanges.running.indices where exchanges.running.isInUse(index) { pumpExchange(index) }
        hastenDirtyPairs()
        beginAskedExchanges()
        beginDueExchanges()
        setPaceActive()
        exchanges.tick(by: now.monotonic + Self.exchangeTick)
    }

    // MARK: Turns

    /// Begins what is due, as far as there is room.
    private mutating func beginDueExchanges() {
        guard exchanges.scheduleAt <= now.monotonic else {
            exchanges.tick(by: exchanges.scheduleAt)
            return
        }
        exchanges.scheduleAt = now.monotonic + Self.exchangeTick
        guard !fetches(PeerTable.own) else { return exchanges.tick(by: exchanges.scheduleAt) }
        let interval = configuration.repairInterval
        for index in keyspaces.indices {
            let keyspace = keyspaces[index].definition.id
            for peer in keyspaces.partners(index) where configuration.id < peers[peer].id {
                let pair = Exchanges.Pair(keyspace: keyspace, peer: peer)
                guard let turn = exchanges.turns[pair] else {
                    let within = min(interval, Self.exchangeSoon)
                    let due = now.monotonic + exchanges.random.within(.zero...within)
                    exchanges.turns[pair] = Exchanges.Turn(due: due)
                    exchanges.schedule(by: due)
                    continue
                }
                guard turn.due <= now.monotonic, canExchange(with: peer), !fetches(peer) else {
                    if turn.due > now.monotonic { exchanges.schedule(by: turn.due) }
                    continue
                }
                if startExchange(keyspace: keyspace, peer: peer, .periodic) {
                    exchanges.turns[pair]?.due = .distantFuture
                }
            }
        }
    }

    /// Whether it is a node that fetches all it holds, from one owner after the other: it joins, or rebuilds
    /// its disk. A turn with it would only send what another owner is just sending.
    private func fetches(_ peer: PeerIndex) -> Bool {
        peers[peer].isRebuilding || ring[peers[peer].id]?.state == .joining
    }

    /// An exchange of a pair has ended: when is the next one due?
    mutating func takeTurn(_ pair: Exchanges.Pair, _ outcome: ExchangeOutcome) {
        let interval = configuration.repairInterval
        guard var turn = exchanges.turns[pair] else { return }
        switch outcome {
        case .complete:
            turn.failures = 0
            turn.lastComplete = now.monotonic
            turn.due =
                now.monotonic
                + exchanges.random.within(
                    .nanoseconds(interval.nanoseconds / 2)...(.nanoseconds(interval.nanoseconds * 9 / 10)))
        case .failed:
            turn.failures = min(turn.failures + 1, 10)
            let pause = min(interval, .seconds(1 << Int64(turn.failures - 1)))
            turn.due =
                now.monotonic
                + exchanges.random.within(.nanoseconds(pause.nanoseconds / 2)...pause)
        }
        exchanges.turns[pair] = turn
        exchanges.schedule(by: turn.due)
    }

    /// A peer can be reached again: what it missed is found soon.
    mutating func hastenExchanges(with peer: PeerIndex) {
        for pair in exchanges.turns.keys.sorted() where pair.peer == peer { hasten(pair) }
    }

    /// Not when it is under way: it has its next turn when it ends.
    private mutating func hasten(_ pair: Exchanges.Pair) {
        guard let turn = exchanges.turns[pair], turn.due != .distantFuture else { return }
        let within = min(configuration.repairInterval, Self.exchangeSoon)
        let due = now.monotonic + exchanges.random.within(.zero...within)
        guard due < turn.due else { return }
        exchanges.turns[pair]?.due = due
        exchanges.schedule(by: due)
    }

    /// Leaves in which hints were dropped: their owners are known to differ.
    private mutating func hastenDirtyPairs() {
        guard hints.dirty.count > 0 else { return }
        for index in keyspaces.indices {
            let keyspace = keyspaces[index].definition.id
            var partners: Set<PeerIndex> = []
            for leaf in hints.dirty.take(keyspace: keyspace) {
                guard let owners = keyspaces.replicas(index, of: slot(ofLeaf: leaf)), owners.own != nil else {
                    continue
                }
                partners.formUnion(owners.peers)
            }
            for peer in partners.sorted() { hasten(Exchanges.Pair(keyspace: keyspace, peer: peer)) }
        }
    }

    // MARK: Asked for

    /// Asks for exchanges with the owners of some slots of a keyspace: they begin as there is room.
    ///
    /// - Parameter inTurns: only those that this node begins by itself, when all nodes are asked.
    /// - Returns: how many; nil when there is no such keyspace.
    package mutating func askForExchanges(
        keyspace: UInt32, slots: ClosedRange<UInt16>, inTurns: Bool
    ) -> Int? {
        guard let index = keyspaces.index(of: keyspace) else { return nil }
        let range = UInt32(slots.lowerBound) * 16...UInt32(slots.upperBound) * 16 + 15
        let partners = keyspaces.partners(index).filter { peer in
            (!inTurns || configuration.id < peers[peer].id)
                && keyspaces.commonLeaves(index, with: peer)?.leaves.overlaps(range) ?? false
        }
        for peer in partners {
            let pair = Exchanges.Pair(keyspace: keyspace, peer: peer)
            if !exchanges.asked.contains(pair) { exchanges.asked.append(pair) }
        }
        // Not at once: it would be an effect outside an event.
        exchanges.tick(by: now.monotonic)
        return partners.count
    }

    private mutating func beginAskedExchanges() {
        guard !exchanges.asked.isEmpty else { return }
        let asked = exchanges.asked
        exchanges.asked.removeAll()
        for pair in asked {
            guard peers[pair.peer].liveness == .up, keyspaces.index(of: pair.keyspace) != nil else {
                exchanges.askedFailed += 1
                continue
            }
            // Who is up without a connection will have one soon.
            if !canExchange(with: pair.peer)
                || !startExchange(keyspace: pair.keyspace, peer: pair.peer, .asked)
            {
                exchanges.asked.append(pair)
            }
        }
        if !exchanges.asked.isEmpty { exchanges.tick(by: now.monotonic + Self.exchangePause) }
    }
}
