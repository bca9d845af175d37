import MartletBase
import MartletMerkle
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// The leaves that differ: keys are listed, and the records that one side lacks are merged there
/// (`ExchangeBatch`).
extension Node {
    /// Begins as many batches as there may be; settles when nothing is left to compare.
    mutating func pumpExchange(_ index: Int) {
        guard exchanges.running[index].step == .comparing,
            exchanges.running[index].pausedUntil <= now.monotonic,
            let keyspace = keyspaces.index(of: exchanges.running[index].keyspace)
        else { return }
        while exchanges.running[index].batches < exchangeWindow(Limits.exchangeBatchesMax) {
            if exchanges.running[index].isListed, exchanges.running[index].purpose == .transfer {
                continueTransfer(index)
            }
            if exchanges.running[index].isListed { break }
            guard isPaced() else { return }
            let ranges = exchanges.running[index].takeRanges { a, b in
                keyspaces.haveOneHorizon(
                    keyspace, Token(value: a.lowerBound).slot, Token(value: b.lowerBound).slot)
            }
            exchanges.running[index].batches += 1
            let exchange = RequestNumber(
                kind: .exchange, attempt: 0, generation: exchanges.running.generation(index), index: index)
            let (batch, _) = exchanges.batches.insert(ExchangeBatch(exchange: exchange, ranges: ranges))
            list(batch, keyspace)
        }
        if exchanges.running[index].batches == 0 { settleExchange(index) }
    }

    private func number(ofBatch index: Int) -> RequestNumber {
        RequestNumber(
            kind: .batch, attempt: exchanges.batches[index].asked,
            generation: exchanges.batches.generation(index), index: index)
    }

    /// The next question of the batch to the peer.
    private mutating func nextNumber(ofBatch index: Int) -> RequestNumber {
        exchanges.batches[index].asked = (exchanges.batches[index].asked + 1) & 0x3F
        exchanges.batches[index].patience = now.monotonic + Limits.exchangePatience
        exchanges.tick(by: exchanges.batches[index].patience)
        return number(ofBatch: index)
    }

    private mutating func begin(_ job: ExchangeJob, _ request: (ReadTicket) -> StorageRequest) {
        let (index, generation) = exchanges.jobs.insert(job)
        let number = RequestNumber(kind: .exchange, attempt: 0, generation: generation, index: index)
        effects.append(.storage(request(ReadTicket(number.bits))))
    }

    // MARK: Listing

    private mutating func list(_ index: Int, _ keyspace: Int) {
        let batch = exchanges.batches[index]
        let exchange = exchanges.running[batch.exchange.index]
        let query = DigestQuery(
            keyspace: exchange.keyspace, ranges: batch.ranges,
            horizon: keyspaces.horizon(keyspace, Token(value: batch.ranges[0].lowerBound).slot),
            wanted: .tags(exchange.abridgement),
            limit: ScanLimit(
                recordsMax: exchange.keysMax, bytesMax: Limits.rescanBytesMax))
        begin(.list(batch: number(ofBatch: index))) { .digest($0, query) }
    }

    /// This node's keys and tags have come: asks the peer to compare them.
    mutating func listingCame(_ number: RequestNumber, _ page: DigestPage) {
        notePassed(page)
        guard exchanges.batches.contains(number) else { return }
        let index = number.index
        if let next = page.next { putBack(index, fromRange: next.range, token: next.token) }
        let segments = exchanges.batches[index].take(page.tagged)
        exchanges.batches[index].step = .asked
        let exchange = exchanges.running[exchanges.batches[index].exchange.index]
        let listing = ExchangeListing(
            subject: ExchangeSubject(
                request: nextNumber(ofBatch: index).bits, keyspace: exchange.keyspace,
                placement: exchange.common.digest, abridgement: exchange.abridgement),
            segments: segments)
        effects.append(.send(exchange.peer, .exchangeListing(listing)))
    }

    /// What of a batch wasn't come to is for a later one.
    private mutating func putBack(_ index: Int, fromRange range: Int, token: UInt64) {
        let ranges = exchanges.batches[index].ranges
        let exchange = exchanges.batches[index].exchange.index
        var rest = Array(ranges[range...])
        rest[0] = token...rest[0].upperBound
        exchanges.running[exchange].rest += rest.reversed()
        exchanges.batches[index].ranges.removeSubrange((range + 1)...)
        if token > ranges[range].lowerBound {
            exchanges.batches[index].ranges[range] = ranges[range].lowerBound...(token - 1)
        } else {
            exchanges.batches[index].ranges.removeLast()
        }
    }

    // MARK: The peer's answer

    mutating func listingAnswered(
        _ peer: PeerIndex, _ number: RequestNumber, _ outcome: ExchangeAnswer.Outcome
    ) {
        guard exchanges.batches.contains(number), exchanges.batches[number.index].asked == number.attempt,
            exchanges.batches[number.index].step == .asked
        else { return }
        let index = number.index
        let exchange = exchanges.batches[index].exchange.index
        guard exchanges.running[exchange].peer == peer else { return }
        exchanges.batches[index].patience = .distantFuture
        exchanges.running[exchange].progress.roundTrips += 1
        switch outcome {
        case .differences(let differences): differencesCame(index, differences)
        case .refused(.overloaded): askAgain(index)
        case .refused(let refusal): finishExchange(exchange, .failed(refusal.name))
        case .equal, .preparing, .differing: misbehaved(exchange, "answer to another question")
        }
    }

    /// The peer has too many questions: it is asked again a little later.
    private mutating func askAgain(_ index: Int) {
        let exchange = exchanges.batches[index].exchange.index
        exchanges.running[exchange].rest += exchanges.batches[index].ranges.reversed()
        exchanges.batches.remove(index)
        exchanges.running[exchange].batches -= 1
        exchanges.running[exchange].notices += 1
        guard exchanges.running[exchange].notices < Limits.exchangeNoticesMax else {
            finishExchange(exchange, .failed("overloaded"))
            return
        }
        exchanges.running[exchange].pausedUntil = now.monotonic + Self.exchangePause
        exchanges.tick(by: exchanges.running[exchange].pausedUntil)
    }

    private mutating func differencesCame(_ index: Int, _ differences: ExchangeDifferences) {
        let exchange = exchanges.batches[index].exchange.index
        guard let wanted = wanted(index, differences), isCalledFor(index, differences) else {
            misbehaved(exchange, "differences")
            return
        }
        let bytes = differences.records.reduce(0) { $0 + $1.key.count + $1.record.count }
        if let next = differences.next {
            if bytes < Limits.exchangeBytesMax / 2, differences.records.count < Limits.exchangeRecordsMax {
                exchanges.running[exchange].parts += 1
            }
            guard exchanges.running[exchange].parts <= Limits.exchangePartsMax else {
                misbehaved(exchange, "endless differences")
                return
            }
            exchanges.running[exchange].covered(
                exchanges.batches[index].covered(range: next.segment, token: next.token))
            putBack(index, fromRange: next.segment, token: next.token)
        } else {
            exchanges.running[exchange].covered(nil)
        }
        exchanges.running[exchange].progress.recordsReceived += differences.records.count
        exchanges.running[exchange].progress.bytesReceived += bytes
        metrics.exchangeRecordsReceived += UInt64(differences.records.count)
        metrics.exchangeBytesReceived += UInt64(bytes)
        exchanges.unpaced += bytes
        exchanges.batches[index].records = differences.records
        exchanges.batches[index].keys = []
        let pushes = !exchanges.running[exchange].purpose.isOneWay && configuration.planted != .skipPush
        exchanges.batches[index].wanted = pushes ? wanted[...] : []
        collectOrMerge(index)
    }

    /// The keys of the listed records that the peer lacks; nil when its answer can't be right.
    private func wanted(_ index: Int, _ differences: ExchangeDifferences) -> [StorageKey]? {
        let batch = exchanges.batches[index]
        let answered = differences.next.map { $0.segment + 1 } ?? batch.ranges.count
        guard answered <= batch.ranges.count, differences.missing.count == answered else { return nil }
        if let next = differences.next {
            guard batch.ranges[next.segment].contains(next.token),
                next.segment > 0 || next.token > batch.ranges[0].lowerBound
            else { return nil }
        }
        var wanted: [StorageKey] = []
        for (range, places) in differences.missing.enumerated() {
            for place in places {
                guard place < batch.keys[range].count else { return nil }
                let key = batch.keys[range][place]
                if let next = differences.next, range == next.segment, key.token >= next.token { continue }
                wanted.append(key)
            }
        }
        return wanted
    }

    /// Whether the peer's records lie in what it was asked about and has answered.
    private func isCalledFor(_ index: Int, _ differences: ExchangeDifferences) -> Bool {
        let ranges = exchanges.batches[index].ranges
        var place = 0
        for record in differences.records {
            let token = Token(key: record.key).value
            while place < ranges.count, ranges[place].upperBound < token { place += 1 }
            guard place < ranges.count, ranges[place].contains(token),
                record.key.count <= configuration.keyBytesMax
            else { return false }
            if let next = differences.next, place > next.segment || token >= next.token { return false }
        }
        return true
    }

    // MARK: Collecting and pushing

    private mutating func collectOrMerge(_ index: Int) {
        let wanted = exchanges.batches[index].wanted
        guard !wanted.isEmpty else {
            mergeBatch(index)
            return
        }
        exchanges.batches[index].step = .collecting
        let keys = Array(wanted.prefix(Limits.exchangeRecordsMax))
        begin(.collect(batch: number(ofBatch: index))) {
            .collect($0, keys, bytesMax: Limits.exchangeBytesMax)
        }
    }

    /// Records that the peer lacks: they are sent to it.
    mutating func collectionCame(_ number: RequestNumber, _ page: ScanPage) {
        guard exchanges.batches.contains(number) else { return }
        let index = number.index
        var wanted = exchanges.batches[index].wanted
        if let next = page.next {
            wanted = wanted.drop { $0.bytes != next }
        } else {
            wanted = wanted.dropFirst(Limits.exchangeRecordsMax)
        }
        exchanges.batches[index].wanted = wanted
        let exchange = exchanges.running[exchanges.batches[index].exchange.index]
        let records = pushed(page, exchange.keyspace, exchanges.batches[index].records)
        guard !records.isEmpty else {
            collectOrMerge(index)
            return
        }
        let bytes = records.reduce(0) { $0 + $1.key.count + $1.record.count }
        exchanges.running[exchanges.batches[index].exchange.index].progress.recordsSent += records.count
        exchanges.running[exchanges.batches[index].exchange.index].progress.bytesSent += bytes
        metrics.exchangeRecordsSent += UInt64(records.count)
        metrics.exchangeBytesSent += UInt64(bytes)
        exchanges.unpaced += bytes
        exchanges.batches[index].step = .pushing
        let request = MergeManyRequest(
            request: nextNumber(ofBatch: index).bits, keyspace: exchange.keyspace,
            placement: exchange.common.digest, records: records)
        effects.append(.send(exchange.peer, .mergeMany(request)))
    }

    /// Of what was collected, what the peer needs: not what lies behind the horizon by now, and not what its
    /// own record of the key covers.
    private func pushed(_ page: ScanPage, _ keyspace: UInt32, _ came: [KeyedRecord]) -> [KeyedRecord] {
        guard let index = keyspaces.index(of: keyspace) else { return [] }
        let theirs = Dictionary(came.map { ($0.key, $0.record) }, uniquingKeysWith: Record.join)
        return page.records.compactMap { pair in
            guard let stored = StorageKey(stored: pair.key) else { return nil }
            let horizon = keyspaces.horizon(index, Token(value: stored.token).slot)
            guard let seen = Record.seen(pair.value, behind: horizon) else { return nil }
            let key = Blob(copying: stored.key)
            if let record = theirs[key], Record.join(record, seen) == record { return nil }
            return KeyedRecord(key: key, record: seen)
        }
    }

    /// The peer has merged what it lacked, durably.
    mutating func pushAnswered(_ peer: PeerIndex, _ number: RequestNumber, _ outcome: MergeAnswer.Outcome) {
        guard exchanges.batches.contains(number), exchanges.batches[number.index].asked == number.attempt,
            exchanges.batches[number.index].step == .pushing
        else { return }
        let index = number.index
        let exchange = exchanges.batches[index].exchange.index
        guard exchanges.running[exchange].peer == peer else { return }
        exchanges.batches[index].patience = .distantFuture
        exchanges.running[exchange].progress.roundTrips += 1
        switch outcome {
        case .merged, .dominated: collectOrMerge(index)
        case .closed: finishExchange(exchange, .failed("closed"))
        case .refused(let refusal): finishExchange(exchange, .failed(refusal.name))
        }
    }

    // MARK: Merging

    private mutating func mergeBatch(_ index: Int) {
        exchanges.batches[index].step = .merging
        let records = exchanges.batches[index].records
        exchanges.batches[index].records = []
        let keyspace = exchanges.running[exchanges.batches[index].exchange.index].keyspace
        mergeMany(records, keyspace: keyspace, for: .batch(number(ofBatch: index)))
    }

    /// Merges records, and answers when all are durable.
    mutating func mergeMany(_ records: [KeyedRecord], keyspace: UInt32, for waiter: MergeGroup.Waiter) {
        // One more, so that it doesn't end before all were asked for: a merge may be refused at once.
        let (index, generation) = exchanges.groups.insert(MergeGroup(waiter: waiter, left: records.count + 1))
        let number = RequestNumber(kind: .exchange, attempt: 0, generation: generation, index: index)
        for pair in records {
            replicaMerge(
                .group(number), keyspace: keyspace, token: Token(key: pair.key), key: pair.key,
                record: pair.record, isFresh: false)
        }
        groupAnswered(number, .merged)
    }

    mutating func groupAnswered(_ number: RequestNumber, _ outcome: MergeAnswer.Outcome) {
        let index = number.index
        if case .refused(let refusal) = outcome { exchanges.groups[index].refusal = refusal }
        exchanges.groups[index].left -= 1
        guard exchanges.groups[index].left == 0 else { return }
        let group = exchanges.groups[index]
        exchanges.groups.remove(index)
        switch group.waiter {
        case .batch(let number): batchMerged(number, group.refusal)
        case .link(let link, let request):
            let outcome: MergeAnswer.Outcome = group.refusal.map { .refused($0) } ?? .merged
            effects.append(.respond(link, .mergeAnswer(MergeAnswer(request: request, outcome: outcome))))
        }
    }

    private mutating func batchMerged(_ number: RequestNumber, _ refusal: ReplicaRefusal?) {
        guard exchanges.batches.contains(number) else { return }
        let exchange = exchanges.batches[number.index].exchange.index
        if let refusal {
            finishExchange(exchange, .failed(refusal.name))
            return
        }
        let done = MerkleTree.leafCount(in: exchanges.batches[number.index].ranges)
        exchanges.batches.remove(number.index)
        exchanges.running[exchange].batches -= 1
        // One that was listed in parts counts with each.
        let progress = exchanges.running[exchange].progress
        exchanges.running[exchange].progress.leavesDone = min(
            progress.leavesDone + done, progress.leavesDiffering)
        pumpExchange(exchange)
    }
}
