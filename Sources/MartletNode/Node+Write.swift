import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// The coordinator of puts: stamp, send `merge` to all owners, answer at the level.
///
/// A put that a replica answers with `dominated` lost against a write that this replica has merged, and that
/// may have been acknowledged before this one began; then this one must win. So it is stamped anew above the
/// dominator and sent again, once, before it is acknowledged. Once is enough: whoever was acknowledged before
/// this put began is below the second stamp; whoever comes later is concurrent.
extension Node {
    mutating func startWrite(
        _ ticket: ClientTicket, _ request: ClientRequest, _ put: Put, _ index: Int, _ token: Token,
        _ replicas: ReplicaSet
    ) {
        metrics.writes += 1
        let level = request.level ?? keyspaces[index].definition.write
        let requirement = replicas.requirement(level)
        if put.version == nil, !skew.isGood(now) {
            effects.append(.reply(ticket, skewed()))
            return
        }
        let reachable = reachable(replicas)
        guard requirement.isMet(by: reachable) else {
            metrics.writesUnavailable += 1
            let failure = unavailable(.write, level, replicas, requirement, reachable: reachable)
            effects.append(.reply(ticket, .failed(failure)))
            return
        }
        let able = withoutOverloaded(replicas, reachable)
        guard requirement.isMet(by: able) else {
            // Known from their latest answers, so nothing need be sent to hear it again.
            metrics.overloaded += 1
            let full = names(replicas, reachable.subtracting(able))
            effects.append(.reply(ticket, .failed(.overloaded(node: full[0], limit: "storage"))))
            return
        }
        let deadline = now.monotonic + (request.timeout ?? configuration.requestTimeout)
        let (place, generation) = writes.insert(
            WriteOperation(
                ticket: ticket, keyspace: request.keyspace, level: level, key: request.key, token: token,
                put: put,
                began: now.monotonic, deadline: deadline, replicas: replicas, requirement: requirement))
        let number = RequestNumber(kind: .write, attempt: 0, generation: generation, index: place)
        addDeadline(Deadline(number: number, purpose: .expire), at: deadline)
        stampAndSend(place)
    }

    private mutating func skewed() -> ClientReply {
        metrics.skewRefused += 1
        judgeClock()
        return .failed(
            .skew(
                node: configuration.name, aheadMilliseconds: skew.ahead(now).milliseconds,
                maxMilliseconds: configuration.clockSkewMax.milliseconds))
    }

    // MARK: Stamping

    /// Stamps the put and sends it; leaves it waiting while the clock is at its ceiling, or not judged yet.
    private mutating func stampAndSend(_ index: Int) {
        let put = writes[index].put
        var above = max(clock.last, writes[index].dominatedBy ?? .zero)
        if let context = put.above { above = max(above, context.time) }
        if case .expiry(let record, _) = put.content {
            // An expiry that was set after another one must win against it, whoever stamped that.
            above = max(above, Register(decoding: record).expiryStamp.time)
        }
        let keepsVersion = put.version != nil && configuration.planted != .restampRetries
        let isExpiry = if case .expiry = put.content { true } else { false }
        if keepsVersion, !isExpiry, let version = put.version {
            writes[index].version = version
            writes[index].record = encode(put.content, version)
        } else if !isClockJudged {
            hasUnjudgedWrites = true
            return
        } else if writes[index].version == nil, put.version == nil, !skew.isGood(now) {
            // It was judged while the put waited.
            finishWrite(index, skewed())
            return
        } else if let stamp = clock.issue(above: above, now.wall) {
            writes[index].record = encode(put.content, stamp)
            writes[index].version = stamp
        } else {
            reserveStamps(above: above)
            return
        }
        writes[index].isStamped = true
        reserveStamps()
        send(index)
    }

    private func encode(_ content: Put.Content, _ stamp: Stamp) -> Blob {
        switch content {
        case .value(let value, let expiry):
            return Register.encodePut(stamp: stamp, value: value.span, expiry: expiry)
        case .tombstone: return Register(stamp: stamp, value: .tombstone).encoded()
        case .expiry(let record, let expiry):
            var register = Register(decoding: record)
            register.expiryStamp = stamp
            register.expiry = expiry
            return register.encoded()
        }
    }

    /// The clock's ceiling has risen, or the clock was judged: stamps what waited for it.
    mutating func stampParkedWrites() {
        hasUnjudgedWrites = false
        guard writes.count > 0 else { return }
        for index in writes.indices where !writes[index].isStamped { stampAndSend(index) }
    }

    // MARK: Sending

    private mutating func send(_ index: Int) {
        let number = RequestNumber(
            kind: .write, attempt: writes[index].attempt, generation: writes.generation(index), index: index)
        let replicas = writes[index].replicas
        let places = reachable(replicas)
        writes[index].sent = places
        if configuration.planted == .countDeadReplica {
            writes[index].acked = replicas.all.subtracting(places)
        }
        let isFresh =
            switch writes[index].put.content {
            case .expiry: false
            case .value, .tombstone: true
            }
        let request = MergeRequest(
            request: number.bits, placement: replicas.digest, keyspace: writes[index].keyspace,
            isFresh: isFresh, key: writes[index].key, record: writes[index].record)
        places.forEach { place in
            let peer = replicas.peers[place]
            if peer != PeerTable.own { effects.append(.send(peer, .merge(request))) }
        }
        // Last, because the own replica may answer at once.
        if let own = replicas.own, places.contains(own) {
            replicaMerge(
                .own(number, place: own), keyspace: request.keyspace, token: writes[index].token,
                key: request.key, record: request.record, isFresh: isFresh)
        }
        // The ring may have lost nodes while the put waited for its stamp, or between two attempts.
        if writes.contains(number), !writes[index].isPossible { failWrite(index) }
    }

    // MARK: Answers

    /// An answer to a merge: of a put, or of a read's repair.
    mutating func mergeAnswered(_ number: RequestNumber, _ place: Int, _ outcome: MergeAnswer.Outcome) {
        switch number.kind {
        case .write: writeAnswered(number, place, outcome)
        case .read: repairAnswered(number, place, outcome)
        case .scan, nil: break
        }
    }

    private mutating func writeAnswered(_ number: RequestNumber, _ place: Int, _ outcome: MergeAnswer.Outcome)
    {
        let index = number.index
        guard writes.contains(number), writes[index].attempt == number.attempt,
            writes[index].sent.contains(place)
        else { return }
        switch outcome {
        case .merged: writes[index].acked.insert(place)
        case .dominated(let stamp):
            metrics.contended += 1
            writes[index].acked.insert(place)
            if configuration.planted != .dropDominatedAnswer {
                writes[index].dominatedBy = max(writes[index].dominatedBy ?? .zero, stamp.time)
            }
        case .refused(.stalePlacement):
            if retryWrite(index) { return }
            writes[index].lost.insert(place)
        case .refused(let refusal):
            if refusal == .overloaded { noteOverload(writes[index].replicas.peers[place]) }
            if refusal == .overloaded, isOwnAlone(index) {
                // Nothing left this node, and its storage took nothing.
                metrics.overloaded += 1
                finishWrite(index, .failed(.overloaded(node: configuration.name, limit: "storage")))
                return
            }
            writes[index].lost.insert(place)
        }
        advanceWrite(index)
    }

    // MARK: Overload

    /// How long a replica that refused a merge is taken to go on refusing.
    private static let overloadedFor = Interval.milliseconds(250)

    private mutating func noteOverload(_ peer: PeerIndex) {
        peers[peer].overloadedUntil = now.monotonic + Self.overloadedFor
    }

    private func withoutOverloaded(_ replicas: ReplicaSet, _ places: Places) -> Places {
        var able = places
        places.forEach { place in
            if let until = peers[replicas.peers[place]].overloadedUntil, now.monotonic < until {
                able.remove(place)
            }
        }
        return able
    }

    /// Whether the put went to this node's own replica and nowhere else.
    private func isOwnAlone(_ index: Int) -> Bool {
        guard let own = writes[index].replicas.own else { return false }
        return writes[index].attempt == 0 && writes[index].sent == .only(own)
    }

    /// Counts, and does what the count says.
    private mutating func advanceWrite(_ index: Int) {
        if writes[index].isEnough {
            if writes[index].dominatedBy != nil, !writes[index].isRestamped, writes[index].put.version == nil
            {
                restamp(index)
                return
            }
            guard let version = writes[index].version else {
                invariantBroken("what has no stamp was not sent")
            }
            finishWrite(index, .written(version))
        } else if !writes[index].isPossible {
            failWrite(index)
        }
    }

    private mutating func restamp(_ index: Int) {
        writes[index].isRestamped = true
        writes[index].isStamped = false
        beginAttempt(index)
        stampAndSend(index)
    }

    private mutating func beginAttempt(_ index: Int) {
        writes[index].attempt += 1
        writes[index].sent = .none
        writes[index].acked = .none
        writes[index].lost = .none
    }

    /// Sends the put again on the placement that is now known; false when it was tried often enough, or when
    /// nothing has changed.
    private mutating func retryWrite(_ index: Int) -> Bool {
        let write = writes[index]
        guard write.placementRetries < Limits.placementRetriesMax,
            let keyspace = keyspaces.index(of: write.keyspace),
            let replicas = keyspaces.replicas(keyspace, of: write.token.slot)
        else { return false }
        metrics.placementRetries += 1
        beginAttempt(index)
        writes[index].placementRetries += 1
        writes[index].replicas = replicas
        writes[index].requirement = replicas.requirement(write.level)
        send(index)
        return true
    }

    /// A place's connection broke: its answer will not come.
    mutating func writeLost(_ index: Int, _ peer: PeerIndex) {
        guard let place = writes[index].replicas.place(of: peer), writes[index].sent.contains(place),
            !writes[index].acked.contains(place)
        else { return }
        writes[index].lost.insert(place)
        advanceWrite(index)
    }

    // MARK: Ends

    mutating func writeExpired(_ number: RequestNumber) {
        guard writes.contains(number) else { return }
        failWrite(number.index)
    }

    /// Answers that too few replicas have answered; or, when nothing was sent, why not.
    mutating func failWrite(_ index: Int) {
        if writes[index].version == nil {
            metrics.overloaded += 1
            let limit: StaticName = hasUnjudgedWrites ? "clock_sample" : "stamp_reservation"
            finishWrite(index, .failed(.overloaded(node: configuration.name, limit: limit)))
            return
        }
        let write = writes[index]
        metrics.writesTimedOut += 1
        let scope = write.requirement.scope
        finishWrite(
            index,
            .failed(
                .timeout(
                    .write, write.level, required: write.requirement.required,
                    acknowledged: write.requirement.counted(write.acked),
                    acked: names(write.replicas, write.acked),
                    unknown: names(write.replicas, scope.subtracting(write.acked)), version: write.version,
                    after: now.monotonic - write.began)))
    }

    private mutating func finishWrite(_ index: Int, _ reply: ClientReply) {
        effects.append(.reply(writes[index].ticket, reply))
        writes.remove(index)
    }
}
