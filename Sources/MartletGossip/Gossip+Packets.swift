import MartletBase

/// Packets in and out, and the news that rides on them.
extension Gossip {
    /// How a packet came, and so how it is answered.
    enum Channel {
        case datagram(Address)
        case stream(UInt64)
    }

    // MARK: In

    mutating func receive(
        _ bytes: Blob, by channel: Channel, _ now: Now, _ effects: inout [GossipEffect]
    ) {
        if bytes.count > Limits.gossipStreamBytesMax {
            effects.append(.refused("too long"))
            return
        }
        // Taken out of `self` and put back, so that its arrays keep their room and aren't copied.
        var incoming = Packet()
        swap(&incoming, &packet)
        defer { swap(&incoming, &packet) }
        do {
            try incoming.decode(bytes.span, cluster: cluster)
        } catch {
            effects.append(.refused(Self.reason(error)))
            return
        }
        guard isAcceptable(incoming, by: channel, &effects) else { return }
        // A newcomer's first push-pull tells it what everybody else knows: no news.
        let peer = incoming.sender.id
        let isSync = !incoming.kind.goesByDatagram
        let isAlone = isSync && table.members.allSatisfy { $0.id == own.id || $0.id == peer }
        hear(incoming.sender, now, &effects)
        let source = isSync ? Source.sync(peer, spread: !isAlone) : Source.news
        for claim in incoming.claims { apply(claim, from: source, now, &effects) }
        for rumour in incoming.rumours { learn(rumour.key, rumour.bytes, of: bytes, &effects) }
        switch channel {
        case .datagram(let address): answer(incoming, from: address, now, &effects)
        case .stream(let link): answer(incoming, on: link, now, &effects)
        }
    }

    private func isAcceptable(
        _ incoming: borrowing Packet, by channel: Channel, _ effects: inout [GossipEffect]
    ) -> Bool {
        switch channel {
        case .datagram where incoming.kind.goesByDatagram, .stream where incoming.kind.goesByStream: break
        default:
            effects.append(.refused("kind"))
            return false
        }
        if incoming.sender.id == own.id {
            effects.append(.refused("own id"))
            if incoming.sender.address != own.address {
                effects.append(.report(.identityClash(incoming.sender.address)))
            }
            return false
        }
        if isForgotten(incoming.sender.id) {
            effects.append(.refused("forgotten"))
            return false
        }
        // An id that replaced ours or was replaced by ours at this address: not for us.
        if incoming.kind == .ping, incoming.target != own.id {
            effects.append(.refused("target"))
            return false
        }
        return true
    }

    private static func reason(_ error: WireError) -> StaticName {
        switch error {
        case .truncated: "truncated"
        case .tooLong(let what, _, _), .invalid(let what): what
        case .checksum: "checksum"
        case .trailing: "trailing"
        }
    }

    private mutating func answer(
        _ incoming: borrowing Packet, from address: Address, _ now: Now, _ effects: inout [GossipEffect]
    ) {
        switch incoming.kind {
        case .ping:
            var writer = begin(.ack)
            writer.u32(incoming.sequence)
            writer.u64(UInt64(clamping: now.wall.microseconds))
            send(writer, to: address, of: incoming.sender.id, &effects)
        case .ack: receiveAck(incoming, overStream: false, now, &effects)
        case .pingRequest: receivePingRequest(incoming, from: address, now, &effects)
        case .relayedAck: receiveRelayedAck(incoming.sequence, &effects)
        case .nack: receiveNack(incoming.sequence)
        case .gossip, .syncAsk, .syncEqual, .syncLists, .syncFacts: break
        }
    }

    private mutating func answer(
        _ incoming: borrowing Packet, on link: UInt64, _ now: Now, _ effects: inout [GossipEffect]
    ) {
        switch incoming.kind {
        case .ping:
            var writer = begin(.ack)
            writer.u32(incoming.sequence)
            writer.u64(UInt64(clamping: now.wall.microseconds))
            addNote(to: &writer, for: incoming.sender.id)
            effects.append(.respond(link: link, PacketCodec.seal(writer)))
        case .ack: receiveAck(incoming, overStream: true, now, &effects)
        case .syncAsk: receiveSyncAsk(incoming.root, on: link, &effects)
        case .syncLists: receiveSyncLists(incoming, on: link, &effects)
        case .syncFacts: receiveSyncFacts(incoming, on: link, &effects)
        case .syncEqual, .pingRequest, .relayedAck, .nack, .gossip: break
        }
    }

    // MARK: Out

    func begin(_ kind: PacketKind) -> ByteWriter {
        PacketCodec.begin(
            kind, prefix: prefix, capacity: news.isEmpty ? prefix.count + 64 : settings.packetBytesMax)
    }

    mutating func sendPing(
        _ sequence: UInt32, to id: NodeID, at address: Address, _ now: Now, _ effects: inout [GossipEffect]
    ) {
        var writer = begin(.ping)
        writer.u32(sequence)
        id.write(to: &writer)
        writer.u64(UInt64(clamping: now.wall.microseconds))
        send(writer, to: address, of: id, &effects)
    }

    mutating func send(_ writer: consuming ByteWriter, to member: Member, _ effects: inout [GossipEffect]) {
        send(writer, to: member.address, of: member.id, &effects)
    }

    /// Fills the rest of a datagram with news, and sends it.
    mutating func send(
        _ writer: consuming ByteWriter, to address: Address, of id: NodeID,
        _ effects: inout [GossipEffect]
    ) {
        var writer = writer
        let hasNote = addNote(to: &writer, for: id)
        if !news.isEmpty { addNews(to: &writer, noted: hasNote ? id : nil, &effects) }
        invariant(writer.count <= settings.packetBytesMax, "a datagram over packetBytesMax")
        effects.append(.datagram(to: address, PacketCodec.seal(writer)))
    }

    /// Tells an accused member what is said of it (Lifeguard's buddy system), whatever the news is.
    @discardableResult
    mutating func addNote(to writer: inout ByteWriter, for id: NodeID) -> Bool {
        guard let index = table.index(of: id), table[index].liveness != .up else { return false }
        writer.claim(table[index], accusers: accusers(of: table[index]))
        return true
    }

    func accusers(of member: Member) -> [UInt64] {
        if member.liveness != .suspect { return [] }
        guard let suspicion = suspicions.first(where: { $0.id == member.id }) else {
            invariantBroken("every suspect has a suspicion")
        }
        return suspicion.accusers
    }

    private mutating func addNews(
        to writer: inout ByteWriter, noted: NodeID?, _ effects: inout [GossipEffect]
    ) {
        subjects.removeAll(keepingCapacity: true)
        let budget = settings.packetBytesMax - writer.count
        news.take(budget: budget, transmitsMax: transmitsMax, into: &subjects)
        for subject in subjects {
            switch subject {
            case .member(let id):
                if id == noted { continue }
                guard let index = table.index(of: id) else { invariantBroken("news is of members") }
                writer.claim(table[index], accusers: accusers(of: table[index]))
            case .rumour(let key):
                guard let rumour = store[key] else { invariantBroken("news is of facts that are held") }
                writer.rumour(key, rumour.bytes)
            }
        }
        noteGoodbye(&effects)
    }

    /// How often each member passes on a piece of news: so often that with n members each passing it on to
    /// random others, hardly anybody misses it (SWIM, 4.1).
    private var transmitsMax: Int {
        let members = UInt(table.presentCount)
        return settings.retransmitMultiplier * (UInt.bitWidth - members.leadingZeroBitCount)
    }

    // MARK: Rounds of news

    mutating func gossip(at now: Instant, _ effects: inout [GossipEffect]) {
        lastGossip = now
        for index in randomPeers(settings.gossipFanout, upOnly: false) where !news.isEmpty {
            send(begin(.gossip), to: table[index], &effects)
        }
    }

    /// Says once that our goodbye has been spread, or that there is nobody to say it to.
    mutating func noteGoodbye(_ effects: inout [GossipEffect]) {
        guard own.liveness == .left, !goodbyeIsSpread else { return }
        if peersPresent > 0, news.entries.contains(where: { $0.subject == .member(own.id) }) { return }
        goodbyeIsSpread = true
        effects.append(.report(.goodbyeSpread))
    }

    // MARK: Rumours

    mutating func publish(
        _ key: RumourKey, _ bytes: Blob, at now: Instant, _ effects: inout [GossipEffect]
    ) {
        invariant(bytes.count <= Limits.rumourBytesMax, "a fact of \(bytes.count) bytes is too large")
        switch store.store(key, bytes) {
        case .same: break
        case .full: effects.append(.report(.rumoursFull(key)))
        case .stored:
            let size = PacketCodec.rumourBytes(bytes.count)
            if size <= settings.packetBytesMax - PacketCodec.overheadBytesMax {
                news.offer(.rumour(key), bytes: size)
            } else {
                news.withdraw(.rumour(key))
                hurryPushPull(at: now)
            }
        }
    }

    private mutating func learn(
        _ key: RumourKey, _ range: Range<Int>, of packet: Blob, _ effects: inout [GossipEffect]
    ) {
        let span = packet.span.extracting(range)
        if let held = store[key], held.hash == XXH3.hash(span) { return }
        effects.append(.rumour(key, Blob(copying: span)))
    }
}
