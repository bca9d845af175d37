import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// The coordinator of gets: a record from the closest replica, digests from the rest; on a difference fetch,
/// join, write back, and only then answer.
///
/// Writing back before answering is what makes quorum reads monotone: when 2R > N, the replicas that hold
/// what this read shows are N - R + 1, and every later read meets one of them.
extension Node {
    mutating func startRead(
        _ asker: ReadOperation.Asker, _ request: ClientRequest, _ index: Int, _ token: Token,
        _ replicas: ReplicaSet
    ) {
        metrics.reads += 1
        let level = request.level ?? keyspaces[index].definition.read
        guard level != .any else {
            answer(asker, .failed(.badLevel(level)))
            return
        }
        let requirement = replicas.requirement(level)
        let readable = readable(replicas)
        guard requirement.isMet(by: readable) else {
            metrics.readsUnavailable += 1
            let failure = unavailable(.read, level, replicas, requirement, reachable: readable)
            answer(asker, .failed(failure))
            return
        }
        let deadline = now.monotonic + (request.timeout ?? configuration.requestTimeout)
        if case .scan = asker { scanReads += 1 }
        let (place, generation) = reads.insert(
            ReadOperation(
                asker: asker, keyspace: request.keyspace, level: level, key: request.key, token: token,
                began: now.monotonic, deadline: deadline, replicas: replicas,
                requirement: requirement))
        let number = RequestNumber(kind: .read, attempt: 0, generation: generation, index: place)
        addDeadline(Deadline(number: number, purpose: .expire), at: deadline)
        if let delay = speculationDelay(index), now.monotonic + delay < deadline {
            addDeadline(Deadline(number: number, purpose: .speculate), at: now.monotonic + delay)
        }
        gather(place)
    }

    private mutating func speculationDelay(_ keyspace: Int) -> Interval? {
        switch configuration.speculation {
        case .off: nil
        case .after(let delay): delay
        case .percentile(let share):
            keyspaces[keyspace].readLatency.percentile(share) ?? Limits.speculationDelayDefault
        }
    }

    // MARK: Gathering

    /// Asks just as many replicas as the level needs, the closest first.
    private mutating func gather(_ index: Int) {
        let replicas = reads[index].replicas
        var chosen = closest(replicas, meeting: reads[index].requirement)
        let number = number(of: index)
        var isFirst = true
        while let place = closest(replicas, chosen) {
            chosen.remove(place)
            guard reads.contains(number), reads[index].step == .gathering else { return }
            // One that refused at once may have had this one asked in its stead.
            guard !reads[index].asked.contains(place) else { continue }
            ask(index, place, wantsDigest: !isFirst)
            isFirst = false
        }
        if reads.contains(number) { failIfImpossible(index) }
    }

    /// The place whose node answers soonest, this node's own before all others; the first in the preference
    /// list of those that are alike.
    func closest(_ replicas: ReplicaSet, _ places: Places) -> Int? {
        if let own = replicas.own, places.contains(own) { return own }
        var best: Int?
        var least = Interval.zero
        places.forEach { place in
            let latency = peers[replicas.peers[place]].latency
            if best == nil || latency < least {
                best = place
                least = latency
            }
        }
        return best
    }

    /// Just as many places as the level needs, those whose nodes answer soonest, and the avoided ones last;
    /// fewer when too few can be reached.
    func closest(
        _ replicas: ReplicaSet, meeting requirement: Requirement, avoiding avoided: Places = .none
    ) -> Places {
        var chosen = Places.none
        var left = readable(replicas)
        while !requirement.isMet(by: chosen),
            let place = closest(replicas, left.subtracting(avoided)) ?? closest(replicas, left)
        {
            left.remove(place)
            if requirement.isHelped(by: place, given: chosen) { chosen.insert(place) }
        }
        return chosen
    }

    func number(of index: Int) -> RequestNumber {
        RequestNumber(
            kind: .read, attempt: reads[index].attempt, generation: reads.generation(index), index: index)
    }

    private mutating func ask(_ index: Int, _ place: Int, wantsDigest: Bool) {
        let number = number(of: index)
        reads[index].asked.insert(place)
        let peer = reads[index].replicas.peers[place]
        if peer == PeerTable.own {
            let own = ownPlacement(reads[index].keyspace, reads[index].token.slot)
            guard own == reads[index].replicas.placement else {
                readAnswered(number, place, .refused(.stalePlacement))
                return
            }
            replicaRead(
                .own(number, place: place), keyspace: reads[index].keyspace, token: reads[index].token,
                key: reads[index].key, wantsDigest: wantsDigest)
        } else {
            let request = ReadRequest(
                request: number.bits, placement: reads[index].replicas.digest,
                keyspace: reads[index].keyspace, wantsDigest: wantsDigest, key: reads[index].key)
            effects.append(.send(peer, .read(request)))
        }
    }

    /// Asks one more replica for its record, one that brings the level nearer than these places do; false
    /// when there is none left.
    @discardableResult
    private mutating func askAnother(_ index: Int, given places: Places) -> Bool {
        let replicas = reads[index].replicas
        let requirement = reads[index].requirement
        var left = readable(replicas).intersection(requirement.scope).subtracting(reads[index].asked)
        while let place = closest(replicas, left) {
            left.remove(place)
            guard requirement.isHelped(by: place, given: places) else { continue }
            ask(index, place, wantsDigest: false)
            return true
        }
        return false
    }

    /// The keyspace's usual latency has passed: asks another replica, once.
    mutating func speculate(_ number: RequestNumber) {
        guard reads.contains(number), reads[number.index].step != .repairing,
            !reads[number.index].awaited.isEmpty
        else { return }
        guard askAnother(number.index, given: reads[number.index].answered) else { return }
        metrics.speculativeReads += 1
        if reads.contains(number) { reads[number.index].hasSpeculated = true }
    }

    // MARK: Answers

    mutating func readAnswered(_ number: RequestNumber, _ place: Int, _ outcome: ReadAnswer.Outcome) {
        let index = number.index
        guard reads.contains(number), reads[index].attempt == number.attempt,
            reads[index].asked.contains(place)
        else { return }
        noteLatency(index, place)
        // What is being written back is what will be shown. A later answer must not change it: the replicas
        // that the repair counts would not hold what it brought.
        guard reads[index].step != .repairing else { return }
        switch outcome {
        case .record(let record):
            let digest = Record.digest(record)
            reads[index].note(place, holds: digest)
            reads[index].fetched.insert(place)
            join(index, record, digest)
        case .digest(let digest):
            // A record that came from there before is no longer what it holds.
            if reads[index].digest(of: place) != digest { reads[index].fetched.remove(place) }
            reads[index].note(place, holds: digest)
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
        case .repairing: invariantBroken("an answer changed what a repair writes back")
        }
    }

    private mutating func noteLatency(_ index: Int, _ place: Int) {
        let peer = reads[index].replicas.peers[place]
        guard peer != PeerTable.own else { return }
        let taken = now.monotonic - reads[index].began
        let known = peers[peer].latency
        peers[peer].latency = known == .zero ? taken : known + (taken - known) / 8
    }

    private mutating func join(_ index: Int, _ record: Blob?, _ digest: UInt64) {
        guard let record else { return }
        guard let known = reads[index].record else {
            reads[index].record = record
            reads[index].digest = digest
            return
        }
        reads[index].record = Record.join(known, record)
        reads[index].digest = Record.digest(reads[index].record)
    }

    private mutating func gathered(_ index: Int) {
        let isEnough = reads[index].requirement.isMet(by: reads[index].answered)
        guard isEnough, !reads[index].fetched.isEmpty else {
            // All have answered, but the record was lost with its place: another one must give it.
            if isEnough, reads[index].awaited.isEmpty { refetch(index) }
            return
        }
        if reads[index].isSettled || configuration.planted == .ignoreDigests {
            finishRead(index, .read(reads[index].record))
            return
        }
        metrics.digestMismatches += 1
        reads[index].step = .fetching
        fetchRest(index)
    }

    /// Asks a place that has given its digest for its record.
    private mutating func refetch(_ index: Int) {
        let replicas = reads[index].replicas
        let places = reads[index].answered.subtracting(reads[index].fetched).intersection(readable(replicas))
        guard let place = closest(replicas, places) else {
            if !askAnother(index, given: .none) { failRead(index) }
            return
        }
        reads[index].answered.remove(place)
        ask(index, place, wantsDigest: false)
    }

    // MARK: Fetching

    /// Digests differ: every place that answered gives its record, unless one with the same digest has.
    private mutating func fetchRest(_ index: Int) {
        let missing = reads[index].unfetched
        if missing.isEmpty {
            // A place that was asked again, or speculatively, is waited for only as far as the level needs
            // it.
            guard reads[index].requirement.isMet(by: reads[index].answered) else { return }
            // Who differed may be gone, and another have answered in its place.
            if reads[index].answered.subtracting(reads[index].holders).isEmpty {
                finishRead(index, .read(reads[index].record))
            } else {
                repair(index)
            }
            return
        }
        let number = number(of: index)
        var rest = missing
        while let place = rest.first {
            rest.remove(place)
            guard reads.contains(number) else { return }
            // Until its record comes, its answer doesn't count: its node may be gone.
            reads[index].answered.remove(place)
            ask(index, place, wantsDigest: false)
        }
    }

    // MARK: Losses and retries

    /// No answer will come from this place: asks others in its stead.
    private mutating func readLost(_ index: Int, _ place: Int) {
        reads[index].lost.insert(place)
        let number = number(of: index)
        while reads.contains(number), reads[index].step != .repairing {
            let hoped = reads[index].answered.union(reads[index].awaited)
            if reads[index].requirement.isMet(by: hoped) || !askAnother(index, given: hoped) {
                failIfImpossible(index)
                return
            }
        }
    }

    mutating func readLost(_ index: Int, _ peer: PeerIndex) {
        guard let place = reads[index].replicas.place(of: peer) else { return }
        if reads[index].step == .repairing {
            if reads[index].repairs.subtracting(reads[index].repaired).contains(place) {
                repairLost(index, place)
            }
        } else if reads[index].awaited.contains(place) {
            readLost(index, place)
        }
    }

    private mutating func failIfImpossible(_ index: Int) {
        let hoped = reads[index].answered.union(reads[index].awaited)
        if !reads[index].requirement.isMet(by: hoped) {
            failRead(index)
        } else if reads[index].fetched.isEmpty, reads[index].awaited.isEmpty {
            refetch(index)
        }
    }

    /// Starts again on the placement that is now known; false when it was tried often enough.
    mutating func retryRead(_ index: Int) -> Bool {
        guard reads[index].placementRetries < Limits.placementRetriesMax,
            let keyspace = keyspaces.index(of: reads[index].keyspace),
            let replicas = keyspaces.replicas(keyspace, of: reads[index].token.slot)
        else { return false }
        metrics.placementRetries += 1
        reads[index].placementRetries += 1
        reads[index].restart(replicas, replicas.requirement(reads[index].level))
        tellFloor(reads[index].keyspace, reads[index].token.slot, replicas)
        gather(index)
        return true
    }

    // MARK: Ends

    mutating func readExpired(_ number: RequestNumber) {
        guard reads.contains(number) else { return }
        failRead(number.index)
    }

    mutating func failRead(_ index: Int) {
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

    mutating func finishRead(_ index: Int, _ reply: ClientReply) {
        // Where the place that was asked more has stood in for one that is silent, the time says how long we
        // waited before we asked it: counted, it would make us wait longer each time.
        let isDelayed = reads[index].hasSpeculated && !reads[index].awaited.isEmpty
        if case .read = reply, !isDelayed, let keyspace = keyspaces.index(of: reads[index].keyspace) {
            keyspaces[keyspace].readLatency.add(now.monotonic - reads[index].began)
            notePace(reads[index].began)
        }
        let asker = removeRead(index)
        answer(asker, reply)
    }

    @discardableResult
    mutating func removeRead(_ index: Int) -> ReadOperation.Asker {
        let asker = reads[index].asker
        if case .scan = asker { scanReads -= 1 }
        reads.remove(index)
        return asker
    }

    private mutating func answer(_ asker: ReadOperation.Asker, _ reply: ClientReply) {
        switch asker {
        case .client(let ticket): effects.append(.reply(ticket, reply))
        case .scan(let number, let place): scanResolved(number, place, reply)
        }
    }
}
