import MartletBase
import MartletGossip
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// Gossip's glue: what it spreads are ring entries, keyspace definitions, founding news and ring digests;
/// what it finds out is who is alive. Who owns what never follows from a failure.
extension Node {
    /// Kinds of rumours. Numbers are never reused.
    enum Rumour: UInt8 {
        case entry = 1
        case keyspace = 2
        case founding = 3
        case ringDigest = 4

        func key(_ id: NodeID) -> RumourKey { RumourKey(kind: rawValue, id: id) }
        static func key(keyspace: UInt32) -> RumourKey {
            RumourKey(kind: Rumour.keyspace.rawValue, id: NodeID(short: UInt64(keyspace), middle: 0, low: 0))
        }
    }

    // MARK: Events to gossip, effects from it

    mutating func tellGossip(_ event: GossipEvent) {
        gossip.handle(event, now: now, into: &gossipEffects)
        // Carrying out an effect may tell gossip more, which appends further effects.
        var done = 0
        while done < gossipEffects.count {
            let effect = gossipEffects[done]
            done += 1
            carryOut(effect)
        }
        gossipEffects.removeAll(keepingCapacity: true)
    }

    mutating func publish(_ key: RumourKey, _ bytes: Blob) {
        gossip.handle(.publish(key, bytes), now: now, into: &gossipEffects)
    }

    private mutating func carryOut(_ effect: GossipEffect) {
        switch effect {
        case .datagram(let to, let bytes): effects.append(.datagram(to, bytes))
        case .stream(let to, let bytes): effects.append(.stream(to, bytes))
        case .respond(let link, let bytes): effects.append(.respond(LinkID(link), .gossip(bytes)))
        case .liveness(let member, _): livenessChanged(member)
        case .rumour(let key, let bytes): rumourCame(key, bytes)
        case .clockSample(let id, let offset, let roundTrip):
            if let peer = peers.index(of: id) {
                peers.noteRoundTrip(peer, roundTrip, now: now.monotonic)
                skew.sample(peer, offset: offset, now: now)
                judgeClock()
                if hasUnjudgedWrites { stampParkedWrites() }
            }
        case .refused(let what):
            metrics.gossipRefused += 1
            effects.append(.report(.badPeerBytes(what)))
        case .report(let fact): reportGossip(fact)
        }
    }

    private mutating func reportGossip(_ fact: GossipReport) {
        func name(_ id: NodeID) -> String { peers.index(of: id).map { peers[$0].name } ?? id.description }
        let text: String
        switch fact {
        case .refuted(let incarnation, let accused):
            text = "was called \(accused), refuted it with incarnation \(incarnation)"
        case .localHealth(let score): text = "local health is \(score), 0 is best"
        case .probeFailed(let id, let nacks, let helpers):
            text = "\(name(id)) answered no probe; \(nacks) of \(helpers) helpers had tried"
        case .suspicionConfirmed(let id, let confirmations):
            text = "\(name(id)) is suspected by \(confirmations) more"
        case .declaredDown(let id, let after, let confirmations):
            text = "\(name(id)) is down after \(after.milliseconds) ms, \(confirmations) confirmations"
        case .datagramsLost(let id):
            text = "\(name(id)) answers over TCP, but not to datagrams: is UDP blocked?"
        case .addressClash(let id, let other, let address):
            effects.append(
                .report(.identityConflict("\(name(id)) and \(name(other)) are both said to be at \(address)"))
            )
            return
        case .identityClash(let address):
            effects.append(
                .report(
                    .identityConflict("a node at \(address) uses this node's id: is the data folder a copy?"))
            )
            return
        case .stalled(let time): text = "was not run for \(time.milliseconds) ms"
        case .joinWaiting(let attempts):
            // Founders say whom they wait for.
            if formation.isJoiner, !formation.isFormed {
                effects.append(.report(.seedsSilent(attempts: attempts)))
                return
            }
            text = "reached no other node in \(attempts) attempts"
        case .synchronised(let id): text = "exchanged what differed with \(name(id))"
        case .evicted(let id): text = "forgot \(name(id)), because the table of members is full"
        case .rumoursFull(let key): text = "no room for the fact \(key.kind) of \(name(key.id))"
        case .goodbyeSpread:
            hasSaidGoodbye = true
            text = "said goodbye"
        }
        effects.append(.report(.gossip(text)))
    }

    // MARK: Liveness

    private mutating func livenessChanged(_ member: Member) {
        guard member.id != configuration.id else { return }
        // A stranger to the ring is gossip's business alone. It may be the ghost of a refused data folder, at
        // the address of a node of the ring: dialled there, it would take that node's connection away.
        guard !formation.isFormed || ring[member.id] != nil else { return }
        let index: PeerIndex
        if let known = peers.index(of: member.id) {
            index = known
            if peers[index].address != member.address {
                peers[index].address = member.address
                effects.append(.introduce(index, member.id, member.address))
            }
        } else {
            let name = ring[member.id]?.name ?? founderName(at: member.address) ?? member.id.description
            guard
                let added = peers.addStranger(
                    member.id, name: name, address: member.address, liveness: member.liveness)
            else {
                effects.append(.report(.identityConflict("no room or a like id for \(member.id)")))
                return
            }
            index = added
            effects.append(.introduce(index, member.id, member.address))
        }
        let was = peers[index].liveness
        peers.setLiveness(index, member.liveness)
        let name = peers[index].name
        switch member.liveness {
        case .up:
            peers[index].downSince = nil
            if peers[index].link == .down { peers.setLink(index, .untried) }
            effects.append(.report(.peerUp(name: name)))
            hastenJudgement(by: index)
            hastenReplay(to: index)
            hastenExchanges(with: index)
        case .suspect: effects.append(.report(.peerSuspect(name: name)))
        case .down:
            peers[index].downSince = now.monotonic
            effects.append(.report(.peerDown(name: name, after: nil)))
            if was != .down { forgetAnswers(of: index) }
            forgetDefinitions(of: index)
        case .left:
            peers[index].downSince = now.monotonic
            effects.append(.report(.peerLeft(name: name)))
            forgetAnswers(of: index)
            forgetDefinitions(of: index)
        }
    }

    private func founderName(at address: Address) -> String? {
        configuration.founders.first { $0.address == address }?.name
    }

    // MARK: Rumours

    private mutating func rumourCame(_ key: RumourKey, _ bytes: Blob) {
        guard let kind = Rumour(rawValue: key.kind) else { return }
        do {
            var reader = ByteReader(bytes.span)
            switch kind {
            case .entry: entryCame(try RingEntry(from: &reader))
            case .keyspace: keyspaceCame(try KeyspaceDefinition(from: &reader))
            case .founding:
                let rumour = try FoundingRumour(from: bytes)
                if key.id != configuration.id, let joined = formation.hear(rumour, from: key.id) {
                    publish(key, joined.encoded())
                    tryToForm()
                }
            case .ringDigest: ringDigestCame(key.id, try RingDigest(from: &reader), bytes)
            }
        } catch {
            metrics.badPeerBytes += 1
            effects.append(.report(.badPeerBytes("rumour")))
        }
    }

    /// A ring entry heard from a peer, by gossip or in a view.
    mutating func entryCame(_ entry: RingEntry) {
        if entry.id == configuration.id {
            ownEntryCame(entry)
            return
        }
        guard entry.id.short != configuration.id.short else {
            effects.append(.report(.identityConflict("\(entry.id) begins like this node's own id")))
            return
        }
        if let peer = peers.index(of: entry.id) { peers[peer].name = entry.name }
        guard formation.isFormed else {
            // What is passed on is the join, or two nodes that hold different entries would swap them for
            // ever.
            if let joined = formation.hear(entry) { publishEntry(joined) }
            tryToForm()
            return
        }
        guard let known = ring[entry.id] else {
            // A founder whose entry this node's folder lost; or a node that was let in, or others wouldn't
            // speak of it. Founders that aren't of this ring never asked to join.
            let isOfRing = formation.ids.contains(entry.id) || entry.joined > 0 && !entry.tokens.isEmpty
            if isOfRing {
                if (try? ring.merge(entry)) == true { ringChanged(entry.id) }
            } else if formation.isFounder(name: entry.name) {
                effects.append(.report(.identityConflict("\(entry.id) claims the name \(entry.name)")))
            }
            return
        }
        let takesAny =
            configuration.planted == .acceptStaleIncarnation
            || configuration.planted == .reuseRemovedID && known.verdict?.kind == .removed
        if takesAny, entry != known {
            let others = ring.entries.filter { $0.id != entry.id }
            if let older = try? Ring(others + [entry]) { ring = older }
            ringChanged(entry.id)
        } else if (try? ring.merge(entry)) == true {
            ringChanged(entry.id)
        }
    }

    /// What others hold of our own entry: a verdict; or more than we say ourselves, and then an earlier life
    /// said it.
    mutating func ownEntryCame(_ entry: RingEntry) {
        guard let own = ring[configuration.id] ?? formation.entry(configuration.id, named: configuration.name)
        else {
            // This node was let in, or was in the ring before it lost its folder.
            if formation.isFormed {
                if (try? ring.merge(entry)) == true { ringChanged(entry.id) }
            } else if let joined = formation.hear(entry) {
                publishEntry(joined)
                tryToForm()
            }
            return
        }
        var merged = own
        guard merged.merge(entry) else { return }
        var isOnlyVerdict = merged
        isOnlyVerdict.verdict = own.verdict
        isOnlyVerdict.done = own.done
        if isOnlyVerdict != own {
            let incarnation = merged.incarnation + 1
            guard incarnation < Limits.entryIncarnationMax else { return }
            merged = ownEntry(like: merged, incarnation: incarnation)
        }
        if formation.isFormed {
            if (try? ring.merge(merged)) == true { ringChanged(own.id) }
        } else if let joined = formation.hear(merged) {
            publishEntry(joined)
        }
    }

    private mutating func publishEntry(_ entry: RingEntry) {
        publish(Rumour.entry.key(entry.id), entry.encoded())
    }

    /// This node is in another state than its entry says.
    mutating func publishOwnState() {
        guard let own = ring[configuration.id] else { return }
        let entry = ownEntry(like: own, incarnation: own.incarnation + 1)
        if (try? ring.merge(entry)) == true { ringChanged(own.id) }
    }

    /// An entry of the ring is new or has changed: remember it, spread it, and place the slots anew.
    mutating func ringChanged(_ id: NodeID) {
        guard let entry = ring[id] else { return }
        putMeta(MetaMemory.entryKey(id), handover.stored(entry).encoded())
        publishEntry(entry)
        leaveIfRemoved()
        guard life != .stopped else { return }
        if let peer = peers.index(of: id) { peers[peer].name = entry.name }
        placeSlots()
        // What gossip knew of it while it was a stranger to the ring.
        if let member = gossip.member(id), peers.index(of: id).map({ peers[$0].liveness }) != member.liveness
        {
            livenessChanged(member)
        }
        publishRingDigest()
        // Whom it replaces is gone with the same step.
        if entry.isPlaced, let replaced = entry.replaces, let gone = ring[replaced] {
            putMeta(MetaMemory.entryKey(replaced), gone.encoded())
            publishEntry(gone)
        }
        // What it wanted it has.
        if id == configuration.id, ownEntry(like: entry, incarnation: entry.incarnation) != entry {
            publishOwnState()
        }
    }

    /// What a member's ring is. The newer one is kept, or two nodes that hold different ones would swap them
    /// for ever.
    private mutating func ringDigestCame(_ id: NodeID, _ digest: RingDigest, _ bytes: Blob) {
        if id == configuration.id {
            // Of an earlier life, under a clock that was ahead. Another one of the same time is one as well:
            // both lives counted on from what came back to them.
            if digest.at >= ringDigestAt { publishRingDigest(above: digest.at) }
            return
        }
        if let known = ringDigests[id] {
            guard digest.at > known.at else { return }
        } else if ringDigests.count >= Limits.rumoursMax {
            return
        }
        ringDigests[id] = digest
        publish(Rumour.ringDigest.key(id), bytes)
    }

    mutating func publishRingDigest(above floor: UInt64 = 0) {
        ringDigestAt = max(max(floor, ringDigestAt) &+ 1, hybridTime.bits)
        let digest = RingDigest(at: ringDigestAt, digest: ring.digest)
        publish(Rumour.ringDigest.key(configuration.id), digest.encoded())
    }

    // MARK: Views

    /// Sends what this node knows of the ring, before the answer that says `stalePlacement`.
    mutating func showView(to peer: PeerIndex, over link: LinkID, _ keyspace: UInt32, _ slot: Slot) {
        showRing(to: peer, over: link)
        if let news = floorNews(keyspace, slot) { effects.append(.respond(link, .floor(news))) }
    }

    /// The same where many slots are concerned.
    mutating func showView(
        to peer: PeerIndex, over link: LinkID, _ keyspace: UInt32, in slots: SlotSpan
    ) {
        showRing(to: peer, over: link)
        for news in floorNews(keyspace, in: slots) { effects.append(.respond(link, .floor(news))) }
    }

    private mutating func showRing(to peer: PeerIndex, over link: LinkID) {
        effects.append(.respond(link, .view(view())))
        effects.append(.report(.placementDiffers(peer: peers[peer].name)))
    }

    func view() -> View {
        View(
            entries: ring.entries.map { $0.encoded() },
            keyspaces: keyspaces.told.map { $0.encoded() })
    }

    /// A replica's view, which came because its placement differs from ours: merge it, and show ours, so that
    /// the retry finds both alike.
    mutating func viewCame(_ peer: PeerIndex, _ view: View) {
        do {
            for bytes in view.entries {
                var reader = ByteReader(bytes.span)
                entryCame(try RingEntry(from: &reader))
            }
            for bytes in view.keyspaces {
                var reader = ByteReader(bytes.span)
                keyspaceCame(try KeyspaceDefinition(from: &reader))
            }
        } catch {
            metrics.badPeerBytes += 1
            effects.append(.report(.badPeerBytes("view")))
        }
        flushGossip()
        peers[peer].hasShownView = true
        rebuilding?.tickAt = now.monotonic
        let digest = ring.digest ^ keyspaces.digest
        if formation.isFormed, peers[peer].viewSent != digest {
            peers[peer].viewSent = digest
            effects.append(.send(peer, .view(self.view())))
        }
    }

    /// Carries out what telling gossip outside `tellGossip` has left.
    mutating func flushGossip() {
        var done = 0
        while done < gossipEffects.count {
            let effect = gossipEffects[done]
            done += 1
            carryOut(effect)
        }
        gossipEffects.removeAll(keepingCapacity: true)
    }

    // MARK: Forming

    /// This node's part of an entry, as it is now. Where it is and which slots it takes stay as they are: a
    /// change of these is a change of owners.
    private func ownEntry(like known: RingEntry, incarnation: UInt64) -> RingEntry {
        var entry = known
        entry.incarnation = incarnation
        entry.name = configuration.name
        entry.address = configuration.address
        entry.ports = configuration.ports
        entry.version = configuration.version
        if !known.isJoining { entry.state = rebuilding == nil ? .normal : .rebuilding }
        entry.own = known.position
        if known.hasMoved { entry.next = nil }
        return entry
    }

    /// Takes up what the data folder remembers.
    mutating func recover(_ memory: MetaMemory) {
        recoverKeyspaces(memory)
        recoverMarks(memory)
        handover.ballot = memory.ballot
        handover.erasures = memory.erasures
        handover.isErased = memory.erasures.isEmpty
        guard formation.isFormed else { return }
        for entry in memory.entries {
            _ = try? ring.merge(entry)
        }
        if let own = ring[configuration.id] {
            // A restart that changes nothing leaves the ring, and its digest, as they were.
            let isSame = ownEntry(like: own, incarnation: own.incarnation) == own
            if !isSame { _ = try? ring.merge(ownEntry(like: own, incarnation: own.incarnation + 1)) }
        }
        placeSlots()
    }

    /// Tells gossip what this node has to say at its start.
    mutating func publishOwn() {
        for definition in keyspaces.told { publishKeyspace(definition.id) }
        if formation.isFormed {
            for entry in ring.entries { publishEntry(entry) }
            if let own = ring[configuration.id] { putMeta(MetaMemory.entryKey(own.id), own.encoded()) }
            publishRingDigest()
        } else if let position = configuration.founders.firstIndex(where: { $0.name == configuration.name }) {
            let tokens = TokenChoice.founding(
                nodes: configuration.founders.map {
                    (name: $0.name, zone: $0.zone, dataCenter: $0.dataCenter)
                },
                tokensPerNode: configuration.tokensPerNode, replication: foundingReplication)
            // Of a folder that was lost others know better where its node is, whatever the file says now.
            let own = RingEntry(
                id: configuration.id, incarnation: rebuilding == nil ? 1 : 0, name: configuration.name,
                address: configuration.address, ports: configuration.ports, zone: configuration.zone,
                dataCenter: configuration.dataCenter, tokens: tokens[position],
                state: rebuilding == nil ? .normal : .rebuilding, version: configuration.version)
            if let joined = formation.hear(own) { publishEntry(joined) }
        }
        guard !formation.isJoiner || formation.isFormed else {
            // It founds nothing.
            flushGossip()
            return
        }
        if formation.isFormed {
            sayFormed()
        } else {
            say(FoundingRumour(list: formation.list, at: hybridTime))
        }
        flushGossip()
    }

    private mutating func sayFormed() {
        say(FoundingRumour(list: formation.list, formedOf: []))
        say(FoundingRumour(list: formation.list, formedOf: formation.ids))
    }

    private mutating func say(_ founding: FoundingRumour) {
        let key = founding.key(saidBy: configuration.id)
        _ = formation.hear(founding, from: key)
        publish(Rumour.founding.key(key), founding.encoded())
    }

    /// The number of copies that the founding tokens are balanced for: the first keyspace's.
    var foundingReplication: ReplicationFactor {
        keyspaces.all.first?.definition.replication ?? .count(1)
    }

    mutating func tryToForm() {
        guard !formation.isFormed, life == .running else { return }
        switch formation.verdict(own: configuration.id, named: configuration.name) {
        case .waiting:
            // Once for each founder that is heard, so that a log shows what the node waits for.
            if formation.waits != waitsTold, !formation.waits.isEmpty {
                waitsTold = formation.waits
                effects.append(.report(.ringForming(waits: waitsTold)))
            }
            if configuration.planted == .serveWhileForming { formAlone() }
        case .conflict(let text): effects.append(.report(.foundingConflict(text)))
        case .replaced(let id):
            // Whoever is asked says so too, and what this folder must become (`turnedAway`).
            effects.append(.report(.foundingConflict("the ring knows \(configuration.name) as \(id)")))
        case .formed(let ids): form(ids)
        }
    }

    private mutating func form(_ ids: [NodeID]) {
        for entry in formation.entries(of: ids) {
            do {
                _ = try ring.merge(entry)
            } catch {
                effects.append(.report(.identityConflict("\(error)")))
            }
            if let peer = peers.index(of: entry.id) { peers[peer].name = entry.name }
        }
        formation.form(ids)
        for entry in ring.entries { putMeta(MetaMemory.entryKey(entry.id), entry.encoded()) }
        putMeta(MetaMemory.formedKey, FoundingRumour(list: formation.list, formedOf: ids).encoded())
        sayFormed()
        leaveIfRemoved()
        guard life != .stopped else { return }
        if let own = ring[configuration.id] {
            // Of a node that lost its folder this is what the others remember.
            let isSame = ownEntry(like: own, incarnation: own.incarnation) == own
            if !isSame { _ = try? ring.merge(ownEntry(like: own, incarnation: own.incarnation + 1)) }
            putMeta(MetaMemory.entryKey(own.id), ring[own.id]?.encoded() ?? own.encoded())
            publishEntry(ring[own.id] ?? own)
        }
        placeSlots()
        publishRingDigest()
        handover.tick(by: now.monotonic)
        // Among the strangers that were met before may be the ghost of a folder that was lost, at the address
        // of a node of the ring: it must not keep that node's connection.
        for entry in ring.entries where entry.id != configuration.id {
            guard let peer = peers.index(of: entry.id) else { continue }
            effects.append(.introduce(peer, entry.id, peers[peer].address))
        }
        // A node that forms with the others now has served nothing that its folder could lack.
        endVouching()
        effects.append(.report(.ringFormed(digest: ring.digest, nodes: ring.entries.count)))
    }

    /// The planted bug: a ring of one's own, before the others were heard.
    private mutating func formAlone() {
        guard let own = formation.entry(configuration.id, named: configuration.name) else { return }
        _ = try? ring.merge(own)
        formation.form([configuration.id])
        placeSlots()
    }
}
