import MartletBase
import MartletMerkle
import MartletRing
import MartletStorage
import MartletWire

/// Exchanges that this node begins, down to the leaves that differ (`Exchange`).
extension Node {
    // MARK: Beginning and end

    /// Begins an exchange of all that both nodes own of the keyspace; false when it can't begin now: the peer
    /// isn't there, they share nothing, or too many are under way. `exchangeFinished` is called once for each
    /// that has begun.
    @discardableResult
    mutating func startExchange(keyspace: UInt32, peer: PeerIndex, _ purpose: ExchangePurpose) -> Bool {
        guard formation.isFormed, life == .running, peer != PeerTable.own, canExchange(with: peer),
            handover.isErased,
            exchanges.running.count < Limits.exchangesMax, let index = keyspaces.index(of: keyspace),
            let common = keyspaces.commonLeaves(index, with: peer), !common.leaves.isEmpty
        else { return false }
        metrics.exchangesBegun += 1
        let exchange = Exchange(
            keyspace: keyspace, peer: peer, id: peers[peer].id, purpose: purpose, now: now.monotonic,
            common: common, salt: exchanges.random.next())
        effects.append(.report(.exchangeBegan(exchange.progress)))
        let (place, generation) = exchanges.running.insert(exchange)
        let number = RequestNumber(kind: .exchange, attempt: 0, generation: generation, index: place)
        beginRescan(for: .exchange(number), keyspace: keyspace, common.leaves)
        return true
    }

    func canExchange(with peer: PeerIndex) -> Bool {
        peers[peer].liveness == .up && peers[peer].link == .up
    }

    /// The exchange has ended: for the schedule, the metrics, and whoever waits for it.
    ///
    /// - Parameter beganAt: `complete` says that both hold, durably, all that either had written then.
    mutating func exchangeFinished(
        keyspace: UInt32, peer: PeerIndex, _ purpose: ExchangePurpose, _ outcome: ExchangeOutcome,
        beganAt: Instant
    ) {
        let pair = Exchanges.Pair(keyspace: keyspace, peer: peer)
        // One that goes one way is no turn: the peer may still lack something.
        if !purpose.isOneWay { takeTurn(pair, outcome) }
        if case .failed("stale_placement") = outcome {
            for news in floorNews(keyspace, in: .all) { effects.append(.send(peer, .floor(news))) }
        }
        if purpose == .proof { proofExchanged(keyspace, peer, isComplete: outcome == .complete) }
        if purpose == .handover { handoverExchangeEnded(pair, isComplete: outcome == .complete) }
        if purpose == .transfer { transferEnded(pair, isComplete: outcome == .complete) }
        guard purpose == .asked else { return }
        switch outcome {
        case .complete: exchanges.askedComplete += 1
        case .failed:
            // Whoever asked waits for it.
            exchanges.asked.append(pair)
            exchanges.tick(by: now.monotonic + Self.exchangePause)
        }
    }

    mutating func finishExchange(_ index: Int, _ outcome: ExchangeOutcome) {
        let exchange = exchanges.running[index]
        let generation = exchanges.running.generation(index)
        exchanges.running.remove(index)
        for batch in exchanges.batches.indices {
            let number = exchanges.batches[batch].exchange
            if number.index == index, number.generation == generation { exchanges.batches.remove(batch) }
        }
        forgetRescan(of: index, generation)
        switch outcome {
        case .complete:
            metrics.exchangesComplete += 1
            if exchange.progress.recordsSent + exchange.progress.recordsReceived == 0 {
                metrics.exchangesEqual += 1
            }
        case .failed: metrics.exchangesFailed += 1
        }
        effects.append(
            .report(
                .exchangeEnded(
                    peer: peers[exchange.peer].name, exchange.progress, outcome,
                    after: now.monotonic - exchange.beganAt)))
        if handover.change != nil, exchange.purpose == .handover || exchange.purpose == .transfer {
            handover.bytes += exchange.progress.bytesReceived
        }
        exchangeFinished(
            keyspace: exchange.keyspace, peer: exchange.peer, exchange.purpose, outcome,
            beganAt: exchange.beganAt)
        if exchange.purpose == .rebuild || exchange.purpose == .transfer {
            rebuildExchangeEnded(exchange.progress, isComplete: outcome == .complete)
        }
    }

    private func number(ofExchange index: Int) -> RequestNumber {
        RequestNumber(
            kind: .exchange, attempt: exchanges.running[index].asked,
            generation: exchanges.running.generation(index), index: index)
    }

    private mutating func subject(ofExchange index: Int) -> ExchangeSubject {
        exchanges.running[index].asked = (exchanges.running[index].asked + 1) & 0x3F
        exchanges.running[index].patience = now.monotonic + Limits.exchangePatience
        exchanges.tick(by: exchanges.running[index].patience)
        let exchange = exchanges.running[index]
        return ExchangeSubject(
            request: number(ofExchange: index).bits, keyspace: exchange.keyspace,
            placement: exchange.common.digest, abridgement: exchange.abridgement)
    }

    // MARK: Down the tree

    /// This node's leaves are summed up: asks the peer.
    mutating func openExchange(_ number: RequestNumber) {
        guard exchanges.running.contains(number) else { return }
        let index = number.index
        if exchanges.running[index].purpose == .transfer {
            exchanges.running[index].step = .comparing
            return pumpExchange(index)
        }
        exchanges.running[index].step = .opening
        let exchange = exchanges.running[index]
        ask(exchange.peer, subject(ofExchange: index), exchange.common)
    }

    private mutating func ask(_ peer: PeerIndex, _ subject: ExchangeSubject, _ common: CommonLeaves) {
        let tree = exchanges.forest.grow(subject.keyspace)
        let opening = ExchangeOpening(
            subject: subject, root: exchanges.forest[tree].tree.root(in: common.leaves),
            children: exchanges.forest[tree].tree.rootChildren(in: common.leaves, subject.abridgement))
        effects.append(.send(peer, .exchangeOpening(opening)))
    }

    /// The peer will be asked for sums of its leaves: it is asked now, and nobody waits for the answer.
    mutating func prepareExchange(keyspace: UInt32, peer: PeerIndex) {
        guard canExchange(with: peer), let index = keyspaces.index(of: keyspace),
            let common = keyspaces.commonLeaves(index, with: peer), !common.leaves.isEmpty
        else { return }
        let nobody = RequestNumber(kind: .exchange, attempt: 0, generation: 0, index: Limits.exchangesMax)
        let subject = ExchangeSubject(
            request: nobody.bits, keyspace: keyspace, placement: common.digest,
            abridgement: Abridgement(salt: exchanges.random.next()))
        ask(peer, subject, common)
    }

    mutating func exchangeAnswered(_ peer: PeerIndex, _ answer: ExchangeAnswer) {
        let number = RequestNumber(bits: answer.request)
        if number.kind == .batch {
            listingAnswered(peer, number, answer.outcome)
            return
        }
        guard number.kind == .exchange, exchanges.running.contains(number) else { return }
        let index = number.index
        let exchange = exchanges.running[index]
        guard exchange.peer == peer, exchange.asked == number.attempt,
            exchange.step == .opening || exchange.step == .descending
        else { return }
        if case .preparing(let left) = answer.outcome {
            // A peer that never comes to an end is as good as silent.
            guard exchange.notices < Limits.exchangeNoticesMax else { return }
            exchanges.running[index].notices += 1
            exchanges.running[index].peerLeavesLeft = left
            exchanges.running[index].patience = now.monotonic + Limits.exchangePatience
            return
        }
        exchanges.running[index].progress.roundTrips += 1
        exchanges.running[index].patience = .distantFuture
        switch answer.outcome {
        case .equal: settleExchange(index)
        case .differing(let level, let nodes): descend(index, level, nodes)
        case .refused(let refusal): finishExchange(index, .failed(refusal.name))
        case .differences, .preparing: misbehaved(index, "answer to another question")
        }
    }

    private mutating func descend(_ index: Int, _ level: Int, _ nodes: [NodeSums]) {
        let exchange = exchanges.running[index]
        guard level == (exchange.step == .opening ? 0 : 2) else {
            misbehaved(index, "level of the tree")
            return
        }
        let tree = exchanges.forest.grow(exchange.keyspace)
        let differing = exchanges.forest[tree].tree.differing(
            from: nodes, level: level, in: exchange.common.leaves, exchange.abridgement)
        guard !differing.isEmpty else {
            // A collision, or what differed has come meanwhile.
            settleExchange(index)
            return
        }
        guard level == 2 else {
            exchanges.running[index].step = .descending
            let sums = exchanges.forest[tree].tree.sums(
                of: differing, level: 1, in: exchange.common.leaves, exchange.abridgement)
            let descent = ExchangeDescent(subject: subject(ofExchange: index), level: 1, nodes: sums)
            effects.append(.send(exchange.peer, .exchangeDescent(descent)))
            return
        }
        // Only leaves that both own: a peer may claim what it likes of others.
        let leaves = differing.filter { exchange.common.leaves.contains($0) }
        metrics.exchangeLeavesDiffering += UInt64(leaves.count)
        exchanges.running[index].step = .comparing
        exchanges.running[index].leaves = leaves.reversed()
        exchanges.running[index].progress.leavesDiffering = leaves.count
        pumpExchange(index)
    }

    /// The peer sent what can't be right.
    mutating func misbehaved(_ index: Int, _ what: StaticName) {
        metrics.badPeerBytes += 1
        effects.append(.report(.badPeerBytes(what)))
        finishExchange(index, .failed("misbehaved"))
    }

    // MARK: Settling

    /// All is compared: what this node has shown of itself may not be durable yet.
    mutating func settleExchange(_ index: Int) {
        exchanges.running[index].step = .settling
        let number = number(ofExchange: index)
        guard configuration.planted != .settleEarly, !replica.pending.isEmpty else {
            finishExchange(index, .complete)
            return
        }
        replica.pending[replica.pending.count - 1].withheld.append(
            Replica.WithheldAnswer(origin: .own(number, place: 0), outcome: .settled))
    }

    mutating func exchangeSettled(_ number: RequestNumber) {
        guard exchanges.running.contains(number) else { return }
        finishExchange(number.index, .complete)
    }

    // MARK: Losses

    /// No answer under way will come from this peer.
    mutating func forgetExchanges(with peer: PeerIndex) {
        for index in exchanges.running.indices where exchanges.running[index].peer == peer {
            if exchanges.running[index].step != .settling { finishExchange(index, .failed("lost")) }
        }
    }

    /// The ring has turned: what two nodes own together may be another thing now, and this node may have
    /// erased what an exchange is about to list.
    mutating func forgetTurnedExchanges() {
        for index in exchanges.running.indices where exchanges.running.isInUse(index) {
            let exchange = exchanges.running[index]
            let common = keyspaces.index(of: exchange.keyspace).flatMap {
                keyspaces.commonLeaves($0, with: exchange.peer)
            }
            if common?.digest != exchange.common.digest { finishExchange(index, .failed("turned")) }
        }
    }

    /// The keyspace was dropped: there is nothing to compare any more.
    mutating func forgetExchanges(of keyspace: UInt32) {
        for index in exchanges.running.indices where exchanges.running[index].keyspace == keyspace {
            finishExchange(index, .failed("dropped"))
        }
        for index in exchanges.rescans.indices where exchanges.rescans[index].keyspace == keyspace {
            if case .question(let number) = exchanges.rescans[index].owner {
                exchanges.questions.remove(number.index)
            }
            exchanges.rescans.remove(index)
        }
        exchanges.turns = exchanges.turns.filter { $0.key.keyspace != keyspace }
        exchanges.forest.fell(keyspace)
    }

    /// Those that the peer has been silent about for too long.
    mutating func expireExchanges() {
        for index in exchanges.running.indices where exchanges.running[index].patience <= now.monotonic {
            finishExchange(index, .failed("silent"))
        }
        for batch in exchanges.batches.indices
        where exchanges.batches.isInUse(batch) && exchanges.batches[batch].patience <= now.monotonic {
            finishExchange(exchanges.batches[batch].exchange.index, .failed("silent"))
        }
    }

    /// The sum of a leaf that is clean; nil when it isn't known now.
    package func leafSum(keyspace: UInt32, leaf: UInt32) -> UInt64? {
        guard let index = exchanges.forest.index(of: keyspace), exchanges.forest[index].job == nil,
            !exchanges.forest[index].tree.isDirty(leaf)
        else { return nil }
        return exchanges.forest[index].tree[leaf]
    }

    /// How far the exchanges that this node has begun are.
    package func exchangeProgress() -> [ExchangeProgress] {
        exchanges.running.indices.map { index in
            var progress = exchanges.running[index].progress
            let exchange = exchanges.running[index]
            switch exchange.step {
            case .rescanning:
                let tree = exchanges.forest.index(of: exchange.keyspace)
                progress.leavesLeft =
                    tree.map { exchanges.forest[$0].tree.dirtyCount(in: exchange.common.leaves) } ?? 0
            case .opening:
                progress.leavesLeft = exchange.peerLeavesLeft ?? progress.leaves
            case .descending: break
            case .comparing, .settling:
                progress.leavesLeft = exchange.leaves.count + MerkleTree.leafCount(in: exchange.rest)
            }
            return progress
        }
    }
}

extension ReplicaRefusal {
    /// For reports and metrics.
    var name: StaticName {
        switch self {
        case .stalePlacement: "stale_placement"
        case .overloaded: "overloaded"
        case .notServing: "not_serving"
        case .invalid: "invalid"
        }
    }
}
