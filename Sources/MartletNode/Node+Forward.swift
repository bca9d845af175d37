import MartletBase
import MartletRing
import MartletVersions
import MartletWire

/// Puts of keys with siblings that this node doesn't own: an owner coordinates them, for LOCAL levels one of
/// this node's own data centre, since its own is what it counts.
///
/// One owner is asked, and the next one only when it has refused and so done nothing. When its connection
/// breaks the outcome is unknown: asking another one would add a second version.
extension Node {
    /// Whether this node had better coordinate a put with siblings itself: it is an owner that holds what
    /// owners hold, or there is nobody else.
    ///
    /// Never one that is only gaining the slot: it may not hold yet what it wrote itself, as the same actor,
    /// when it owned the slot before (`Siblings`).
    func isFitToCoordinate(_ replicas: ReplicaSet, _ level: ConsistencyLevel) -> Bool {
        guard let own = replicas.own, replicas.isOwned else { return false }
        return answersReads || coordinators(replicas, level).subtracting(.only(own)).isEmpty
    }

    /// The owners that may coordinate at this level.
    private func coordinators(_ replicas: ReplicaSet, _ level: ConsistencyLevel) -> Places {
        reachable(replicas).intersection(replicas.old)
            .intersection(level.isLocal ? replicas.requirement(level).scope : replicas.all)
    }

    mutating func forwardPut(
        _ ticket: ClientTicket, _ request: ClientRequest, _ put: Put, _ level: ConsistencyLevel,
        _ token: Token, _ replicas: ReplicaSet
    ) {
        let deadline = now.monotonic + (request.timeout ?? configuration.requestTimeout)
        let (index, generation) = siblings.forwards.insert(
            ForwardedPut(
                ticket: ticket, keyspace: request.keyspace, level: level, key: request.key, token: token,
                put: put, began: now.monotonic, deadline: deadline, replicas: replicas))
        let number = RequestNumber(kind: .forward, attempt: 0, generation: generation, index: index)
        addDeadline(Deadline(number: number, purpose: .expire), at: deadline)
        forward(index)
    }

    /// Asks the closest owner that hasn't refused.
    private mutating func forward(_ index: Int) {
        let forward = siblings.forwards[index]
        let replicas = forward.replicas
        var left = coordinators(replicas, forward.level).subtracting(forward.refused)
        if let own = replicas.own { left.remove(own) }
        // One that rebuilds takes puts, but knows less of what they replace.
        let able = left.intersection(readable(replicas))
        guard let place = closest(replicas, able.isEmpty ? left : able) else {
            metrics.writesUnavailable += 1
            let requirement = replicas.requirement(forward.level)
            endForward(
                index,
                .failed(
                    unavailable(
                        .write, forward.level, replicas, requirement,
                        reachable: coordinators(replicas, forward.level).subtracting(forward.refused))))
            return
        }
        let peer = replicas.peers[place]
        siblings.forwards[index].peer = peer
        siblings.forwards[index].refused.insert(place)
        siblings.forwards[index].attempt += 1
        let (value, expiry): (Blob?, Int64?) =
            switch forward.put.content {
            case .value(let value, let expiry): (value, expiry)
            case .tombstone: (nil, nil)
            case .expiry: invariantBroken("siblings have no expiry of their own to change")
            }
        let time = forward.deadline - now.monotonic
        effects.append(
            .send(
                peer,
                .put(
                    PutRequest(
                        request: forwardNumber(index).bits, placement: replicas.digest,
                        keyspace: forward.keyspace, level: forward.level,
                        timeout: min(max(time, .milliseconds(1)), Limits.clientTimeoutMax), key: forward.key,
                        value: value, expiry: expiry, context: forward.put.context,
                        version: forward.put.version))))
        if configuration.planted == .forwardTwice, let other = replicas.peers.first(where: { $0 != peer }),
            peers.isReachable(other), other != PeerTable.own
        {
            effects.append(
                .send(
                    other,
                    .put(
                        PutRequest(
                            request: forwardNumber(index).bits, placement: replicas.digest,
                            keyspace: forward.keyspace, level: forward.level, timeout: time, key: forward.key,
                            value: value, expiry: expiry, context: forward.put.context,
                            version: forward.put.version))))
        }
    }

    private func forwardNumber(_ index: Int) -> RequestNumber {
        RequestNumber(
            kind: .forward, attempt: siblings.forwards[index].attempt,
            generation: siblings.forwards.generation(index), index: index)
    }

    mutating func putAnswered(_ peer: PeerIndex, _ answer: PutAnswer) {
        let number = RequestNumber(bits: answer.request)
        guard number.kind == .forward, siblings.forwards.contains(number),
            siblings.forwards[number.index].attempt == number.attempt,
            siblings.forwards[number.index].peer == peer
        else { return }
        let index = number.index
        switch answer.outcome {
        case .written(let dot): endForward(index, .written(dot))
        case .failed(let failure):
            let forward = siblings.forwards[index]
            endForward(index, .failed(RequestFailure(failure, forward.level)))
        case .refused(.stalePlacement): replaceForward(index)
        case .refused: forward(index)
        }
    }

    /// The owner sees another ring: asks again on the one that is known now.
    private mutating func replaceForward(_ index: Int) {
        let forward = siblings.forwards[index]
        if forward.placementRetries < Limits.placementRetriesMax,
            let keyspace = keyspaces.index(of: forward.keyspace),
            let replicas = keyspaces.replicas(keyspace, of: forward.token.slot)
        {
            metrics.placementRetries += 1
            siblings.forwards[index].placementRetries += 1
            siblings.forwards[index].replicas = replicas
            siblings.forwards[index].refused = .none
        }
        self.forward(index)
    }

    /// The owner may have done it, and its answer won't come.
    mutating func forwardLost(_ index: Int) {
        let forward = siblings.forwards[index]
        metrics.writesTimedOut += 1
        let requirement = forward.replicas.requirement(forward.level)
        endForward(
            index,
            .failed(
                .timeout(
                    .write, forward.level, required: requirement.required, acknowledged: 0, acked: [],
                    unknown: names(forward.replicas, requirement.scope), version: forward.put.version,
                    after: now.monotonic - forward.began)))
    }

    mutating func forwardExpired(_ number: RequestNumber) {
        if siblings.forwards.contains(number) { forwardLost(number.index) }
    }

    mutating func forgetForwards(to peer: PeerIndex) {
        for index in siblings.forwards.indices where siblings.forwards.isInUse(index) {
            if siblings.forwards[index].peer == peer { forwardLost(index) }
        }
    }

    private mutating func endForward(_ index: Int, _ reply: ClientReply) {
        effects.append(.reply(siblings.forwards[index].ticket, reply))
        siblings.forwards.remove(index)
    }

    // MARK: At the owner

    mutating func putAsked(_ link: LinkID, _ peer: PeerIndex, _ request: PutRequest) {
        let token = Token(key: request.key)
        let refusal = replicaRefusal(keyspace: request.keyspace, token: token, placement: request.placement)
        if let refusal {
            if refusal == .stalePlacement { showView(to: peer, over: link, request.keyspace, token.slot) }
            metrics.replicaRefusals += 1
            return refusePut(link, request, refusal)
        }
        guard let index = keyspaces.index(of: request.keyspace),
            let replicas = keyspaces.replicas(index, of: token.slot),
            keyspaces[index].definition.conflict == .siblings, request.key.count <= configuration.keyBytesMax
        else { return refusePut(link, request, .invalid) }
        guard replicas.isOwned else { return refusePut(link, request, .notServing) }
        guard inFlight < configuration.inFlightMax else { return refusePut(link, request, .overloaded) }
        let content: Put.Content = request.value.map { .value($0, expiry: request.expiry) } ?? .tombstone
        startWrite(
            .link(link, request: request.request),
            ClientRequest(
                keyspace: request.keyspace, key: request.key,
                operation: .put(Put(content, context: request.context, version: request.version)),
                level: request.level, timeout: request.timeout),
            Put(content, context: request.context, version: request.version), index, token, replicas)
    }

    private mutating func refusePut(_ link: LinkID, _ request: PutRequest, _ refusal: ReplicaRefusal) {
        effects.append(
            .respond(link, .putAnswer(PutAnswer(request: request.request, outcome: .refused(refusal)))))
    }

    /// Gives who asked for a put its answer: a client, or the node that forwarded it.
    mutating func reply(to asker: WriteOperation.Asker, _ reply: ClientReply) {
        switch asker {
        case .client(let ticket): effects.append(.reply(ticket, reply))
        case .link(let link, let request):
            effects.append(
                .respond(link, .putAnswer(PutAnswer(request: request, outcome: PutAnswer.Outcome(reply)))))
        }
    }
}

extension PutAnswer.Outcome {
    fileprivate init(_ reply: ClientReply) {
        guard case .failed(let failure) = reply else {
            guard case .written(let dot) = reply else { invariantBroken("a put has another's answer") }
            self = .written(dot)
            return
        }
        switch failure {
        case .unavailable(_, _, let required, let alive, let up, let down):
            self = .failed(.unavailable(required: required, alive: alive, up: up, down: down))
        case .timeout(_, _, let required, let acknowledged, let acked, let unknown, let version, let after):
            self = .failed(
                .timeout(
                    required: required, acknowledged: acknowledged, acked: acked, unknown: unknown,
                    version: version, after: after))
        case .overloaded(let node, let limit):
            self = .failed(.overloaded(node: node, limit: limit.description))
        case .skew(let node, let ahead, let max):
            self = .failed(.skew(node: node, aheadMilliseconds: ahead, maxMilliseconds: max))
        case .siblings(let limit, let found, let max):
            self = .failed(.siblings(limit: limit.description, found: found, max: max))
        case .loading, .stopping: self = .refused(.notServing)
        case .noSuchKeyspace: self = .refused(.stalePlacement)
        case .keyspace, .badLevel, .ringAct, .localRead: self = .refused(.invalid)
        }
    }
}

extension RequestFailure {
    /// What an owner has told.
    fileprivate init(_ failure: PutFailure, _ level: ConsistencyLevel) {
        switch failure {
        case .unavailable(let required, let alive, let up, let down):
            self = .unavailable(.write, level, required: required, alive: alive, up: up, down: down)
        case .timeout(let required, let acknowledged, let acked, let unknown, let version, let after):
            self = .timeout(
                .write, level, required: required, acknowledged: acknowledged, acked: acked, unknown: unknown,
                version: version, after: after)
        case .overloaded(let node, let limit): self = .overloaded(node: node, limit: StaticName(limit: limit))
        case .skew(let node, let ahead, let max):
            self = .skew(node: node, aheadMilliseconds: ahead, maxMilliseconds: max)
        case .siblings(let limit, let found, let max):
            self = .siblings(limit: StaticName(limit: limit), found: found, max: max)
        }
    }
}

extension StaticName {
    /// A limit that a peer names; one of a later version is not known here.
    fileprivate init(limit name: String) {
        let known: [StaticName] = [
            "storage", "sibling_puts", "siblings_max", "siblings_bytes", "clock_sample", "stamp_reservation",
            "hints_storing", "hint_bytes_max", "in_flight_max", "owners",
        ]
        self = known.first { $0.description == name } ?? "owner"
    }
}
