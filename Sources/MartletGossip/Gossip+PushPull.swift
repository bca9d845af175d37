import MartletBase

/// Joining, and comparing everything with one member over TCP.
///
///     A: syncAsk(root)             B: syncEqual, if its root is the same; else
///                                  B: syncLists(members, key and hash of each fact)
///     A: syncFacts(members that B holds otherwise, facts that B lacks or holds otherwise, wishes)
///                                  B: syncFacts(the facts wished for), if any were
///
/// The root is one digest of all that a member holds, so that two members that agree exchange some 200 bytes.
/// Neither side keeps any state between the steps; a step that is lost or comes twice does no harm.
extension Gossip {
    // MARK: When, and with whom

    mutating func join(_ seeds: [Address], at now: Instant) {
        self.seeds = []
        for seed in seeds where seed != own.address && !self.seeds.contains(seed) {
            if self.seeds.count < Limits.gossipSeedsMax { self.seeds.append(seed) }
        }
        joinAttempts = 0
        nextJoin = self.seeds.isEmpty || own.liveness == .left ? .distantFuture : now
    }

    /// Asks a few seeds; again later, unless somebody is known by then.
    mutating func attemptJoin(at now: Instant, _ effects: inout [GossipEffect]) {
        if peersPresent > 0, joinAttempts > 0 {
            nextJoin = .distantFuture
            return
        }
        if joinAttempts > 0 { effects.append(.report(.joinWaiting(attempts: joinAttempts))) }
        random.shuffle(&seeds)
        for seed in seeds.prefix(Self.seedsAskedAtOnce) { askForSync(seed, &effects) }
        let doublings = min(joinAttempts, 20)
        let backoff = min(settings.joinBackoffMin * Int64(1 << doublings), settings.joinBackoffMax)
        nextJoin = now + random.within(backoff / 2...backoff)
        joinAttempts += 1
    }

    private static let seedsAskedAtOnce = 3

    /// The seeds at whose addresses no member is. Members that started while others were out of reach may
    /// know one another alone, and nothing else would ever bring them together with the rest.
    var strangers: [Address] {
        let known = Set(table.members.map(\.address))
        return seeds.filter { !known.contains($0) }
    }

    mutating func pushPull(at now: Instant, _ effects: inout [GossipEffect]) {
        if hurriedPushPulls > 0 {
            hurriedPushPulls -= 1
            nextPushPull = now + settings.probeInterval
        } else {
            nextPushPull = now + settings.pushPullInterval
        }
        lastPushPullTarget = nil
        if let index = randomPeer(upOnly: true) {
            lastPushPullTarget = table[index].address
            askForSync(table[index].address, &effects)
        }
    }

    /// A fact that fits no packet goes by push-pull alone: a few soon, by everybody who learns it.
    mutating func hurryPushPull(at now: Instant) {
        guard isActive else { return }
        hurriedPushPulls = 3
        nextPushPull = min(nextPushPull, now + random.within(.zero...settings.gossipInterval))
    }

    mutating func streamFailed(_ address: Address, at now: Instant) {
        guard address == lastPushPullTarget, isActive else { return }
        lastPushPullTarget = nil
        nextPushPull = min(nextPushPull, now + settings.probeInterval)
    }

    mutating func askForSync(_ address: Address, _ effects: inout [GossipEffect]) {
        var writer = begin(.syncAsk)
        writer.u64(root)
        effects.append(.stream(to: address, PacketCodec.seal(writer)))
    }

    // MARK: The steps

    /// The digest of all members and facts.
    private var root: UInt64 {
        var writer = ByteWriter(reservingCapacity: 32 * (table.count + store.rumours.count))
        for member in table.members {
            member.id.write(to: &writer)
            writer.u64(member.incarnation)
            writer.u8(member.liveness.rawValue)
        }
        for rumour in store.rumours {
            writer.u8(rumour.key.kind)
            rumour.key.id.write(to: &writer)
            writer.u64(rumour.hash)
        }
        return writer.bytes.withUnsafeBytes { XXH3.hash($0) }
    }

    mutating func receiveSyncAsk(_ theirs: UInt64, on link: UInt64, _ effects: inout [GossipEffect]) {
        if root == theirs {
            effects.append(.respond(link: link, PacketCodec.seal(begin(.syncEqual))))
            return
        }
        var writer = begin(.syncLists)
        for member in table.members { writer.claim(member, accusers: accusers(of: member)) }
        for rumour in store.rumours { writer.digest(rumour.key, hash: rumour.hash) }
        effects.append(.respond(link: link, PacketCodec.seal(writer)))
    }

    /// Their lists, whose members were applied already: answers with what they lack and asks for what we do.
    mutating func receiveSyncLists(
        _ packet: borrowing Packet, on link: UInt64, _ effects: inout [GossipEffect]
    ) {
        effects.append(.report(.synchronised(packet.sender.id)))
        var writer = begin(.syncFacts)
        writer.u8(0)
        let empty = writer.count
        addMembers(lackedIn: packet.claims, to: &writer)
        var differing: [RumourStore.Rumour] = []
        compare(packet.digests, differing: &differing, wishes: &writer)
        add(differing, to: &writer)
        if writer.count == empty { return }
        effects.append(.respond(link: link, PacketCodec.seal(writer)))
    }

    mutating func receiveSyncFacts(
        _ packet: borrowing Packet, on link: UInt64, _ effects: inout [GossipEffect]
    ) {
        if packet.isLast || packet.wanted.isEmpty { return }
        var writer = begin(.syncFacts)
        writer.u8(1)
        var rumours: [RumourStore.Rumour] = []
        for key in packet.wanted {
            if let rumour = store[key] { rumours.append(rumour) }
        }
        add(rumours, to: &writer)
        effects.append(.respond(link: link, PacketCodec.seal(writer)))
    }

    // MARK: Their parts

    /// Both lists are sorted by id.
    private func addMembers(lackedIn theirs: [Claim], to writer: inout ByteWriter) {
        var place = 0
        for member in table.members {
            while place < theirs.count, theirs[place].member.id < member.id { place += 1 }
            if place < theirs.count, theirs[place].member.id == member.id,
                !member.overrides(theirs[place].member)
            {
                continue
            }
            writer.claim(member, accusers: accusers(of: member))
        }
    }

    /// Both lists are sorted by key. Where both hold a fact and differ, both send theirs: which one is newer,
    /// or whether the join of both is newer than either, only the node knows.
    private func compare(
        _ theirs: [RumourDigest], differing: inout [RumourStore.Rumour], wishes: inout ByteWriter
    ) {
        var place = 0
        for rumour in store.rumours {
            while place < theirs.count, theirs[place].key < rumour.key {
                wishes.wish(theirs[place].key)
                place += 1
            }
            if place < theirs.count, theirs[place].key == rumour.key {
                if theirs[place].hash != rumour.hash {
                    wishes.wish(rumour.key)
                    differing.append(rumour)
                }
                place += 1
            } else {
                differing.append(rumour)
            }
        }
        for digest in theirs[place...] { wishes.wish(digest.key) }
    }

    /// As many facts as one message holds; the next push-pull finds the rest.
    private func add(_ rumours: [RumourStore.Rumour], to writer: inout ByteWriter) {
        for rumour in rumours {
            let size = PacketCodec.rumourBytes(rumour.bytes.count)
            if writer.count + size > Limits.gossipStreamBytesMax { break }
            writer.rumour(rumour.key, rumour.bytes)
        }
    }
}
