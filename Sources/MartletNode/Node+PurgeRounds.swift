import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// The driver of purge rounds: each node, for the slots whose first owner it is.
///
/// A round needs every node of the ring, so there is no other owner to take over from one that is dead; and
/// two that drove one slot would do no harm.
extension Node {
    /// How often what isn't answered is asked again.
    private static let roundPause = Interval.milliseconds(500)
    /// A round that has taken so long begins anew, with a higher floor, when the next one would be due.
    private static let roundTimeMin = Interval.seconds(5)

    mutating func beginPurging() {
        guard configuration.purges else { return }
        // Spread over the first interval, so that nodes that start together don't all drive at once.
        let share = Double(XXH3.hash(configuration.seed) % 1_000) / 1_000
        purge.nextRoundAt = now.monotonic + configuration.repairInterval.scaled(by: 0.5 + 0.5 * share)
        purge.tick(by: purge.nextRoundAt)
    }

    mutating func tickPurge() {
        purge.tickAt = .distantFuture
        if let round = purge.round {
            if now.monotonic - round.begunAt > max(configuration.repairInterval, Self.roundTimeMin) {
                purge.round = nil
                purge.nextRoundAt = now.monotonic
            } else if now.monotonic - round.askedAt >= Self.roundPause {
                askAgain()
            }
        }
        if purge.round == nil, now.monotonic >= purge.nextRoundAt { beginRound() }
        if !purge.proofs.isEmpty { advanceProofs() }
        if purge.round == nil { purge.tick(by: purge.nextRoundAt) }
        if purge.round != nil || !purge.proofs.isEmpty { purge.tick(by: now.monotonic + Self.roundPause) }
    }

    // MARK: Beginning

    private mutating func beginRound() {
        purge.nextRoundAt = now.monotonic + configuration.repairInterval
        guard formation.isFormed, life == .running, skew.isGood(now), !keyspaces.all.isEmpty,
            handover.change == nil
        else { return }
        if purge.nextKeyspace >= keyspaces.all.count { purge.nextKeyspace = 0 }
        let index = purge.nextKeyspace
        purge.nextKeyspace += 1
        // The others' turns follow at once.
        if purge.nextKeyspace < keyspaces.all.count { purge.nextRoundAt = now.monotonic + Self.roundPause }
        let (spans, owners) = driven(index)
        let floor = nextFloor
        guard !spans.isEmpty, keyspaces[index].marks.lowest(.floor, in: spans) < floor else { return }
        purge.roundsBegun += 1
        let all = ring.entries.filter(\.isPlaced).map(\.id).sorted()
        purge.round = Purge.Round(
            number: UInt64(configuration.boot) << 32 | purge.roundsBegun,
            keyspace: keyspaces[index].definition.id, floor: floor, spans: spans, owners: owners,
            begunAt: now.monotonic, awaited: all, askedAt: now.monotonic)
        if configuration.planted == .skipPromises || configuration.planted == .purgeByAge {
            purge.round?.awaited = []
        }
        if configuration.planted == .purgeByAge { purge.round?.step = .prove }
        advanceRound()
    }

    /// Rounded down to the interval, so that the floors of neighbours agree, whoever drives them.
    private var nextFloor: HybridTime {
        let interval = max(1, configuration.repairInterval.milliseconds)
        let latest = max(0, now.wall.milliseconds - configuration.tombstoneGrace.milliseconds)
        return HybridTime(WallTime(milliseconds: latest / interval * interval))
    }

    /// The slots whose first owner this node is, and all their owners.
    private func driven(_ index: Int) -> (spans: [SlotSpan], owners: [NodeID]) {
        var spans: [SlotSpan] = []
        var owners: Set<NodeID> = []
        var slot: UInt16 = 0
        while true {
            guard let replicas = keyspaces.replicas(index, of: Slot(index: slot)) else { break }
            let span = keyspaces.span(index, of: Slot(index: slot))
            if replicas.own == 0 {
                if let before = spans.last, before.last + 1 == span.first {
                    spans[spans.count - 1] = SlotSpan(first: before.first, last: span.last)
                } else {
                    spans.append(span)
                }
                for peer in replicas.peers { owners.insert(peers[peer].id) }
            }
            if span.last == SlotSpan.all.last { break }
            slot = span.last + 1
        }
        return (spans, owners.sorted())
    }

    // MARK: Asking and answers

    private mutating func ask(_ id: NodeID, _ request: PurgeRequest) {
        guard let peer = peers.index(of: id) else { return note(id, .silent) }
        if peer == PeerTable.own {
            take(.own, id, request)
        } else if peers.isReachable(peer) {
            effects.append(.send(peer, .purge(request)))
        } else {
            note(id, .silent)
        }
    }

    private mutating func askAll() {
        guard let round = purge.round, let index = keyspaces.index(of: round.keyspace) else { return }
        purge.round?.askedAt = now.monotonic
        let request = PurgeRequest(
            round: round.number, step: round.step, keyspace: round.keyspace, ring: ringView(index),
            floor: round.floor, spans: round.spans, closed: round.step == .prove ? round.closed : [])
        for id in round.awaited {
            // This node's own answer may come at once, and take the round on.
            guard purge.round?.number == round.number, purge.round?.step == round.step else { return }
            ask(id, request)
        }
    }

    /// Who hasn't answered by now is in the way.
    private mutating func askAgain() {
        guard let round = purge.round else { return }
        for id in round.awaited where purge.blockers[round.keyspace]?[id] == nil { note(id, .silent) }
        askAll()
    }

    private mutating func note(_ id: NodeID, _ obstacle: PurgeAnswer.Obstacle) {
        guard let round = purge.round else { return }
        let known = purge.blockers[round.keyspace]?[id]
        if known == nil {
            let name = peers.index(of: id).map { peers[$0].name } ?? id.description
            effects.append(.report(.floorBlocked(keyspace: round.keyspace, by: name, obstacle)))
        }
        purge.blockers[round.keyspace, default: [:]][id] = Purge.Blocker(
            since: known?.since ?? round.begunAt, obstacle: obstacle)
    }

    mutating func purgeAnswered(_ id: NodeID, _ answer: PurgeAnswer) {
        guard let round = purge.round, round.number == answer.round, round.step == answer.step,
            let place = round.awaited.firstIndex(of: id)
        else { return }
        switch answer.outcome {
        case .hindered(let obstacle):
            // An exchange takes its time; it is in the way when it takes longer than that.
            let isExpected =
                obstacle == .exchange && now.monotonic - round.begunAt < configuration.repairInterval
            if !isExpected { note(id, obstacle) }
            if obstacle == .epoch { endRound(again: true) }
        case .done(let epoch):
            purge.blockers[round.keyspace]?[id] = nil
            if round.step == .close {
                purge.round?.closed.append(PurgeRequest.Closed(id: id, epoch: epoch))
            } else if round.step == .prove, !round.closed.contains(.init(id: id, epoch: epoch)) {
                endRound(again: true)
                return
            }
            purge.round?.awaited.remove(at: place)
            // Not at each answer: in a ring of n nodes each driver would ask n times n/2 times.
            if purge.round?.awaited.isEmpty ?? false { advanceRound() }
        }
    }

    private mutating func advanceRound() {
        while let round = purge.round, round.awaited.isEmpty {
            switch round.step {
            case .promise: purge.round?.step = .close
            case .close: purge.round?.step = .prove
            case .prove: return finishRound(round)
            }
            let isByOne = configuration.planted == .purgeByOneProof && purge.round?.step == .prove
            purge.round?.awaited = isByOne ? [configuration.id] : round.owners
        }
        askAll()
        purge.tick(by: now.monotonic + Self.roundPause)
    }

    private mutating func finishRound(_ round: Purge.Round) {
        endRound(again: false)
        purge.blockers[round.keyspace] = nil
        guard let index = keyspaces.index(of: round.keyspace) else { return }
        raiseFloor(index, to: round.floor, in: round.spans)
        let news = FloorNews(keyspace: round.keyspace, floor: round.floor, spans: round.spans)
        for place in peers.indices.dropFirst() {
            let peer = PeerIndex(UInt16(place))
            if ring[peers[peer].id] != nil, peers.isReachable(peer) {
                effects.append(.send(peer, .floor(news)))
            }
        }
        effects.append(
            .report(
                .floorRaised(
                    keyspace: round.keyspace, to: round.floor.milliseconds, spans: round.spans.count)))
    }

    private mutating func endRound(again: Bool) {
        purge.round = nil
        if again { purge.nextRoundAt = min(purge.nextRoundAt, now.monotonic + Self.roundPause) }
        purge.tick(by: purge.nextRoundAt)
    }

    // MARK: Shown

    /// How far the keyspaces are purged, and who keeps them from going on.
    package func purgeStatus() -> [PurgeStatus] {
        keyspaces.all.map { keyspace in
            let blockers = (purge.blockers[keyspace.definition.id] ?? [:]).map { id, blocker in
                PurgeStatus.Blocker(
                    id: id, name: peers.index(of: id).map { peers[$0].name } ?? id.description,
                    obstacle: blocker.obstacle, since: now.monotonic - blocker.since)
            }
            let floor = keyspace.marks.lowest(.floor, in: [.all])
            return PurgeStatus(
                keyspace: keyspace.definition.name,
                floor: floor == .zero ? nil : WallTime(milliseconds: floor.milliseconds),
                blockers: blockers.sorted { ($0.name, $0.id) < ($1.name, $1.id) })
        }
    }

    /// Zero before the first.
    package func purgeFloor(keyspace: UInt32, _ slot: Slot) -> HybridTime {
        purgeLevels(keyspace: keyspace, slot).floor
    }

    package func purgeLevels(keyspace: UInt32, _ slot: Slot) -> PurgeMarks.Levels {
        keyspaces.index(of: keyspace).map { keyspaces[$0].marks[slot.index] } ?? .none
    }

    /// Whether it owes any driver a proof.
    package var isProving: Bool { !purge.proofs.isEmpty }

    /// Times that floors were raised, in this run.
    package var floorsRaised: UInt64 { metrics.floorsRaised }

    func checkPurgeInvariants() {
        invariant(purge.proofs.count <= Limits.purgeProofsMax, "\(purge.proofs.count) proofs are under way")
        invariant(purge.sweeps.count <= Limits.sweepsMax, "\(purge.sweeps.count) sweeps wait")
    }
}

/// A keyspace's purge floor: `status`.
package struct PurgeStatus: Sendable {
    package struct Blocker: Sendable {
        package var id: NodeID
        package var name: String
        package var obstacle: PurgeAnswer.Obstacle
        package var since: Interval
    }

    package var keyspace: String
    /// The lowest of all slots, as this node knows it; nil before the first.
    package var floor: WallTime?
    /// In the way of the round that this node drives. By name.
    package var blockers: [Blocker]
}
