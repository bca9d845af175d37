import MartletBase
import MartletMerkle
import MartletRing

/// The course of range transfers (`Transfers`).
extension Node {
    /// Begins as many as there may be; true when none is left to wait for. Dead owners are not awaited, and
    /// others asked in their stead: until they are back, as much redundancy as there can be.
    ///
    /// - Parameter isWanted: whether this node lacks the slots of a set.
    mutating func transfersAreOver(of isWanted: (ReplicaSet) -> Bool) -> Bool {
        if exchanges.transfers.stretches == nil {
            let givenUp = ring.givenUp
            let stretches = keyspaces.indices.flatMap { index in
                keyspaces.stretches(index, of: isWanted) { peer in
                    peers[peer].liveness == .up && !peers[peer].isRebuilding
                        && !givenUp.contains(peers[peer].id)
                }
            }
            exchanges.transfers.begin(stretches)
        }
        // The keyspace was dropped, or all who have it are gone.
        exchanges.transfers.leaveOut { stretch in
            keyspaces.index(of: stretch.keyspace) == nil
                || !stretch.sources.contains { peers[$0].liveness == .up }
        }
        for pair in exchanges.transfers.pairs where !exchanges.transfers.underWay.contains(pair) {
            guard exchanges.transfers.underWay.count < Limits.transfersMax else { break }
            // It may be over at once, when nothing is empty.
            exchanges.transfers.underWay.insert(pair)
            if !startExchange(keyspace: pair.keyspace, peer: pair.peer, .transfer) {
                exchanges.transfers.underWay.remove(pair)
            }
        }
        return exchanges.transfers.underWay.isEmpty && exchanges.transfers.stretches?.isEmpty ?? true
    }

    /// Those with whom exchanges are to come sum their leaves up while others send.
    mutating func prepareExchanges(_ pairs: [Exchanges.Pair]) {
        for pair in pairs where canExchange(with: pair.peer) {
            guard exchanges.transfers.prepared.insert(pair).inserted else { continue }
            prepareExchange(keyspace: pair.keyspace, peer: pair.peer)
        }
    }

    /// What a transfer asks for next: what is empty, as many leaves as answers have lately covered.
    mutating func continueTransfer(_ index: Int) {
        let exchange = exchanges.running[index]
        let tree = exchanges.forest.grow(exchange.keyspace)
        var leaves: [UInt32] = []
        while leaves.count < exchange.leavesMax,
            let stretch = exchanges.transfers.next(exchange.keyspace, from: exchange.peer)
        {
            exchanges.forest[tree].tree.appendEmpty(of: stretch, to: &leaves)
        }
        exchanges.running[index].leaves = leaves.reversed()
        exchanges.running[index].progress.leavesDiffering += leaves.count
    }

    /// A transfer has ended. Of one that failed the rest is found again: what is still empty.
    mutating func transferEnded(_ pair: Exchanges.Pair, isComplete: Bool) {
        exchanges.transfers.underWay.remove(pair)
        if !isComplete { exchanges.transfers.beginAnew() }
        let next = isComplete ? now.monotonic : now.monotonic + Self.exchangePause
        handover.tick(by: next)
        rebuilding?.tickAt = next
    }
}
