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
        _ asker: WriteOperation.Asker, _ request: ClientRequest, _ put: Put, _ index: Int, _ token: Token,
        _ replicas: ReplicaSet
    ) {
        metrics.writes += 1
        let level = request.level ?? keyspaces[index].definition.write
        let requirement = replicas.requirement(level)
        if put.version == nil, !skew.isGood(now) {
            reply(to: asker, skewed())
            return
        }
        let able = withoutOverloaded(replicas, reachable(replicas))
        if !requirement.isMet(by: able),
            let failure = refusal(index, level, replicas, requirement, token, able: able)
        {
            reply(to: asker, .failed(failure))
            return
        }
        let deadline = now.monotonic + (request.timeout ?? configuration.requestTimeout)
        let keepsSiblings = keyspaces[index].definition.conflict == .siblings
        let write = WriteOperation(
            asker: asker, keyspace: request.keyspace, level: level, key: request.key, token: token, put: put,
            began: now.monotonic, deadline: deadline, keepsSiblings: keepsSiblings, replicas: replicas,
            requirement: requirement)
        if keepsSiblings {
            startSiblingsWrite(write, until: deadline)
        } else {
            stampAndSend(insertWrite(write, until: deadline))
        }
    }

    /// Adds a write to those under way, and its deadlines.
    mutating func insertWrite(_ write: WriteOperation, until deadline: Instant) -> Int {
        let (place, generation) = writes.insert(write)
        let number = RequestNumber(kind: .write, attempt: 0, generation: generation, index: place)
        addDeadline(Deadline(number: number, purpose: .expire), at: deadline)
        if write.level == .any {
            // In time for a hint to be made durable before the deadline.
            addDeadline(
                Deadline(number: number, purpose: .hint), at: now.monotonic + (deadline - now.monotonic) / 2)
        }
        return place
    }

    /// Why a put is refused before anything is sent, when the owners that are able to take it don't suffice;
    /// nil when others can.
    private mutating func refusal(
        _ index: Int, _ level: ConsistencyLevel, _ replicas: ReplicaSet, _ requirement: Requirement,
        _ token: Token, able: Places
    ) -> RequestFailure? {
        // ANY needs nobody but this node's own disk.
        let isOwnDiskFull = peers[PeerTable.own].isOverloaded(now.monotonic)
        if level == .any, !isOwnDiskFull { return nil }
        let plan = standIns(index, level, replicas, token, for: replicas.all.subtracting(able), asked: [])
        var helped = Places.none
        for standIn in plan { helped.insert(standIn.place) }
        if requirement.isMet(by: able.union(helped)) { return nil }
        let reachable = reachable(replicas)
        if requirement.isMet(by: reachable.union(helped)) || level == .any {
            // Known from their latest answers, so nothing need be sent to hear it again.
            metrics.overloaded += 1
            let full = names(replicas, reachable.subtracting(able)).first ?? configuration.name
            return .overloaded(node: full, limit: "storage")
        }
        metrics.writesUnavailable += 1
        if vouching != nil { return unavailable(.write, level, replicas, requirement, reachable: reachable) }
        let up = reachable.union(helped)
        let scope = requirement.scope
        let names = plan.filter { !reachable.contains($0.place) && scope.contains($0.place) }
            .map { peers[$0.peer].name }
        return .unavailable(
            .write, level, required: requirement.required, alive: requirement.counted(up),
            up: (self.names(replicas, scope.intersection(reachable)) + names).sorted(),
            down: self.names(replicas, scope.subtracting(reachable)))
    }

    mutating func skewed() -> ClientReply {
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
        } else if !isClockJudged || vouching != nil {
            hasUnjudgedWrites = true
            return
        } else if writes[index].version == nil, put.version == nil, !skew.isGood(now) {
            // It was judged while the put waited.
            refuseWrite(index, skewed())
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
        if writes.count > 0 {
            for index in writes.indices where !writes[index].isStamped && !writes[index].keepsSiblings {
                stampAndSend(index)
            }
        }
        resumeRounds()
    }

    // MARK: Sending

    mutating func send(_ index: Int) {
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
        standIn(index, for: replicas.all.subtracting(places))
        if writes[index].keepsSiblings {
            ownRecordIsDurable(index)
            return
        }
        // Last, because the own replica may answer at once.
        if let own = replicas.own, places.contains(own) {
            replicaMerge(
                .own(number, place: own), keyspace: request.keyspace, token: writes[index].token,
                key: request.key, record: request.record, isFresh: isFresh)
        }
        // The ring may have lost nodes while the put waited for its stamp, or between two attempts.
        if writes.contains(number), !writes[index].isAnswered, !writes[index].isPossible {
            cannotSuffice(index)
        }
    }

    // MARK: Answers

    /// An answer to a merge: of a put, or of a read's repair.
    mutating func mergeAnswered(_ number: RequestNumber, _ place: Int, _ outcome: MergeAnswer.Outcome) {
        switch number.kind {
        case .write: writeAnswered(number, place, outcome)
        case .read: repairAnswered(number, place, outcome)
        case .round: roundStored(number, outcome)
        case .hint: replayAnswered(number, by: PeerIndex(UInt16(place)), outcome)
        case .definition: definitionAnswered(number, PeerTable.own, outcome)
        case .scan, .admission, .sweep, .exchange, .batch, .forward, nil: break
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
        case .closed(let time):
            // Too old to be merged; its version isn't to be changed when the client has named it.
            let mayRestamp =
                !writes[index].isAnswered && !writes[index].isReopened && writes[index].put.version == nil
            if mayRestamp {
                // Not the once that it is stamped above what dominates it: not all may have said yet what
                // does.
                writes[index].isReopened = true
                writes[index].dominatedBy = max(writes[index].dominatedBy ?? .zero, time)
                stampAnew(index)
                return
            }
            losePlace(index, place)
        case .refused(.stalePlacement):
            if !writes[index].isAnswered, retryWrite(index) { return }
            losePlace(index, place)
        case .refused(let refusal):
            if refusal == .overloaded { noteOverload(writes[index].replicas.peers[place]) }
            losePlace(index, place)
            if refusal == .overloaded, !writes[index].isAnswered, writes[index].isUndone {
                // Nothing left this node, and its storage took nothing.
                refuseFull(index, "storage")
                return
            }
        }
        advanceWrite(index)
    }

    // MARK: Overload

    /// How long a replica that refused a merge is taken to go on refusing.
    private static let overloadedFor = Interval.milliseconds(250)

    mutating func noteOverload(_ peer: PeerIndex) {
        peers[peer].overloadedUntil = now.monotonic + Self.overloadedFor
    }

    private func withoutOverloaded(_ replicas: ReplicaSet, _ places: Places) -> Places {
        var able = places
        places.forEach { place in
            if peers[replicas.peers[place]].isOverloaded(now.monotonic) { able.remove(place) }
        }
        return able
    }

    /// Counts, and does what the count says.
    mutating func advanceWrite(_ index: Int) {
        if writes[index].isAnswered {
            settleHints(index)
        } else if writes[index].isEnough {
            if writes[index].dominatedBy != nil, !writes[index].isRestamped, writes[index].put.version == nil
            {
                writes[index].isRestamped = true
                stampAnew(index)
                return
            }
            guard let version = writes[index].version else {
                invariantBroken("what has no stamp was not sent")
            }
            answerWrite(index, .written(version))
        } else if !writes[index].isPossible {
            cannotSuffice(index)
        }
    }

    /// The answers still due can't suffice: at ANY hints may, else the put has failed.
    private mutating func cannotSuffice(_ index: Int) {
        guard writes[index].level == .any, !writes[index].hasTriedHints else {
            failWrite(index)
            return
        }
        if let limit = keepHintsForAny(index) {
            if writes[index].isUndone { refuseFull(index, limit) } else { failWrite(index) }
        }
    }

    private mutating func stampAnew(_ index: Int) {
        writes[index].isStamped = false
        beginAttempt(index)
        if writes[index].keepsSiblings { joinRound(index) } else { stampAndSend(index) }
    }

    private mutating func beginAttempt(_ index: Int) {
        writes[index].attempt += 1
        writes[index].sent = .none
        writes[index].acked = .none
        writes[index].lost = .none
        writes[index].hinting = .none
        writes[index].hinted = .none
        writes[index].standIns = []
        writes[index].hasTriedHints = false
    }

    /// Sends the put again on the placement that is now known; false when it was tried often enough, or when
    /// nothing has changed.
    mutating func retryWrite(_ index: Int) -> Bool {
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
        tellFloor(write.keyspace, write.token.slot, replicas)
        send(index)
        return true
    }

    /// A place's connection broke: its answer will not come.
    mutating func writeLost(_ index: Int, _ peer: PeerIndex) {
        guard let place = writes[index].replicas.place(of: peer) else {
            standInLost(index, peer)
            return
        }
        guard writes[index].sent.contains(place), !writes[index].acked.contains(place),
            !writes[index].lost.contains(place)
        else { return }
        losePlace(index, place)
        advanceWrite(index)
    }

    private mutating func losePlace(_ index: Int, _ place: Int) {
        writes[index].lost.insert(place)
        if !writes[index].isAnswered { standIn(index, for: .only(place)) }
    }

    // MARK: Ends

    mutating func writeExpired(_ number: RequestNumber) {
        guard writes.contains(number) else { return }
        let index = number.index
        if !writes[index].isAnswered { failWrite(index) }
        guard writes.contains(number) else { return }
        // When the places that haven't answered are given up.
        let until = writes[index].began + configuration.requestTimeout
        if now.monotonic < until {
            addDeadline(Deadline(number: number, purpose: .expire), at: until)
        } else {
            giveUpWaiting(index)
        }
    }

    /// Answers that too few replicas have answered; or, when nothing was sent, why not.
    mutating func failWrite(_ index: Int) {
        if writes[index].version == nil {
            metrics.overloaded += 1
            let limit: StaticName =
                hasUnjudgedWrites ? "clock_sample" : waitsForStorage(index) ? "storage" : "stamp_reservation"
            refuseWrite(index, .failed(.overloaded(node: configuration.name, limit: limit)))
            return
        }
        let write = writes[index]
        metrics.writesTimedOut += 1
        let counted = write.acked.union(write.hinted)
        let unknown = write.requirement.scope.subtracting(counted)
        // Who stood in for a place that has acknowledged itself since then doesn't count beside it.
        let standIns = write.standIns.filter { $0.hasKept && !write.acked.contains($0.place) }
            .map { peers[$0.peer].name }
        answerWrite(
            index,
            .failed(
                .timeout(
                    .write, write.level, required: write.requirement.required,
                    acknowledged: write.requirement.counted(counted),
                    acked: (names(write.replicas, write.acked) + standIns).sorted(),
                    unknown: names(write.replicas, unknown), version: write.version,
                    after: now.monotonic - write.began)))
    }

    /// Nothing was done: the storage has no room, here or where a hint would be kept.
    mutating func refuseFull(_ index: Int, _ limit: StaticName) {
        metrics.overloaded += 1
        refuseWrite(index, .failed(.overloaded(node: configuration.name, limit: limit)))
    }

    /// The put ends without having been sent.
    mutating func refuseWrite(_ index: Int, _ reply: ClientReply) {
        self.reply(to: writes[index].asker, reply)
        writes.remove(index)
    }
}
