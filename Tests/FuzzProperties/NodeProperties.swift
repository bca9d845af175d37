import MartletBase
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// A node that hears anything from peers, clients and its disk keeps its invariants, says nothing that can't
/// be sent, and answers each client's request once and in time.
func checkNode(_ input: [UInt8]) throws(PropertyFailure) { _ = try runNode(input) }

/// What the node counted meanwhile: that an input leads where it is meant to.
package func runNode(_ input: [UInt8]) throws(PropertyFailure) -> NodeMetrics {
    var input = FuzzInput(input)
    let world = NodeWorld(isFormed: input.below(4) != 0)
    try world.tell(.start)
    if input.below(8) != 7 { try world.greetPeers() }
    while !input.isAtEnd, world.stopped == nil {
        if let event = world.event(&input) { try world.tell(event) }
        try world.settle()
    }
    try world.finish()
    return world.node.currentMetrics()
}

extension NodeWorld {
    /// What happens next; nil when it needs what isn't there.
    func event(_ input: inout FuzzInput) -> Event? {
        switch input.below(26) {
        case 0: return .datagram(from: ForgedPacket.address(input.below(8)), Blob(input.piece()))
        case 1, 2, 3:
            let from = ForgedPacket.address(input.below(8))
            return .datagram(from: from, ForgedPacket.packet(&input, rumour: fact))
        case 4, 5:
            let packet = ForgedPacket.packet(&input, rumour: fact)
            return said(&input, .gossip(packet))
        case 6: return .hello(LinkID(UInt64(input.below(6))), hello(&input))
        case 7, 8: return anyMessage(&input)
        case 9, 10: return said(&input, mergeRequest(&input))
        case 11: return said(&input, readRequest(&input))
        case 12, 13, 14: return answer(&input)
        case 15, 16, 17: return request(&input)
        case 18, 19: return completion(&input)
        case 20: return link(&input)
        case 21:
            let view = View(
                entries: (0..<input.below(4)).map { _ in entry(&input) },
                keyspaces: (0..<input.below(3)).map { _ in keyspace(&input) })
            if view.entries.isEmpty, !view.keyspaces.isEmpty {
                return said(&input, .define(DefineRequest(request: 1, definitions: view.keyspaces)))
            }
            return said(&input, .view(view))
        case 22: return input.below(2) == 0 ? rarity(&input) : ack(&input)
        case 23:
            pass(.milliseconds(Int64(input.u8()) * 4))
            return .timer
        case 24: return said(&input, scanRequest(&input))
        default: return answer(&input, of: .scan)
        }
    }

    private func ack(_ input: inout FuzzInput) -> Event? {
        let ahead = Interval.milliseconds(Int64(input.u8()) * 10 - 1_280)
        return answerToPing(at: input.below(16), ahead: input.below(2) == 0 ? .zero : ahead)
    }

    private func rarity(_ input: inout FuzzInput) -> Event? {
        let address = ForgedPacket.address(input.below(8))
        switch input.below(12) {
        case 4...8: return exchangeQuestion(&input)
        case 0: return .shutdown
        case 1:
            guard let reason = Farewell.Reason(rawValue: input.u8() % 8) else { return nil }
            return .refusedByPeer(address, Farewell(reason, "x"))
        case 2: return .storage(.failed("x"))
        default: return .streamFailed(address)
        }
    }

    /// From a peer whose hello was accepted.
    private func said(_ input: inout FuzzInput, _ message: Message) -> Event? {
        guard !links.isEmpty else { return nil }
        let (link, id) = links[input.below(links.count)]
        return .peer(link, id, time(&input), message)
    }

    func time(_ input: inout FuzzInput) -> HybridTime {
        let near = HybridTime(now.wall).bits &+ UInt64(input.u8()) << 14
        return HybridTime(bits: input.below(16) == 15 ? input.u64() : near)
    }

    private func hello(_ input: inout FuzzInput) -> Hello {
        let number = input.below(16)
        let id = NodeID(short: UInt64(number % 8), middle: number < 8 ? 0 : 1, low: 0)
        return Hello(
            cluster: ForgedPacket.cluster, id: id, name: "n\(1 + input.below(5))",
            folder: FolderAge(epoch: UInt64(input.below(4))))
    }

    /// Whatever its bytes decode to.
    private func anyMessage(_ input: inout FuzzInput) -> Event? {
        guard let kind = Message.Kind(rawValue: 1 + UInt8(input.below(16))) else { return nil }
        let body = Blob(input.piece())
        guard let message = try? Message(kind: kind, from: body.span) else { return nil }
        return said(&input, message)
    }

    func key(_ input: inout FuzzInput) -> Blob { Blob([UInt8(ascii: "a") + UInt8(input.below(4))]) }

    private func keyspaceID(_ input: inout FuzzInput) -> UInt32 {
        let number = input.below(8)
        return number < 6 ? 0 : UInt32(number - 5)
    }

    private func placement(_ input: inout FuzzInput, _ keyspace: UInt32, _ key: Blob) -> UInt64 {
        if input.below(8) == 7 { return input.u64() }
        return node.placement(keyspace: keyspace)?.placement.digest(of: Token(key: key).slot) ?? 0
    }

    private func stamp(_ input: inout FuzzInput) -> Stamp {
        let writer = Writer(node: UInt64(input.below(4)), boot: UInt32(input.below(2)), shard: 0)
        return Stamp(time: min(time(&input), .latest), writer: writer)
    }

    func record(_ input: inout FuzzInput) -> Blob {
        let stamp = stamp(&input)
        let other = input.below(4) == 3 ? self.stamp(&input) : stamp
        let expiry: Int64? = input.below(4) == 3 ? (1 + Int64(input.u16())) << Int64(input.below(47)) : nil
        let value: Register.Value =
            switch input.below(4) {
            case 0: .tombstone
            case 1: .dropped(hash: UInt64(input.u8()), length: Int(input.u8()))
            default: .present(Blob(input.piece()))
            }
        return Register(stamp: stamp, value: value, expiryStamp: other, expiry: expiry).encoded()
    }

    private func mergeRequest(_ input: inout FuzzInput) -> Message {
        let (keyspace, key) = (keyspaceID(&input), key(&input))
        return .merge(
            MergeRequest(
                request: UInt64(input.u8()), placement: placement(&input, keyspace, key), keyspace: keyspace,
                isFresh: input.below(2) == 0, key: key, record: record(&input)))
    }

    private func readRequest(_ input: inout FuzzInput) -> Message {
        let (keyspace, key) = (keyspaceID(&input), key(&input))
        return .read(
            ReadRequest(
                request: UInt64(input.u8()), placement: placement(&input, keyspace, key), keyspace: keyspace,
                wantsDigest: input.below(2) == 0, key: key))
    }

    private func scanRequest(_ input: inout FuzzInput) -> Message {
        let (keyspace, key) = (keyspaceID(&input), key(&input))
        let bounds = Token.bounds(of: Token(key: key).slot)
        var writer = ByteWriter()
        writer.u64(placement(&input, keyspace, key))
        writer.u16(Token(key: key).slot.index)
        let (lower, upper) = (bounds.lowerBound.value, bounds.upperBound.value)
        let first = input.below(8) == 7 ? min(max(input.u64(), lower), upper) : lower
        return .scan(
            ScanRequest(
                request: UInt64(input.u8()), placement: XXH3.hash(writer.bytes.span.bytes),
                keyspace: keyspace,
                first: first, last: upper, asOf: now.wall.milliseconds,
                wanted: input.below(2) == 0 ? .counts : .keys(atLeast: 1 + input.below(4))))
    }

    /// A peer's answer to a request that the node sent, right or wrong, once or more often.
    private func answer(_ input: inout FuzzInput, of kind: Asked.Kind? = nil) -> Event? {
        let asked = kind.map { kind in self.asked.indices.filter { self.asked[$0].request.kind == kind } }
        let count = asked?.count ?? self.asked.count
        guard count > 0 else { return nil }
        let chosen = count - 1 - input.below(min(count, 16))
        return answer(&input, asked?[chosen] ?? chosen)
    }

    private func answer(_ input: inout FuzzInput, _ index: Int) -> Event {
        let (id, request) = asked[index]
        if input.below(4) != 3 { asked.remove(at: index) }
        let number = input.below(16) == 15 ? input.u64() : request.number
        let refusal = ReplicaRefusal(rawValue: 1 + UInt8(input.below(4))) ?? .invalid
        let message: Message
        let kind: Asked.Kind = input.below(16) == 15 ? .read : request.kind
        switch kind {
        case .merge:
            let outcome: MergeAnswer.Outcome =
                switch input.below(5) {
                case 0: .refused(refusal)
                case 1: .dominated(stamp(&input))
                case 2: .closed(stamp(&input).time)
                default: .merged
                }
            message = .mergeAnswer(MergeAnswer(request: number, outcome: outcome))
        case .read:
            let outcome: ReadAnswer.Outcome =
                switch input.below(6) {
                case 0: .refused(refusal)
                case 1, 2: .record(record(&input))
                case 3: .digest(input.u64())
                case 4: .digest(0)
                default: .record(nil)
                }
            message = .readAnswer(ReadAnswer(request: number, outcome: outcome))
        case .scan: message = .scanAnswer(scanAnswer(&input, number, refusal, request.scan))
        case .exchange:
            message = .exchangeAnswer(
                ExchangeAnswer(request: number, outcome: exchangeOutcome(&input, request.question, refusal)))
        }
        return .peer(LinkID(100), id, time(&input), message)
    }

    private func scanAnswer(
        _ input: inout FuzzInput, _ number: UInt64, _ refusal: ReplicaRefusal, _ request: ScanRequest?
    ) -> ScanAnswer {
        let next = input.below(3) == 0 ? input.u64() : nil
        switch input.below(8) {
        case 4...:
            guard let request else { break }
            return ScanAnswer(request: number, outcome: nearlyTrue(&input, request))
        case 0: return ScanAnswer(request: number, outcome: .refused(refusal))
        case 1:
            let counts = (0..<input.below(4)).map { place in
                LeafCount(
                    leaf: UInt32(input.u16()) << 2 | UInt32(place), count: UInt64(input.u8()),
                    sum: UInt64(input.u8()))
            }
            return ScanAnswer(
                request: number, outcome: .counts(counts.sorted { $0.leaf < $1.leaf }, next: next))
        default: break
        }
        let keys = (0..<input.below(4)).map { _ in key(&input) }
        return ScanAnswer(
            request: number,
            outcome: .keys(keys.sorted { Token(key: $0) < Token(key: $1) }, next: next))
    }

    /// What a replica answers that holds what this node does, but for a key that it lacks or has besides.
    private func nearlyTrue(_ input: inout FuzzInput, _ request: ScanRequest) -> ScanAnswer.Outcome {
        var keys: [Blob] = []
        let lower = StorageKey.position(keyspace: request.keyspace, token: request.first)
        let upper = StorageKey.position(keyspace: request.keyspace, after: request.last)
        for (stored, record) in disk
        where stored.bytes >= lower && upper.map({ stored.bytes < $0 }) ?? true {
            guard let view = try? RegisterView(record.span),
                view.isLive(WallTime(milliseconds: request.asOf))
            else { continue }
            keys.append(Blob(copying: stored.key))
        }
        if input.below(2) == 1 {
            let key = key(&input)
            if let place = keys.firstIndex(of: key) { keys.remove(at: place) } else { keys.append(key) }
        }
        let range = request.first...request.last
        keys = keys.filter { range.contains(Token(key: $0).value) }
        keys.sort { (Token(key: $0), $0) < (Token(key: $1), $1) }
        if case .counts = request.wanted {
            var counts: [LeafCount] = []
            for key in keys {
                let leaf = Token(key: key).leaf.index
                if counts.last?.leaf != leaf { counts.append(LeafCount(leaf: leaf)) }
                counts[counts.count - 1].add(key.span)
            }
            return .counts(counts, next: nil)
        }
        // It may stop between two tokens.
        let isShort = keys.count > 1 && input.below(4) == 3
        return isShort ? .keys([keys[0]], next: Token(key: keys[1]).value) : .keys(keys, next: nil)
    }

    private func scan(_ input: inout FuzzInput) -> Scan {
        let bounds = [input.u64(), input.below(2) == 0 ? .max : input.u64()].map(Token.init(value:)).sorted()
        return Scan(bounds[0]...bounds[1], input.below(3) == 0 ? .count : .keys(about: Int(input.u8())))
    }

    private func request(_ input: inout FuzzInput) -> Event {
        let operation: ClientRequest.Operation
        switch input.below(8) {
        case 0: operation = .getLocal
        case 1, 2: operation = .get
        case 3: operation = .scan(scan(&input))
        default:
            let content: Put.Content =
                switch input.below(4) {
                case 0: .tombstone
                case 1: .expiry(of: record(&input), input.below(2) == 0 ? nil : 1 + Int64(input.u8()))
                default:
                    .value(Blob(input.piece()), expiry: input.below(2) == 0 ? nil : 1 + Int64(input.u8()))
                }
            let way = input.below(8)
            operation = .put(
                Put(
                    content, above: way == 6 ? stamp(&input) : nil, version: way == 7 ? stamp(&input) : nil))
        }
        tickets += 1
        unanswered.insert(tickets)
        let level = ConsistencyLevel(rawValue: UInt8(input.below(12)))
        return .client(
            ClientTicket(tickets),
            ClientRequest(
                keyspace: keyspaceID(&input), key: key(&input), operation: operation, level: level,
                timeout: input.below(2) == 0 ? nil : .milliseconds(1 + Int64(input.u8()))))
    }

    /// The disk's answer to something that was asked of it.
    private func completion(_ input: inout FuzzInput) -> Event? {
        let refusal: StorageRefusal =
            switch input.below(3) {
            case 0: .stalled
            case 1: .diskFull
            default: .readQueueFull
            }
        switch input.below(8) {
        case 0, 1, 2:
            guard let ticket = writes.last else { return nil }
            writes.removeAll()
            return .storage(.durable(through: ticket))
        case 3:
            guard !writes.isEmpty else { return nil }
            let ticket = writes.remove(at: input.below(min(writes.count, 256)))
            refuse(ticket)
            return .storage(.refused(ticket, refusal))
        case 4, 5:
            guard !reads.isEmpty else { return nil }
            let read = reads.remove(at: input.below(min(reads.count, 256)))
            switch read.wanted {
            case .record(let key):
                return .storage(.read(read.ticket, input.below(8) == 7 ? record(&input) : disk[key]))
            case .scan(let lower, let upper, let limit):
                return .storage(.scanned(read.ticket, page(from: lower, until: upper, limit)))
            case .hints(let lower, let upper, let limit):
                return .storage(.scanned(read.ticket, hintPage(from: lower, until: upper, limit)))
            case .digest(let query): return .storage(.digested(read.ticket, page(query)))
            case .collect(let keys):
                let records = keys.compactMap { key in
                    disk[key].map { StoredPair(key: key.bytes, value: $0) }
                }
                return .storage(.scanned(read.ticket, ScanPage(records: records, next: nil)))
            }
        case 6:
            guard !reads.isEmpty else { return nil }
            return .storage(
                .readRefused(reads.remove(at: input.below(min(reads.count, 256))).ticket, refusal))
        default:
            guard let reserved = reservation else { return nil }
            reservation = nil
            return .storage(.stampsReserved(ceiling: reserved))
        }
    }

    private func link(_ input: inout FuzzInput) -> Event? {
        guard !introduced.isEmpty else { return nil }
        let peer = PeerIndex(introduced[input.below(min(introduced.count, 256))].index)
        return input.below(2) == 0 ? .linkUp(peer) : .linkDown(peer)
    }

    // MARK: Facts

    /// A rumour's bytes: an entry, a definition, news of the founding, or anything.
    private func fact(_ input: inout FuzzInput) -> Blob {
        switch input.below(6) {
        case 0, 1: return entry(&input)
        case 2: return keyspace(&input)
        case 3: return founding(&input)
        case 4:
            var writer = ByteWriter()
            writer.u64(time(&input).bits)
            writer.u64(input.u64())
            return Blob(writer.bytes)
        default: return Blob(input.piece())
        }
    }

    private func founding(_ input: inout FuzzInput) -> Blob {
        var ids = (1...3).map(ForgedPacket.id)
        switch input.below(4) {
        case 0: ids = []
        case 1: ids[input.below(3)] = ForgedPacket.id(input.below(8))
        default: break
        }
        return Self.founding(list: input.below(4) == 3 ? 7 : list, at: UInt64(input.u8()), ids)
    }

    private func entry(_ input: inout FuzzInput) -> Blob {
        let number = input.below(16)
        let id = NodeID(short: UInt64(number % 8), middle: number < 8 ? 0 : 1, low: 0)
        let name = 1 + input.below(5)
        let tokens = Set((0..<input.below(4)).map { _ in Int(input.u16()) % Limits.slots }).sorted()
        var entry = RingEntry(
            id: id, incarnation: UInt64(input.u8()), name: "n\(name)",
            address: ForgedPacket.address(input.below(16) == 15 ? 9 : name).ip, ports: Self.ports,
            zone: "z\(input.below(3))", dataCenter: input.below(8) == 7 ? "other" : "default",
            tokens: tokens.map { Slot($0) }, state: NodeState(rawValue: UInt8(input.below(4))) ?? .normal,
            version: "1")
        if input.below(8) == 7, let kind = Verdict.Kind(rawValue: 1 + UInt8(input.below(3))) {
            entry.verdict = Verdict(kind: kind, stamp: UInt64(input.u8()), by: ForgedPacket.id(2))
        }
        return entry.encoded()
    }

    private func keyspace(_ input: inout FuzzInput) -> Blob {
        let replication: ReplicationFactor =
            input.below(4) == 3
            ? .perDataCenter([
                .init(name: "default", count: 2), .init(name: "other", count: 1 + input.below(3)),
            ])
            : .count(1 + input.below(5))
        let (id, name, stamp) = (UInt32(input.below(4)), "k\(input.below(3))", UInt64(input.u8()))
        var definition = KeyspaceDefinition(
            id: id, name: name, stamp: stamp, replication: replication,
            read: ConsistencyLevel(rawValue: 1 + UInt8(input.below(8))) ?? .one,
            write: ConsistencyLevel(rawValue: UInt8(input.below(9))) ?? .one,
            sloppyQuorum: input.below(2) == 1, ttl: Interval(nanoseconds: Int64(input.u64() >> 1)),
            isDropped: id > 0 && stamp & 3 == 3,
            truncation: stamp & 4 == 0 ? 0 : HybridTime(now.wall).bits + stamp)
        if input.below(4) == 3 {
            definition.copies.want(.count(1 + input.below(5)), at: 1 + UInt64(input.u8()))
            if input.below(3) == 2 { definition.copies.complete() }
        }
        return definition.encoded()
    }
}
