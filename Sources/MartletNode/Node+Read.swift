import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// The coordinator of gets: a record from the closest replica, digests from the rest; on a difference fetch, join, write
/// back, and only then answer.
///
/// Writing back before answering is what makes quorum reads monotone: when 2R > N, the replicas that hold what this
/// read shows are N - R + 1, and every later read meets one of them.
extension Node {
    mutating func startRead(
        _ ticket: ClientTicket, _ request: ClientRequest, _ index: Int, _ token: Token, _ replicas: ReplicaSet
    ) {
        metrics.reads += 1
        let level = request.level ?? keyspaces[index].definition.read
        guard level != .any else {
            effects.append(.reply(ticket, .failed(.badLevel(level))))
            return
        }
        let requirement = replicas.requirement(level)
        let reachable = reachable(replicas)
        guard requirement.isMet(by: reachable) else {
            metrics.readsUnavailable += 1
            let failure = unavailable(.read, level, replicas, requirement, reachable: reachable)
            effects.append(.reply(ticket, .failed(failure)))
            return
        }
        let deadline = now.monotonic + (request.timeout ?? configuration.requestTimeout)
        let (place, generation) = reads.insert(
            ReadOperation(
                ticket: ticket, keyspace: request.keyspace, keyspaceIndex: index, level: level,
                key: request.key,
                token: token, began: now.monotonic, deadline: deadline, replicas: replicas,
                requirement: requirement))
        let number = RequestNumber(kind: .read, attempt: 0, generation: generation, index: place)
        deadlines.add(Deadline(number: number, purpose: .expire), at: deadline)
        if let delay = speculationDelay(index), now.monotonic + delay < deadline {
            deadlines.add(Deadline(number: number, purpose: .speculate), at: now.monotonic + delay)
        }
        gather(place)
    }

    private func speculationDelay(_ keyspace: Int) -> Interval? {
        switch configuration.speculation {
        case .off: nil
        case .after(let delay): delay
        case .percentile(let share): keyspaces[keyspace].readLatency.percentile(share)
        }
    }

    // MARK: Gathering

    /// Asks just as many replicas as the level needs, the closest first.
    private mutating func gather(_ index: Int) {
        let read = reads[index]
        var chosen = Places.none
        for place in ranked(read.replicas, reachable(read.replicas)) where !read.requirement.isMet(by: chosen)
        {
            if read.requirement.isHelped(by: place, given: chosen) { chosen.insert(place) }
        }
        let number = number(of: index)
        var isFirst = true
        for place in ranked(read.replicas, chosen) {
            guard reads.contains(number), reads[index].step == .gathering else { return }
            ask(index, place, wantsDigest: !isFirst)
            isFirst = false
        }
        if reads.contains(number) { failIfImpossible(index) }
    }

    /// Places by the latency of their nodes, this node first.
    private func ranked(_ replicas: ReplicaSet, _ places: Places) -> [Int] {
        var list: [Int] = []
        places.forEach { list.append($0) }
        func latency(_ place: Int) -> Interval {
            let peer = replicas.peers[place]
            return peer == PeerTable.own ? Interval(nanoseconds: -1) : peers[peer].latency
        }
        // Insertion sort: a handful of places, and stable.
        for i in list.indices.dropFirst() {
            var j = i
            while j > 0, latency(list[j]) < latency(list[j - 1]) {
                list.swapAt(j, j - 1)
                j -= 1
            }
        }
        return list
    }

    private func number(of index: Int) -> RequestNumber {
        RequestNumber(
            kind: .read, attempt: reads[index].attempt, generation: reads.generation(index), index: index)
    }

    private mutating func ask(_ index: Int, _ place: Int, wantsDigest: Bool) {
        let number = number(of: index)
        reads[index].asked.insert(place)
        let read = reads[index]
        let peer = read.replicas.peers[place]
        if peer == PeerTable.own {
            replicaRead(
                .own(number, place: place), keyspace: read.keyspace, token: read.token, key: read.key,
                wantsDigest: wantsDigest)
        } else {
            effects.append(
                .send(
                    peer,
                    .read(
                        ReadRequest(
                            request: number.bits, placement: read.replicas.digest, keyspace: read.keyspace,
                            wantsDigest: wantsDigest, key: read.key))))
        }
    }

    /// Asks one more replica for its record; false when there is none left.
    @discardableResult
    private mutating func askAnother(_ index: Int) -> Bool {
        let read = reads[index]
        let candidates = reachable(read.replicas).intersection(read.requirement.scope).subtracting(read.asked)
        guard let place = ranked(read.replicas, candidates).first else { return false }
        ask(index, place, wantsDigest: false)
        return true
    }

    /// The keyspace's usual latency has passed: asks another replica, once.
    mutating func speculate(_ number: RequestNumber) {
        guard reads.contains(number), reads[number.index].step != .repairing,
            !reads[number.index].awaited.isEmpty
        else { return }
        if askAnother(number.index) { metrics.speculativeReads += 1 }
    }

    // MARK: Answers

    mutating func readAnswered(_ number: RequestNumber, _ place: Int, _ outcome: ReadAnswer.Outcome) {
        let index = number.index
        guard reads.contains(number), reads[index].attempt == number.attempt,
            reads[index].asked.contains(place)
        else { return }
        noteLatency(index, place)
        switch outcome {
        case .record(let record):
            reads[index].note(place, holds: Record.digest(record))
            reads[index].fetched.insert(place)
            join(index, record)
        case .digest(let digest): reads[index].note(place, holds: digest)
        case .refused(.stalePlacement):
            if retryRead(index) { return }
            readLost(index, place)
            return
        case .refused:
            readLost(index, place)
            return
        }
        switch reads[index].step {
        case .gathering: gathered(index)
        case .fetching: fetchRest(index)
        case .repairing: break
        }
    }

    private mutating func noteLatency(_ index: Int, _ place: Int) {
        let peer = reads[index].replicas.peers[place]
        guard peer != PeerTable.own else { return }
        let taken = now.monotonic - reads[index].began
        let known = peers[peer].latency
        peers[peer].latency = known == .zero ? taken : known + (taken - known) / 8
    }

    private mutating func join(_ index: Int, _ record: Blob?) {
        guard let record else { return }
        if let known = reads[index].record {
            reads[index].record = Record.join(known, record)
        } else {
            reads[index].record = record
        }
        reads[index].digest = Record.digest(reads[index].record)
    }

    private mutating func gathered(_ index: Int) {
        let read = reads[index]
        guard read.requirement.isMet(by: read.answered), !read.fetched.isEmpty else {
            // All have answered, but the record was lost with its place: another one must give it.
            if read.requirement.isMet(by: read.answered), read.awaited.isEmpty { refetch(index) }
            return
        }
        if read.isUnanimous || configuration.planted == .ignoreDigests {
            finishRead(index, .read(read.record))
            return
        }
        metrics.digestMismatches += 1
        reads[index].step = .fetching
        fetchRest(index)
    }

    /// Asks a place that has given its digest for its record.
    private mutating func refetch(_ index: Int) {
        let read = reads[index]
        let places = read.answered.subtracting(read.fetched).intersection(reachable(read.replicas))
        guard let place = ranked(read.replicas, places).first else {
            if !askAnother(index) { failRead(index) }
            return
        }
        reads[index].answered.remove(place)
        ask(index, place, wantsDigest: false)
    }

    // MARK: Fetching

    /// Digests differ: every place that answered gives its record, unless one with the same digest has.
    private mutating func fetchRest(_ index: Int) {
        let read = reads[index]
        var known: [UInt64] = []
        read.fetched.forEach { known.append(read.digest(of: $0)) }
        var missing: [Int] = []
        read.answered.subtracting(read.fetched).forEach { place in
            if !known.contains(read.digest(of: place)) { missing.append(place) }
        }
        if missing.isEmpty {
            // A place that was asked again, or speculatively, is waited for only as far as the level needs it.
            guard read.requirement.isMet(by: read.answered) else { return }
            // Who differed may be gone, and another have answered in its place.
            if read.answered.subtracting(read.holders).isEmpty {
                finishRead(index, .read(read.record))
            } else {
                repair(index)
            }
            return
        }
        let number = number(of: index)
        for place in missing {
            guard reads.contains(number) else { return }
            // Until its record comes, its answer doesn't count: its node may be gone.
            reads[index].answered.remove(place)
            ask(index, place, wantsDigest: false)
        }
    }

    // MARK: Repairing

    private mutating func repair(_ index: Int) {
        guard let record = reads[index].record else {
            invariantBroken("digests differ though no replica holds a record")
        }
        reads[index].step = .repairing
        metrics.readRepairs += 1
        let read = reads[index]
        let needed = read.requirement.complement
        var targets = read.answered.subtracting(read.holders)
        var promised = read.holders.union(targets)
        for place in ranked(read.replicas, reachable(read.replicas).subtracting(promised))
        where needed.isHelped(by: place, given: promised) {
            targets.insert(place)
            promised.insert(place)
        }
        let number = number(of: index)
        reads[index].asked = read.asked.union(targets)
        let request = MergeRequest(
            request: number.bits, placement: read.replicas.digest, keyspace: read.keyspace, isFresh: false,
            key: read.key, record: record)
        targets.forEach { place in
            let peer = read.replicas.peers[place]
            if peer != PeerTable.own { effects.append(.send(peer, .merge(request))) }
        }
        if let own = read.replicas.own, targets.contains(own) {
            replicaMerge(
                .own(number, place: own), keyspace: read.keyspace, token: read.token, key: read.key,
                record: record, isFresh: false)
        }
        guard reads.contains(number) else { return }
        if configuration.planted == .skipReadRepairWait || needed.isMet(by: read.holders) {
            finishRead(index, .read(record))
        } else if !needed.isMet(by: promised) {
            failRead(index)
        }
    }

    mutating func repairAnswered(_ number: RequestNumber, _ place: Int, _ outcome: MergeAnswer.Outcome) {
        let index = number.index
        guard reads.contains(number), reads[index].attempt == number.attempt, reads[index].step == .repairing
        else { return }
        switch outcome {
        case .merged, .dominated: reads[index].repaired.insert(place)
        case .refused(.stalePlacement):
            if !retryRead(index) { failRead(index) }
            return
        case .refused:
            repairLost(index, place)
            return
        }
        if reads[index].requirement.complement.isMet(by: reads[index].holders) {
            finishRead(index, .read(reads[index].record))
        }
    }

    /// A repair did not arrive: fails the read when too few are left.
    private mutating func repairLost(_ index: Int, _ place: Int) {
        reads[index].lost.insert(place)
        let read = reads[index]
        let hoped = read.holders.union(read.asked.subtracting(read.lost))
        if !read.requirement.complement.isMet(by: hoped) { failRead(index) }
    }

    // MARK: Losses and retries

    /// No answer will come from this place: asks another.
    private mutating func readLost(_ index: Int, _ place: Int) {
        if reads[index].step == .repairing {
            repairLost(index, place)
            return
        }
        reads[index].lost.insert(place)
        let number = number(of: index)
        askAnother(index)
        guard reads.contains(number) else { return }
        failIfImpossible(index)
    }

    mutating func readLost(_ index: Int, _ peer: PeerIndex) {
        let read = reads[index]
        guard let place = read.replicas.place(of: peer), read.asked.contains(place),
            !read.lost.contains(place)
        else { return }
        switch read.step {
        case .gathering, .fetching: if read.answered.contains(place) { return }
        case .repairing: if read.repaired.contains(place) { return }
        }
        readLost(index, place)
    }

    private mutating func failIfImpossible(_ index: Int) {
        let read = reads[index]
        let hoped = read.answered.union(read.awaited)
        if !read.requirement.isMet(by: hoped) {
            failRead(index)
        } else if read.fetched.isEmpty, read.awaited.isEmpty {
            refetch(index)
        }
    }

    /// Starts again on the placement that is now known; false when it was tried often enough.
    private mutating func retryRead(_ index: Int) -> Bool {
        let read = reads[index]
        guard read.placementRetries < Limits.placementRetriesMax,
            let replicas = keyspaces.replicas(read.keyspaceIndex, of: read.token.slot)
        else { return false }
        metrics.placementRetries += 1
        reads[index].placementRetries += 1
        reads[index].restart(replicas, replicas.requirement(read.level))
        gather(index)
        return true
    }

    // MARK: Ends

    mutating func readExpired(_ number: RequestNumber) {
        guard reads.contains(number) else { return }
        failRead(number.index)
    }

    private mutating func failRead(_ index: Int) {
        let read = reads[index]
        metrics.readsTimedOut += 1
        let counted = read.step == .repairing ? read.holders : read.answered
        let scope = read.requirement.scope
        finishRead(
            index,
            .failed(
                .timeout(
                    .read, read.level, required: read.requirement.required,
                    acknowledged: read.requirement.counted(counted), acked: names(read.replicas, counted),
                    unknown: names(read.replicas, scope.subtracting(counted)), version: nil,
                    after: now.monotonic - read.began)))
    }

    private mutating func finishRead(_ index: Int, _ reply: ClientReply) {
        if case .read = reply {
            keyspaces[reads[index].keyspaceIndex].readLatency.add(now.monotonic - reads[index].began)
        }
        effects.append(.reply(reads[index].ticket, reply))
        reads.remove(index)
    }
}
