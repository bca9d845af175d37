import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// Acts: what gives the ring another shape. Each is one ring entry, or one keyspace's definition, and durable
/// at the node that did it before anybody hears of it, itself included.
///
/// No act is done by a node that has voted for the present shape; and a change is completed only when all
/// voters have voted. So of an act and a completion that would not know of each other one doesn't happen.
extension Node {
    /// Makes it durable, and then part of the ring.
    mutating func act(_ act: Handover.Act, for asker: Handover.Asker) {
        handover.acts.append(act)
        switch act {
        case .entry(let entry):
            putMeta(MetaMemory.entryKey(entry.id), entry.encoded(), .act(act, asker))
        case .definition(let definition):
            let stored = handover.stored(definition)
            putMeta(MetaMemory.keyspaceKey(definition.id), stored.encoded(), .act(act, asker))
        }
    }

    mutating func actIsDurable(_ act: Handover.Act, _ asker: Handover.Asker) {
        if let place = handover.acts.firstIndex(of: act) { handover.acts.remove(at: place) }
        handover.isCompleting = false
        switch act {
        case .entry(let entry):
            if (try? ring.merge(entry)) == true { ringChanged(entry.id) }
            tellAll(entry)
        case .definition(let definition):
            spread(definition, for: asker)
        }
        switch asker {
        case .own, .definition: break
        case .link(let link): answerJoin(link, .taken)
        case .client(let ticket): effects.append(.reply(ticket, .acted))
        }
    }

    mutating func actRefused(_ act: Handover.Act, _ asker: Handover.Asker) {
        if let place = handover.acts.firstIndex(of: act) { handover.acts.remove(at: place) }
        handover.isCompleting = false
        switch asker {
        case .own: break
        case .link(let link): answerJoin(link, .notServing)
        case .client(let ticket), .definition(let ticket, _): refuseOverload(ticket, "storage")
        }
    }

    /// At once, because everything waits for it; gossip brings it to those who miss it.
    private mutating func tellAll(_ entry: RingEntry) {
        let bytes = entry.encoded()
        for place in peers.indices.dropFirst() {
            let peer = PeerIndex(UInt16(place))
            if ring[peers[peer].id] != nil, peers.isReachable(peer) {
                effects.append(.send(peer, .entry(bytes)))
            }
        }
    }

    /// Why this node may not act now; nil when it may. What leaves the change in hand as it is may be done by
    /// one that has voted, too: that change is completed before it, or after it, all the same.
    func obstacle(toAct act: Handover.Act) -> RingActRefusal? {
        guard formation.isFormed, life == .running, rebuilding == nil, vouching == nil,
            ring.voters.contains(configuration.id)
        else { return .notServing }
        var next = ring
        switch act {
        case .entry(let entry): guard (try? next.merge(entry)) != nil else { return .noRoom }
        case .definition(let definition): next.merge(definition)
        }
        return isBoundByVote && next.change != ring.change ? .busy : nil
    }

    /// A stamp that puts an act behind the change in hand.
    private var actStamp: UInt64 { max(hybridTime.bits, (handover.change?.stamp ?? 0) + 1) }

    // MARK: Letting a node in

    mutating func joinAsked(_ link: LinkID, _ id: NodeID, _ request: JoinRequest) {
        var reader = ByteReader(request.entry.span)
        guard let entry = try? RingEntry(from: &reader) else { return answerJoin(link, .invalid) }
        guard entry.id == id, entry.state == .joining, entry.verdict == nil, !entry.tokens.isEmpty,
            entry.done == 0,
            entry.moved == 0
        else { return answerJoin(link, .invalid) }
        if let known = ring[id] {
            guard known.verdict == nil else { return answerJoin(link, .removed) }
            guard entry.incarnation > known.incarnation, known.isJoining else {
                return answerJoin(link, .taken)
            }
        }
        // It asks again until it is answered.
        let entriesComing = handover.entriesComing
        guard !entriesComing.contains(where: { $0.id == id }) else { return }
        // When it asked says which purge floors it can't know of (`gain`).
        let age = now.wall - WallTime(milliseconds: HybridTime(bits: entry.joined).milliseconds)
        guard skew.isGood(now), age <= configuration.clockSkewMax else {
            return answerJoin(link, .notServing)
        }
        let isNameTaken = (ring.entries + entriesComing).contains {
            $0.name == entry.name && $0.id != id && !$0.isGone
        }
        guard !isNameTaken else { return answerJoin(link, .nameTaken) }
        if let replaced = entry.replaces {
            let isTaken = (ring.entries + entriesComing).contains {
                $0.replaces == replaced && $0.id != id && $0.ownsTokens
            }
            guard let dead = ring[replaced], dead.isPlaced, dead.tokens == entry.tokens, !isTaken else {
                return answerJoin(link, .notReplaceable)
            }
            guard isDown(replaced) else { return answerJoin(link, .replacedIsAlive) }
        }
        switch obstacle(toAct: .entry(entry)) {
        case .busy:
            handover.isWishedFor = true
            answerJoin(link, .busy)
        case .noRoom: answerJoin(link, .noRoom)
        case nil: act(.entry(entry), for: .link(link))
        default: answerJoin(link, .notServing)
        }
    }

    mutating func answerJoin(_ link: LinkID, _ outcome: JoinAnswer.Outcome) {
        effects.append(.respond(link, .joinAnswer(JoinAnswer(outcome: outcome))))
    }

    // MARK: Being let in

    /// The first and the longest pause between two attempts to be let in.
    private static let proposePauses = Interval.milliseconds(250)...Interval.seconds(5)

    /// Whether it is time for another attempt: while nothing changes the pauses double, and what might change
    /// the answer ends them.
    private mutating func mayPropose() -> Bool {
        let when = (shape: ring.shape, livenessChanges: peers.livenessChanges)
        if when != handover.proposedWhen {
            handover.proposedWhen = when
            handover.proposePause = Self.proposePauses.lowerBound
        } else if now.monotonic < handover.proposeAt {
            return false
        }
        handover.proposeAt = now.monotonic + handover.proposePause
        handover.proposePause = min(
            handover.proposePause + handover.proposePause, Self.proposePauses.upperBound)
        return true
    }

    /// Nodes that live and are not of the ring: they are about to join it, too.
    private var othersJoining: [NodeID] {
        gossip.members.filter {
            $0.id != configuration.id && $0.liveness == .up && ring[$0.id] == nil
        }.map(\.id)
    }

    /// Nodes that were started together choose their tokens one after the other, each knowing how many are
    /// to come (`TokenChoice`). So it waits until those have been heard, and lets lower ids go first; not for
    /// long, because one that is heard may never be let in. Who replaces another has no choice to make.
    private mutating func isTurnToPropose() -> Bool {
        guard configuration.replaces == nil else { return true }
        let since = handover.choosesSince ?? now.monotonic
        handover.choosesSince = since
        let before = othersJoining.count { $0 < configuration.id }
        return now.monotonic >= since + Limits.joinersHeardWithin * Int64(1 + before)
    }

    /// Shows this node's entry to one node of the ring after the other until one has taken it, each time a
    /// new one: by the ring and the clock as they are.
    mutating func propose() {
        guard ring[configuration.id] == nil, formation.isFormed, life == .running else {
            handover.proposal = nil
            return
        }
        if let replaced = configuration.replaces, ring[replaced]?.isGone == true {
            // It may be this node that is in its place, and its folder lost since: the others are about to
            // say.
            if ring.entries.contains(where: { $0.name == configuration.name && !$0.isGone }) { return }
            let text = "node \(name(of: replaced)) has been removed or replaced already: join as a new node"
            return stop(.identity(text))
        }
        guard skew.isJudged(now), skew.isGood(now) else { return }
        let hosts = ring.voters.compactMap { peers.index(of: $0) }.filter { peers.isReachable($0) }
        guard !hosts.isEmpty, isTurnToPropose(), mayPropose() else { return }
        let entry = proposedEntry()
        handover.proposal = entry
        handover.sponsor += 1
        let host = hosts[handover.sponsor % hosts.count]
        effects.append(.send(host, .join(JoinRequest(entry: entry.encoded()))))
    }

    private func proposedEntry() -> RingEntry {
        let tokens =
            configuration.replaces.map { ring[$0]?.tokens ?? [] }
            ?? TokenChoice.choose(
                count: configuration.tokensPerNode,
                for: (configuration.id, configuration.zone, configuration.dataCenter), in: ring,
                replication: foundingReplication, awaiting: othersJoining.count)
        // Above that of every earlier one, which may yet come up somewhere.
        let incarnation = (handover.proposal?.incarnation ?? UInt64(configuration.boot) << 20) + 1
        return RingEntry(
            id: configuration.id, incarnation: incarnation, name: configuration.name,
            address: configuration.address, ports: configuration.ports, zone: configuration.zone,
            dataCenter: configuration.dataCenter, tokens: tokens, state: .joining,
            joined: max((handover.change?.stamp ?? 0) + 1, HybridTime(now.wall).bits),
            replaces: configuration.replaces,
            version: configuration.version)
    }

    mutating func joinAnswered(_ answer: JoinAnswer) {
        guard let proposal = handover.proposal else { return }
        if answer.outcome != handover.refusal, answer.outcome != .taken {
            effects.append(.report(.joinRefused(answer.outcome)))
        }
        handover.refusal = answer.outcome
        if answer.outcome == .busy {
            // Votes are taken back for it, and given anew when it doesn't come soon.
            handover.proposePause = Self.proposePauses.lowerBound
            handover.proposeAt = min(handover.proposeAt, now.monotonic + handover.proposePause)
        }
        switch answer.outcome {
        case .taken: ownEntryCame(proposal)
        case .removed: stop(.identity("the cluster has removed this node: give it an empty data folder"))
        case .notServing, .busy, .nameTaken, .noRoom, .invalid, .notReplaceable, .replacedIsAlive: break
        }
    }

    // MARK: Operators

    /// An operator's wish.
    mutating func ringActAsked(_ ticket: ClientTicket, _ wish: RingAct) {
        switch entryWanted(wish) {
        case .failure(let refusal): effects.append(.reply(ticket, .failed(.ringAct(refusal))))
        case .success(let entry):
            if ring[entry.id] == entry {
                // It is so already: asking twice doesn't put it behind others that wait.
                effects.append(.reply(ticket, .acted))
            } else if let refusal = obstacle(toAct: .entry(entry)) {
                postpone(
                    Wish(
                        wanted: .ring(wish), ticket: ticket,
                        until: now.monotonic + configuration.requestTimeout), refusal)
            } else {
                act(.entry(entry), for: .client(ticket))
            }
        }
    }

    /// What is refused only because somebody has this node's vote waits until it has taken that back.
    mutating func postpone(_ wish: Wish, _ refusal: RingActRefusal) {
        guard refusal == .busy, handover.wishes.count < Limits.ringWishesMax else {
            return effects.append(.reply(wish.ticket, .failed(.ringAct(refusal))))
        }
        handover.wishes.append(wish)
        handover.tick(by: now.monotonic)
    }

    /// A node that has given its vote takes it back from those who have it, usually the subject of the change
    /// alone: when they have promised not to complete it, nobody can, because its vote is missing to all
    /// others.
    mutating func pursueWishes() {
        turnAnew()
        let wishes = handover.wishes
        handover.wishes = []
        for wish in wishes {
            if case .ring(let act) = wish.wanted, isFulfilled(act) {
                effects.append(.reply(wish.ticket, .acted))
            } else if !isBoundByVote {
                switch wish.wanted {
                case .ring(let act): ringActAsked(wish.ticket, act)
                case .keyspaces(let change, let level):
                    changeKeyspaces(wish.ticket, change, level: level, until: wish.until)
                }
            } else if now.monotonic < wish.until {
                handover.wishes.append(wish)
            } else {
                effects.append(.reply(wish.ticket, .failed(.ringAct(.busy))))
            }
        }
        guard !handover.wishes.isEmpty || handover.isWishedFor, isBoundByVote else { return }
        handover.isWishedFor = false
        if !handover.voids.contains(configuration.id) { void(.own, handover.shape) }
        for id in ballot.givenTo.subtracting(handover.voids).sorted() {
            if let peer = peers.index(of: id), peer != PeerTable.own, peers.isReachable(peer) {
                let request = VoteRequest(
                    shape: handover.shape, keyspaces: keyspaces.standing, isVoid: true)
                effects.append(.send(peer, .vote(request)))
            }
        }
    }

    /// Whoever took its vote back may have died before its act: then the change begins anew.
    private mutating func turnAnew() {
        guard handover.change != nil, ballot.isVoid, handover.wishes.isEmpty, handover.acts.isEmpty,
            var own = ring[configuration.id]
        else { return }
        let since = handover.voidSince ?? handover.changedAt
        guard now.monotonic - since > configuration.requestTimeout else { return }
        own.turn += 1
        own.incarnation += 1
        act(.entry(own), for: .own)
    }

    private func isFulfilled(_ act: RingAct) -> Bool {
        switch act {
        case .remove(let id): ring[id]?.isGivenUp == true
        case .abort(let id):
            ring[id]?.verdict.map { $0.kind != .removing } == true && ring[id]?.change == nil
        case .leave, .move: false
        }
    }

    private func entryWanted(_ wish: RingAct) -> Result<RingEntry, RingActRefusal> {
        let id =
            switch wish {
            case .leave, .move: configuration.id
            case .remove(let id), .abort(let id): id
            }
        guard var entry = ring[id], entry.ownsTokens else { return .failure(.unknownNode) }
        let stamp = max(actStamp, (entry.verdict?.stamp ?? 0) + 1)
        func verdict(_ kind: Verdict.Kind) -> Verdict {
            Verdict(kind: kind, stamp: stamp, by: configuration.id)
        }
        switch wish {
        case .leave, .remove:
            guard wish == .leave || isDown(id) else { return .failure(.alive) }
            let isWanted = entry.verdict?.kind == .removing && entry.isGivenUp == (wish != .leave)
            if isWanted { return .success(entry) }
            if entry.isJoining {
                // Nobody relies on it yet.
                entry.verdict = verdict(.removed)
            } else {
                guard staysEnough(without: entry) else { return .failure(.tooFew) }
                entry.verdict = verdict(.removing)
            }
        case .abort:
            // Others may have gone on without a node that was given up.
            guard let change = entry.change, change.kind != .remove else { return .failure(.notChanging) }
            entry.verdict = verdict(entry.isJoining ? .removed : .aborted)
        case .move(let tokens, let zone):
            return entryMoving(
                entry, to: RingPosition(tokens: tokens ?? entry.tokens, zone: zone ?? entry.zone), at: stamp)
        }
        return .success(entry)
    }

    private func entryMoving(
        _ own: RingEntry, to position: RingPosition, at stamp: UInt64
    ) -> Result<RingEntry, RingActRefusal> {
        invariant(Names.isValid(position.zone), "a move to a zone of that name")
        let tokens = Set(position.tokens)
        guard !tokens.isEmpty, tokens.count <= Limits.tokensPerNodeMax, tokens.count == position.tokens.count
        else { return .failure(.badTokens) }
        let others = ring.entries.filter { $0.ownsTokens && $0.id != own.id }
        guard others.allSatisfy({ tokens.isDisjoint(with: $0.tokens + ($0.next?.tokens ?? [])) }) else {
            return .failure(.tokensTaken)
        }
        guard !own.isJoining, own.verdict?.kind != .removing else { return .failure(.changing) }
        if own.change?.kind == .move, own.next == position { return .success(own) }
        guard own.change == nil else { return .failure(.changing) }
        if own.position == position { return .success(own) }
        var entry = own
        entry.incarnation += 1
        if configuration.planted == .rezoneAtOnce, position.zone != own.zone {
            entry.own = position
            return .success(entry)
        }
        entry.next = position
        entry.moved = max(stamp, entry.moved + 1)
        return .success(entry)
    }

    private func isDown(_ id: NodeID) -> Bool {
        peers.index(of: id).map { peers[$0].liveness == .down } ?? true
    }

    /// Others have left since this node was told to: it stays. It looks before it votes, and votes first.
    mutating func callOffLeave(_ change: RingChange) -> Bool {
        guard change.kind == .leave, change.node == configuration.id, var own = ring[configuration.id],
            !staysEnough(without: own), !isBoundByVote, handover.acts.isEmpty, rebuilding == nil,
            vouching == nil
        else { return false }
        own.verdict = Verdict(
            kind: .aborted, stamp: max(hybridTime.bits, change.stamp + 1), by: configuration.id)
        act(.entry(own), for: .own)
        return true
    }

    /// Whether each keyspace still finds as many nodes as it has copies, and as it is to have.
    private func staysEnough(without leaver: RingEntry) -> Bool {
        let staying = ring.staying.filter { $0.id != leaver.id }
        return keyspaces.all.allSatisfy { keyspace in
            keyspace.definition.copies.all.allSatisfy { $0.isFilled(by: staying) }
        }
    }

    // MARK: Leaving

    /// Whether it is in the ring no more, and stays only for what it owes.
    package var hasLeft: Bool { handover.hasLeft }

    /// How often one of those that may not know that this node has left is asked.
    private static let leavePause = Interval.seconds(1)

    /// It has left the ring, and owes it no hint and no answer any more.
    private var owesNothing: Bool {
        handover.hasLeft && life == .running && hints.ledger.hints == 0 && inFlight == 0
    }

    /// Nothing keeps it: the others know that it has left. Nobody else could tell them.
    var mayGo: Bool {
        guard owesNothing else { return false }
        let others = reachablePlaced
        return !others.isEmpty && others.allSatisfy { knowsThisRing($0) }
    }

    private var reachablePlaced: [RingEntry] {
        ring.entries.filter { entry in
            entry.isPlaced && peers.index(of: entry.id).map { peers.isReachable($0) } ?? false
        }
    }

    private func knowsThisRing(_ entry: RingEntry) -> Bool {
        ringDigests[entry.id]?.digest == ring.digest
    }

    /// Rumours reach nearly everybody, and regular push-pulls the rest, in the end. One that only waits for
    /// that asks.
    mutating func seekKnowledge() {
        guard handover.hasLeft, life == .running else { return }
        handover.tick(by: now.monotonic + Self.leavePause)
        let unsure = reachablePlaced.filter { !knowsThisRing($0) }
        guard owesNothing, !unsure.isEmpty else { return }
        effects.append(.report(.leftUnheard(by: unsure.map(\.name))))
        handover.compared += 1
        tellGossip(.compare(unsure[handover.compared % unsure.count].id))
    }

    /// This node's own entry says that its time in the ring is over; true when it does.
    mutating func leaveIfRemoved() {
        guard let own = ring[configuration.id], let verdict = own.verdict, !own.ownsTokens else { return }
        if verdict.kind == .removed, verdict.by == configuration.id {
            handover.hasLeft = true
            handover.tick(by: now.monotonic + Self.leavePause)
        } else {
            stop(.identity("the cluster has removed this node: give it an empty data folder"))
        }
    }
}

extension RingEntry {
    /// Whether its name is free again.
    package var isGone: Bool { !tokens.isEmpty && !ownsTokens }
}
