import MartletBase
import MartletMerkle
import MartletRing
import MartletStorage

/// Rescans: leaves that were written are summed up anew, beside the loop, when somebody wants to know them
/// (`MerkleTree`, dirty leaves).
extension Node {
    /// Waits until all of the leaves that are dirty now have been rescanned, then opens the exchange or
    /// answers the question.
    mutating func beginRescan(for owner: Rescan.Owner, keyspace: UInt32, _ leaves: LeafRanges) {
        let (index, _) = exchanges.rescans.insert(
            Rescan(owner: owner, keyspace: keyspace, leaves: leaves))
        _ = exchanges.forest.grow(keyspace)
        advanceRescan(index)
    }

    mutating func forgetRescan(of exchange: Int, _ generation: UInt32) {
        for index in exchanges.rescans.indices {
            guard case .exchange(let number) = exchanges.rescans[index].owner, number.index == exchange,
                number.generation == generation
            else { continue }
            exchanges.rescans.remove(index)
        }
    }

    /// Does the next step of one rescan: the next leaves go to the storage, or it is done.
    private mutating func advanceRescan(_ index: Int) {
        let rescan = exchanges.rescans[index]
        guard rescan.step == .scanning, now.monotonic >= rescan.pausedUntil else { return }
        let tree = exchanges.forest.grow(rescan.keyspace)
        if configuration.planted == .clearDirtyBit, exchanges.forest[tree].tree.dirtyCount < 1_000 {
            _ = exchanges.forest[tree].tree.takeDirty(of: rescan.leaves, from: 0, leavesMax: 1, rangesMax: 1)
        }
        guard exchanges.forest[tree].tree.hasDirty(in: rescan.leaves, from: rescan.cursor) else {
            if exchanges.forest[tree].job == nil {
                rescanned(index)
            } else {
                exchanges.rescans[index].step = .last
            }
            return
        }
        guard exchanges.forest[tree].job == nil, let keyspace = keyspaces.index(of: rescan.keyspace),
            isPaced()
        else { return }
        var ranges = exchanges.forest[tree].tree.takeDirty(
            of: rescan.leaves, from: rescan.cursor, leavesMax: Limits.rescanLeavesMax,
            rangesMax: Limits.rescanRangesMax)
        let horizon = keyspaces.horizon(keyspace, slot(ofLeaf: ranges[0].lowerBound))
        cut(&ranges, keyspace, horizon, tree)
        exchanges.rescans[index].cursor = ranges[ranges.count - 1].upperBound + 1
        exchanges.forest[tree].served = index
        let query = DigestQuery(
            keyspace: rescan.keyspace,
            ranges: ranges.map {
                MerkleTree.tokens(of: $0.lowerBound)
                    .lowerBound...MerkleTree.tokens(of: $0.upperBound)
                    .upperBound
            },
            horizon: horizon, wanted: .sums,
            limit: ScanLimit(recordsMax: Limits.rescanRecordsMax, bytesMax: Limits.rescanBytesMax))
        exchanges.forest[tree].job = begin(
            .rescan(keyspace: rescan.keyspace, ranges: ranges, query, sums: []), query)
    }

    func slot(ofLeaf leaf: UInt32) -> Slot { Slot(Int(leaf / 16)) }

    /// A rescan has one horizon: what lies behind another one waits for the next.
    private mutating func cut(
        _ ranges: inout [ClosedRange<UInt32>], _ keyspace: Int, _ horizon: Horizon, _ tree: Int
    ) {
        for (place, range) in ranges.enumerated() {
            var leaf = range.lowerBound
            while leaf <= range.upperBound {
                if keyspaces.horizon(keyspace, slot(ofLeaf: leaf)) != horizon {
                    for other in ranges[(place + 1)...] { exchanges.forest[tree].tree.mark(other) }
                    exchanges.forest[tree].tree.mark(leaf...range.upperBound)
                    ranges.removeSubrange((leaf > range.lowerBound ? place + 1 : place)...)
                    if leaf > range.lowerBound { ranges[place] = range.lowerBound...(leaf - 1) }
                    return
                }
                leaf = (leaf / 16 + 1) * 16
            }
        }
    }

    /// All of its leaves are as they were when it began, or newer.
    private mutating func rescanned(_ index: Int) {
        let owner = exchanges.rescans[index].owner
        exchanges.rescans.remove(index)
        switch owner {
        case .exchange(let number): openExchange(number)
        case .question(let number): answerRescanned(number)
        }
    }

    /// Goes on with the rescans of a keyspace, in turn.
    private mutating func advanceRescans(_ keyspace: UInt32) {
        let tree = exchanges.forest.grow(keyspace)
        let waiting = exchanges.rescans.indices.filter { exchanges.rescans[$0].keyspace == keyspace }
        let served = exchanges.forest[tree].served
        for index in waiting.filter({ $0 > served }) + waiting.filter({ $0 <= served })
        where exchanges.rescans.isInUse(index) { advanceRescan(index) }
    }

    /// After a pause.
    mutating func advanceAllRescans() {
        for tree in exchanges.forest.all.indices where exchanges.forest[tree].job == nil {
            advanceRescans(exchanges.forest[tree].keyspace)
        }
    }

    // MARK: The storage's answers

    /// What the pace counts of a byte that is only passed. It costs no message and no write, and the thread
    /// that does it yields: at the pace of records a source would sum up its leaves for as long as it takes
    /// to send all that they hold, before the first one is asked for.
    private static let passedPerMoved = 8

    mutating func notePassed(_ page: DigestPage) {
        exchanges.unpaced += page.passedBytes / Self.passedPerMoved
    }

    private mutating func begin(_ job: ExchangeJob, _ query: DigestQuery) -> Int {
        let (index, generation) = exchanges.jobs.insert(job)
        ask(index, generation, query)
        return index
    }

    private mutating func ask(_ index: Int, _ generation: UInt32, _ query: DigestQuery) {
        let number = RequestNumber(kind: .exchange, attempt: 0, generation: generation, index: index)
        effects.append(.storage(.digest(ReadTicket(number.bits), query)))
    }

    /// A page of a rescan.
    mutating func rescanCame(_ index: Int, _ page: DigestPage) {
        guard case .rescan(let keyspace, let ranges, var query, var sums) = exchanges.jobs[index] else {
            invariantBroken("another job's page")
        }
        metrics.rescanRecords += UInt64(page.passed)
        notePassed(page)
        for sum in page.sums {
            // A leaf that the page before ended in.
            if let last = sums.last, last.leaf == sum.leaf {
                sums[sums.count - 1].sum &+= sum.sum
                if sum.isPurgeable { sums[sums.count - 1].isPurgeable = true }
            } else {
                sums.append(sum)
            }
        }
        if let next = page.next {
            query.ranges.removeFirst(next.range)
            query.ranges[0] = next.token...query.ranges[0].upperBound
            exchanges.jobs[index] = .rescan(keyspace: keyspace, ranges: ranges, query, sums: sums)
            continueRescan(index)
            return
        }
        exchanges.jobs.remove(index)
        guard let tree = exchanges.forest.index(of: keyspace) else { return }
        var next = 0
        for range in ranges {
            exchanges.forest[tree].tree.setEmpty(range)
            while next < sums.count, range.contains(sums[next].leaf) {
                exchanges.forest[tree].tree.set(
                    sums[next].leaf, sums[next].sum,
                    isPurgeable: sums[next].isPurgeable && configuration.planted != .forgetPurgeable)
                next += 1
            }
            metrics.rescanLeaves += UInt64(range.count)
        }
        endRescan(tree)
    }

    /// Asks for the next page of a rescan, when the pace allows it.
    mutating func continueRescan(_ index: Int) {
        guard case .rescan(_, _, let query, _) = exchanges.jobs[index] else { return }
        guard isPaced() else {
            exchanges.paused.append(index)
            return
        }
        ask(index, exchanges.jobs.generation(index), query)
    }

    /// Its leaves are dirty again.
    mutating func rescanRefused(_ index: Int) {
        guard case .rescan(let keyspace, let ranges, _, _) = exchanges.jobs[index] else {
            invariantBroken("another job was refused")
        }
        exchanges.jobs.remove(index)
        guard let tree = exchanges.forest.index(of: keyspace) else { return }
        for range in ranges { exchanges.forest[tree].tree.mark(range) }
        for other in exchanges.rescans.indices where exchanges.rescans[other].keyspace == keyspace {
            exchanges.rescans[other].cursor = min(exchanges.rescans[other].cursor, ranges[0].lowerBound)
            exchanges.rescans[other].step = .scanning
            exchanges.rescans[other].pausedUntil = now.monotonic + Self.exchangePause
        }
        exchanges.tick(by: now.monotonic + Self.exchangePause)
        endRescan(tree)
    }

    /// Who waited only for this one is done.
    private mutating func endRescan(_ tree: Int) {
        exchanges.forest[tree].job = nil
        let keyspace = exchanges.forest[tree].keyspace
        for index in exchanges.rescans.indices
        where exchanges.rescans.isInUse(index) && exchanges.rescans[index].keyspace == keyspace
            && exchanges.rescans[index].step == .last
        {
            rescanned(index)
        }
        advanceRescans(keyspace)
    }

    // MARK: All jobs

    private func job(_ ticket: ReadTicket) -> Int {
        let number = RequestNumber(bits: ticket.number)
        invariant(exchanges.jobs.contains(number), "the storage completed a digest that nobody asked for")
        return number.index
    }

    mutating func exchangeDigested(_ ticket: ReadTicket, _ page: DigestPage) {
        let index = job(ticket)
        switch exchanges.jobs[index] {
        case .rescan: rescanCame(index, page)
        case .list(let batch):
            exchanges.jobs.remove(index)
            listingCame(batch, page)
        case .answer(let question):
            exchanges.jobs.remove(index)
            differencesFound(question, page)
        case .collect: invariantBroken("records came as digests")
        }
    }

    mutating func exchangeCollected(_ ticket: ReadTicket, _ page: ScanPage) {
        let index = job(ticket)
        guard case .collect(let batch) = exchanges.jobs[index] else {
            invariantBroken("digests came as records")
        }
        exchanges.jobs.remove(index)
        collectionCame(batch, page)
    }

    mutating func exchangeJobRefused(_ ticket: ReadTicket) {
        let index = job(ticket)
        switch exchanges.jobs[index] {
        case .rescan: rescanRefused(index)
        case .list(let batch), .collect(let batch):
            exchanges.jobs.remove(index)
            guard exchanges.batches.contains(batch) else { return }
            finishExchange(exchanges.batches[batch.index].exchange.index, .failed("overloaded"))
        case .answer(let question):
            exchanges.jobs.remove(index)
            questionRefused(question)
        }
    }

    // MARK: Pace

    /// The pace looks at the requests of clients while anything is moved for repair.
    mutating func setPaceActive() {
        let isReplaying = hints.replays.values.contains {
            !$0.isAtRest && $0.step != .reading(isExpiring: true)
        }
        hints.pace.setActive(isReplaying || exchanges.isActive, now: now.monotonic)
    }

    /// How many messages of records may be under way: what the pace allows in one burst, so that at a low
    /// rate they don't come in droves.
    func exchangeWindow(_ most: Int) -> Int {
        max(1, min(most, hints.pace.burstBytes / Limits.exchangeBytesMax))
    }

    /// Whether exchanges may go on: as fast as the requests of clients allow. What they have moved since is
    /// taken off.
    mutating func isPaced() -> Bool {
        setPaceActive()
        guard hints.pace.take(exchanges.unpaced, now: now.monotonic) else {
            exchanges.tick(by: now.monotonic + Self.exchangePaceTick)
            return false
        }
        exchanges.unpaced = 0
        return true
    }
}
