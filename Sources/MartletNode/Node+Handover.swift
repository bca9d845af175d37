import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// The course of a change of the ring: this node's exchanges, its vote, and the completion (`Handover`).
extension Node {
    /// How often what isn't answered is asked again.
    private static let handoverPause = Interval.milliseconds(250)

    mutating func tickHandover() {
        handover.tickAt = .distantFuture
        guard life == .running, formation.isFormed else { return }
        propose()
        seekKnowledge()
        guard handover.change != nil || ring[configuration.id] == nil else { return }
        holdShape()
        exchangeForHandover()
        askForVotes()
        pursueWishes()
        handover.tick(by: now.monotonic + Self.handoverPause)
    }

    // MARK: The ring has turned

    /// After each change of the ring, when the slots are placed anew.
    mutating func ringTurned() {
        let shape = ring.shape
        let wasInHand = handover.change != nil
        handover.change = ring.change
        guard shape != handover.shape else { return }
        handover.shape = shape
        handover.changedAt = now.monotonic
        handover.done = []
        handover.underWay = []
        handover.isTransferred = false
        exchanges.transfers.beginAnew()
        handover.bytes = 0
        handover.votes = []
        handover.voids = []
        handover.voidSince = nil
        handover.given = []
        handover.obstacles = [:]
        handover.isCompleting = false
        handover.isHolding = false
        holdShape()
        handover.tick(by: now.monotonic)
        // Floors stand still while slots change hands: a round goes by the owners that it began with.
        purge.round = nil
        purge.proofs = []
        refuseParked()
        forgetTurnedExchanges()
        if let change = handover.change {
            effects.append(.report(.handoverBegan(change.kind, name: name(of: change.subject))))
        } else if wasInHand {
            effects.append(.report(.handoversOver))
        }
    }

    /// Writes once more what the ring's entries were written behind, to know when all of it is durable: until
    /// then a crash would bring this node back in an earlier shape, whose requests it would serve again.
    private mutating func holdShape() {
        guard let change = handover.change, handover.held != handover.shape, !handover.isHolding
        else { return }
        switch change.subject {
        case .node(let id):
            guard let entry = ring[id] else { return }
            putMeta(MetaMemory.entryKey(id), handover.stored(entry).encoded(), .shape(handover.shape))
        case .keyspace(let id):
            guard let definition = keyspaces.definition(of: id) else { return }
            putMeta(
                MetaMemory.keyspaceKey(id), handover.stored(definition).encoded(), .shape(handover.shape))
        }
        handover.isHolding = true
    }

    mutating func shapeIsDurable(_ shape: UInt64) {
        guard shape == handover.shape else { return }
        handover.isHolding = false
        // What the storage has refused is written again, later than this.
        if replica.refusedMeta.isEmpty { handover.held = shape }
    }

    func name(of id: NodeID) -> String { ring[id]?.name ?? id.description }

    private func name(of subject: RingChange.Subject) -> String {
        switch subject {
        case .node(let id): name(of: id)
        case .keyspace(let id): keyspaces.definition(of: id)?.name ?? "\(id)"
        }
    }

    /// Merges that wait for a stamp ceiling were accepted under another placement: who asked for them may
    /// count on owners that are none any more.
    private mutating func refuseParked() {
        for _ in 0..<replica.parked.count {
            answerMerge(replica.parked.removeFirst().origin, .refused(.stalePlacement))
        }
    }

    // MARK: What this node gains and loses

    /// The slots of a keyspace are placed anew after a change of the ring.
    mutating func slotsTurned(_ index: Int, ownedBefore: [SlotSpan]) {
        gain(index)
        let lost = keyspaces.spans(index) { replicas in
            configuration.planted == .eraseBeforeProof
                ? replicas.isJoint && replicas.own.map { !replicas.new.contains($0) } ?? true
                : replicas.own == nil
        }
        let left = SlotSpan.common(lost, ownedBefore)
        guard !left.isEmpty else { return }
        erase(index, left)
        // What this node wrote as an actor may have been here alone: it goes on as another (`Siblings`).
        siblings.actor = Writer(
            node: configuration.id.short, boot: UInt32(truncatingIfNeeded: exchanges.random.next()), shard: 0)
    }

    /// What is older than the floors that may have been proved so far comes to this node by exchanges alone:
    /// it had no part in those proofs. A node of the ring has promised every one of them. One that joins may
    /// have missed those of rounds that began before it was let in, by clocks that were right within their
    /// bound.
    private mutating func gain(_ index: Int) {
        let gained = keyspaces.spans(index, where: \.isGained)
        guard !gained.isEmpty, let own = ring[configuration.id] else { return }
        var closed = keyspaces[index].marks.highestPromised
        if own.isJoining {
            let begun = HybridTime(bits: own.joined).advanced(by: configuration.clockSkewMax * 3)
            let present = HybridTime(now.wall).advanced(by: configuration.clockSkewMax)
            let latest = min(begun, present).milliseconds - configuration.tombstoneGrace.milliseconds
            closed = max(closed, HybridTime(WallTime(milliseconds: max(0, latest))))
        }
        if keyspaces[index].marks.raise(.closed, to: closed, in: gained) { storeMarks(index) }
    }

    /// Deletes what this node held of slots that it doesn't own any more: all that counts is held by those
    /// that do, or the change would not have been completed.
    private mutating func erase(_ index: Int, _ spans: [SlotSpan]) {
        guard !spans.isEmpty else { return }
        let keyspace = keyspaces[index].definition.id
        let erasures = spans.map { Replica.Erasure(keyspace: keyspace, span: $0) }
        handover.erasures += erasures.filter { !handover.erasures.contains($0) }
        handover.isErased = false
        putMeta(MetaMemory.erasuresKey, Handover.encode(handover.erasures))
        for erasure in erasures { erase(erasure) }
        metrics.slotsErased += UInt64(spans.reduce(0) { $0 + Int($1.last - $1.first) + 1 })
    }

    mutating func erasureIsDurable(_ erasure: Replica.Erasure) {
        guard let place = handover.erasures.firstIndex(of: erasure) else { return }
        handover.erasures.remove(at: place)
        guard handover.erasures.isEmpty else { return }
        putMeta(MetaMemory.erasuresKey, Handover.encode([]))
    }

    /// At the start: what an earlier run may not have come to. One that broke off may have made the end of a
    /// change durable, and not what it had to erase for that: so all goes that lies in slots of others. It
    /// must not be found when this node gains such a slot again, when what hid it may have been purged.
    mutating func eraseAgain() {
        for erasure in handover.erasures { erase(erasure) }
        // Who isn't in the ring that its disk knows can't say what isn't its own.
        guard handover.hasBrokenOff, formation.isFormed, ring[configuration.id]?.ownsTokens == true
        else { return }
        for index in keyspaces.indices { erase(index, keyspaces.spans(index) { $0.own == nil }) }
    }

    /// Whether a slot still holds what is to be erased: nothing may be merged beside it.
    func isErasing(_ keyspace: UInt32, _ slot: Slot) -> Bool {
        replica.refusedErasures.contains { $0.keyspace == keyspace && $0.span.contains(slot.index) }
    }

    // MARK: Exchanges

    /// The exchanges that this node needs (`KeyspaceTable.sources`).
    ///
    /// All of them, not only of the one whose place it takes: that one may be lost, and nobody knows which of
    /// the others hold what it acknowledged (`Rebuilding`).
    func partsNeeded(for change: RingChange) -> [Exchanges.Pair] {
        let givenUp = ring.givenUp
        if configuration.planted == .forgetLeavers, change.kind == .alter { return [] }
        return keyspaces.indices.flatMap { index in
            keyspaces.sources(index).filter { !givenUp.contains(peers[$0].id) }.map {
                Exchanges.Pair(keyspace: keyspaces[index].definition.id, peer: $0)
            }
        }
    }

    private mutating func exchangeForHandover() {
        guard let change = handover.change else { return }
        let needed = partsNeeded(for: change)
        if !handover.isTransferred {
            prepareExchanges(needed)
            guard transfersAreOver(of: \.isGained) else { return }
            handover.isTransferred = true
            if configuration.planted == .trustTransfers { handover.done = Set(needed) }
        }
        for pair in needed where !handover.done.contains(pair) && !handover.underWay.contains(pair) {
            guard handover.underWay.count < Limits.handoverExchangesMax else { return }
            if startExchange(keyspace: pair.keyspace, peer: pair.peer, .handover) {
                handover.underWay.insert(pair)
            }
        }
    }

    /// An exchange for a handover has ended. Those under another shape of the ring are not among those under
    /// way.
    mutating func handoverExchangeEnded(_ pair: Exchanges.Pair, isComplete: Bool) {
        guard handover.underWay.remove(pair) != nil else { return }
        if isComplete { handover.done.insert(pair) }
        handover.tick(by: isComplete ? now.monotonic : now.monotonic + Self.handoverPause)
    }

    // MARK: Voting

    mutating func voteAsked(_ link: LinkID, _ peer: PeerIndex, _ request: VoteRequest) {
        if request.shape != handover.shape, formation.isFormed, peers[peer].viewShown != ring.digest {
            peers[peer].viewShown = ring.digest
            effects.append(.respond(link, .view(view())))
        }
        if request.isVoid {
            void(.link(link), request.shape)
        } else {
            vote(.link(link), request.shape, askedBy: peers[peer].id, knowing: request.keyspaces)
        }
    }

    /// Votes, if nothing is in the way.
    private mutating func vote(
        _ asker: Handover.Asker, _ shape: UInt64, askedBy id: NodeID, knowing known: UInt64
    ) {
        if let obstacle = obstacle(to: shape, askedBy: id, knowing: known) {
            answerVote(asker, VoteAnswer(shape: shape, obstacle: obstacle))
            return
        }
        var ballot = ballot
        ballot.givenTo.insert(id)
        cast(ballot, for: asker)
    }

    /// What this node has promised for the ring's present shape.
    var ballot: Ballot {
        if let ballot = handover.ballot, ballot.shape == handover.shape { return ballot }
        return Ballot(shape: handover.shape)
    }

    /// - Parameter known: the keyspaces that the asker knows. One that was there before the change began may
    ///   be news to a node that was away, and would be handed over without its records; and votes count
    ///   together only where they are of the same keyspaces (`keyspacesChanged`).
    private func obstacle(
        to shape: UInt64, askedBy id: NodeID, knowing known: UInt64
    ) -> VoteAnswer.Obstacle? {
        guard formation.isFormed, life == .running else { return .notServing }
        guard let change = handover.change, shape == handover.shape else { return .ring }
        if ballot.isVoid { return .void }
        if known != keyspaces.standing { return .keyspaces }
        if rebuilding != nil || vouching != nil { return .rebuilding }
        if handover.held != shape || !handover.acts.isEmpty && !handover.isCompleting { return .act }
        if !handover.isErased { return .erasing }
        // Purge floors ask nobody who has left what it keeps.
        if change.node == configuration.id, ring[configuration.id]?.isGoing == true, hints.ledger.mayCount {
            return .hints
        }
        // The subject has voted before it asks others. So when all others have voted, all have.
        if let first = change.ownCompleter, id != first, !ballot.givenTo.contains(first) { return .subject }
        let isReady = partsNeeded(for: change).allSatisfy { handover.done.contains($0) }
        return isReady || configuration.planted == .voteBeforeExchange ? nil : .exchange
    }

    /// Promises to complete nothing in this shape, so that another may take its vote back.
    mutating func void(_ asker: Handover.Asker, _ shape: UInt64) {
        let obstacle: VoteAnswer.Obstacle? =
            if !formation.isFormed || life != .running {
                .notServing
            } else if handover.change == nil || shape != handover.shape {
                .ring
            } else if handover.held != shape || handover.isCompleting { .act } else { nil }
        if let obstacle {
            answerVote(asker, VoteAnswer(shape: shape, isVoid: true, obstacle: obstacle))
            return
        }
        var ballot = ballot
        ballot.isVoid = true
        if handover.voidSince == nil { handover.voidSince = now.monotonic }
        cast(ballot, for: asker)
    }

    /// Written again even where it is known already: the write that made it so may not be durable yet.
    mutating func cast(_ ballot: Ballot, for asker: Handover.Asker?) {
        handover.ballot = ballot
        handover.isCasting = true
        putMeta(MetaMemory.ballotKey, ballot.encoded(), .ballot(ballot, asker))
    }

    mutating func ballotIsDurable(_ ballot: Ballot, _ asker: Handover.Asker?) {
        handover.isCasting = false
        if ballot == self.ballot, handover.given != ballot.givenTo {
            handover.given = ballot.givenTo
            handover.tick(by: now.monotonic)
            rebuilding?.tickAt = now.monotonic
        }
        guard let asker else { return }
        answerVote(asker, VoteAnswer(shape: ballot.shape, isVoid: ballot.isVoid, obstacle: nil))
    }

    mutating func answerVote(_ asker: Handover.Asker, _ answer: VoteAnswer) {
        switch asker {
        case .own: voteCame(configuration.id, answer)
        case .link(let link): effects.append(.respond(link, .voteAnswer(answer)))
        case .client, .definition: invariantBroken("no client asks for votes")
        }
    }

    /// Whether this node may do nothing that puts another change in hand: somebody has its vote.
    var isBoundByVote: Bool { handover.change != nil && !ballot.givenTo.isSubset(of: handover.voids) }

    /// There is a keyspace more, or less: who has voted has done so without what it holds.
    mutating func keyspacesChanged() {
        handover.votes = []
        handover.tick(by: now.monotonic)
    }

    // MARK: Completing

    /// Whether it is this node's to complete the change: the subject's own; of one that isn't there the first
    /// voter's that is. Several may believe so, and all do the same.
    private func completes(_ change: RingChange) -> Bool {
        if let completer = change.ownCompleter {
            if completer == configuration.id { return true }
            if isHere(completer) { return false }
        }
        return ring.voters.first { $0 == configuration.id || isHere($0) } == configuration.id
    }

    private func isHere(_ id: NodeID) -> Bool { peers.index(of: id).map { peers.isReachable($0) } ?? false }

    private mutating func askForVotes() {
        guard let change = handover.change, completes(change), !handover.isCompleting else { return }
        if callOffLeave(change) { return }
        let shape = handover.shape
        let isOwn = change.node == configuration.id
        if isOwn, !handover.votes.contains(configuration.id) {
            return vote(.own, shape, askedBy: configuration.id, knowing: keyspaces.standing)
        }
        if isOwn, !giveVoteToVoters() { return }
        for id in ring.voters where !handover.votes.contains(id) {
            // This node's own answer may come at once, and complete the change.
            guard handover.shape == shape, !handover.isCompleting else { return }
            if id == configuration.id {
                vote(.own, shape, askedBy: configuration.id, knowing: keyspaces.standing)
            } else if isOwn && !handover.given.contains(id) {
                handover.obstacles[id] = .silent
            } else if let peer = peers.index(of: id), peers.isReachable(peer) {
                let request = VoteRequest(shape: shape, keyspaces: keyspaces.standing)
                effects.append(.send(peer, .vote(request)))
            } else {
                handover.obstacles[id] = .silent
            }
        }
        completeIfAllVoted(change)
    }

    /// With its question each voter gets the subject's vote: it may have to complete the change without it.
    /// True when those that are here have it, durably.
    private mutating func giveVoteToVoters() -> Bool { promise(to: ring.voters.filter { isHere($0) }) }

    /// Gives these its vote, beside those that have it. True when that is durable: until then it is to be
    /// called again, for the storage may refuse it.
    mutating func promise(to ids: [NodeID]) -> Bool {
        var ballot = ballot
        ballot.givenTo.formUnion(ids)
        if ballot.givenTo == handover.given { return true }
        if ballot != self.ballot || !handover.isCasting { cast(ballot, for: nil) }
        return false
    }

    /// Whether all voters have voted: but for the subject itself, which has when others have.
    private func isDecided(_ change: RingChange) -> Bool {
        ring.voters.allSatisfy {
            handover.votes.contains($0)
                || $0 == change.ownCompleter && $0 != configuration.id
        }
    }

    private mutating func completeIfAllVoted(_ change: RingChange) {
        guard change == handover.change, completes(change), !handover.isCompleting, !ballot.isVoid,
            isDecided(change)
        else { return }
        complete(change)
    }

    mutating func voteCame(_ id: NodeID, _ answer: VoteAnswer) {
        guard answer.shape == handover.shape, let change = handover.change, !handover.isCompleting
        else { return }
        guard !answer.isVoid else {
            if answer.obstacle == nil { handover.voids.insert(id) }
            if !isBoundByVote { handover.tick(by: now.monotonic) }
            return
        }
        handover.obstacles[id] = answer.obstacle
        guard answer.obstacle == nil else { return }
        let isFirst = id == configuration.id && !handover.votes.contains(id)
        handover.votes.insert(id)
        if isFirst, change.node == id { handover.tick(by: now.monotonic) }
        completeIfAllVoted(change)
    }

    /// All have voted: nothing can put another change in hand any more but this.
    private mutating func complete(_ change: RingChange) {
        if case .keyspace(let id) = change.subject { return completeAlteration(id) }
        guard let id = change.node, var entry = ring[id] else { return }
        handover.isCompleting = true
        switch change.kind {
        case .join, .replace, .move: entry.done = max(entry.done, change.stamp)
        case .leave, .remove:
            // Later than the verdict that it ends, whatever the clocks.
            entry.verdict = Verdict(
                kind: .removed, stamp: change.stamp + 1, by: entry.verdict?.by ?? id)
        case .alter: break
        }
        act(.entry(entry), for: .own)
    }

    private mutating func completeAlteration(_ keyspace: UInt32) {
        guard var definition = keyspaces.definition(of: keyspace) else { return }
        handover.isCompleting = true
        definition.copies.complete()
        act(.definition(definition), for: .own)
    }

    /// The peer is gone, or runs on another data folder than when it voted: it may not know its vote any
    /// more, nor hold what it had when it voted. It is asked again.
    mutating func forgetVote(of id: NodeID) {
        handover.votes.remove(id)
        handover.voids.remove(id)
    }

    // MARK: Shown

    package func handoverStatus() -> HandoverStatus? {
        guard let change = handover.change else { return nil }
        let needed = partsNeeded(for: change)
        let waits = completes(change) ? ring.voters.filter { !handover.votes.contains($0) } : []
        let running = exchangeProgress().filter { $0.purpose == .handover }
        let done = needed.count { handover.done.contains($0) }
        let begun = running.reduce(Double(done)) { $0 + $1.share }
        let compared = needed.isEmpty ? 1 : min(1, begun / Double(needed.count))
        return HandoverStatus(
            kind: change.kind, subject: change.subject, name: name(of: change.subject),
            since: now.monotonic - handover.changedAt, parts: needed.count, done: done,
            share: exchanges.transfers.shareOfAll(compared),
            bytes: exchangeProgress().filter(\.purpose.isOneWay).reduce(handover.bytes) {
                $0 + $1.bytesReceived
            },
            waits: waits.map { (name(of: $0), handover.obstacles[$0] ?? .silent) }.sorted {
                $0.name < $1.name
            },
            waiting: ring.changes.count - 1)
    }
}
