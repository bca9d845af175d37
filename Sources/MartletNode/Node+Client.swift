import MartletBase
import MartletRing
import MartletStorage
import MartletVersions

/// Admission: what can be refused before anything is sent is refused here.
extension Node {
    mutating func clientAsked(_ ticket: ClientTicket, _ request: ClientRequest) {
        guard life == .running else {
            effects.append(.reply(ticket, .failed(.stopping)))
            return
        }
        guard formation.isFormed else {
            metrics.loadingRefused += 1
            effects.append(.reply(ticket, .failed(.loading(waits: formation.waits))))
            return
        }
        guard !handover.hasLeft else {
            effects.append(.reply(ticket, .failed(.stopping)))
            return
        }
        guard isMember else {
            metrics.loadingRefused += 1
            effects.append(.reply(ticket, .failed(.loading(waits: [configuration.name]))))
            return
        }
        guard inFlight < configuration.inFlightMax else {
            refuseOverload(ticket, "in_flight_max")
            return
        }
        if case .change(let change) = request.operation {
            let timeout = request.timeout ?? configuration.requestTimeout
            changeKeyspaces(ticket, change, level: request.level, until: now.monotonic + timeout)
            return
        }
        if case .ring(let act) = request.operation {
            ringActAsked(ticket, act)
            return
        }
        guard let index = keyspaces.index(of: request.keyspace) else {
            effects.append(.reply(ticket, .failed(.noSuchKeyspace(request.keyspace))))
            return
        }
        if case .scan(let scan) = request.operation {
            startScan(ticket, request, scan, index)
            return
        }
        invariant(
            request.key.count <= configuration.keyBytesMax,
            "the shell let a key of \(request.key.count) bytes through")
        let token = Token(key: request.key)
        guard let replicas = keyspaces.replicas(index, of: token.slot) else {
            effects.append(.reply(ticket, .failed(.loading(waits: formation.waits))))
            return
        }
        switch request.operation {
        case .getLocal: getLocal(ticket, request, token)
        case .get: startRead(.client(ticket), request, index, token, replicas)
        case .put(let put):
            let keepsSiblings = keyspaces[index].definition.conflict == .siblings
            let level = request.level ?? keyspaces[index].definition.write
            if keepsSiblings, !isFitToCoordinate(replicas, level) {
                metrics.writes += 1
                forwardPut(ticket, request, put, level, token, replicas)
            } else {
                startWrite(.client(ticket), request, put, index, token, replicas)
            }
        case .scan, .change, .ring: invariantBroken("neither a scan nor a change has a key")
        }
    }

    mutating func refuseOverload(_ ticket: ClientTicket, _ limit: StaticName) {
        metrics.overloaded += 1
        effects.append(.reply(ticket, .failed(.overloaded(node: configuration.name, limit: limit))))
    }

    /// This node's own copy: a read with itself as the only replica, whoever owns the key.
    private mutating func getLocal(_ ticket: ClientTicket, _ request: ClientRequest, _ token: Token) {
        metrics.reads += 1
        let deadline = now.monotonic + (request.timeout ?? configuration.requestTimeout)
        var read = ReadOperation(
            asker: .client(ticket), keyspace: request.keyspace, level: .one, key: request.key, token: token,
            began: now.monotonic, deadline: deadline,
            replicas: .itself, requirement: ReplicaSet.itself.requirement(.one))
        read.asked = .only(0)
        let (index, generation) = reads.insert(read)
        let number = RequestNumber(kind: .read, attempt: 0, generation: generation, index: index)
        addDeadline(Deadline(number: number, purpose: .expire), at: deadline)
        replicaRead(
            .own(number, place: 0), keyspace: request.keyspace, token: token, key: request.key,
            wantsDigest: false)
    }

    /// The places whose nodes can be asked now.
    func reachable(_ replicas: ReplicaSet) -> Places {
        var places = Places.none
        for (place, peer) in replicas.peers.enumerated() where peers.isReachable(peer) {
            places.insert(place)
        }
        return places
    }

    /// Of these, those that answer reads.
    func readable(_ replicas: ReplicaSet) -> Places {
        var places = Places.none
        for (place, peer) in replicas.peers.enumerated()
        where peers.isReadable(peer) {
            places.insert(place)
        }
        return places
    }

    /// Why too few can be reached. A node that has just started can't know yet who is there: until the others
    /// have had their time (`Vouching`) it says that it loads, and clients ask again by themselves.
    func unavailable(
        _ kind: OperationKind, _ level: ConsistencyLevel, _ replicas: ReplicaSet, _ requirement: Requirement,
        reachable: Places
    ) -> RequestFailure {
        if vouching != nil { return .loading(waits: unheard) }
        let scope = requirement.scope
        return .unavailable(
            kind, level, required: requirement.required, alive: requirement.counted(reachable),
            up: names(replicas, scope.intersection(reachable)),
            down: names(replicas, scope.subtracting(reachable)))
    }

    /// Owners that haven't accepted this node's hello since it started.
    private var unheard: [String] {
        ring.standing.filter { entry in
            entry.id != configuration.id && peers.index(of: entry.id).map { !peers[$0].hasVouched } ?? true
        }.map(\.name).sorted()
    }

    func names(_ replicas: ReplicaSet, _ places: Places) -> [String] {
        var names: [String] = []
        places.forEach { names.append(peers[replicas.peers[$0]].name) }
        return names.sorted()
    }
}
