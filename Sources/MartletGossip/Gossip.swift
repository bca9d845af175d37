import MartletBase

/// One member's part in the cluster's gossip: who is alive, and what everybody should know.
///
/// SWIM (Das, Gupta, Motivala: "SWIM: Scalable Weakly-consistent Infection-style Process Group Membership
/// Protocol", DSN 2002) with the extensions of Lifeguard (Dadgar, Phillips, Currey: "Lifeguard: Local Health
/// Awareness for More Accurate Failure Detection", DSN-W 2018) and a push-pull over TCP. A value without I/O:
/// events and the time go in, effects come out, and the same seed and events give the same effects.
///
/// **Belief.** A member is believed `up`, `suspect`, `down` or `left` at an incarnation. Claims are ordered
/// by (incarnation, liveness) and a greater one replaces a lesser: a join, so claims may be lost, repeated
/// and reordered, and a stale incarnation never overrides. Only a member raises its own incarnation: at its
/// start, and to refute what is said of it. Every packet's header is a claim that its sender is up at the
/// incarnation it names.
///
/// **Probes.** Each `probeInterval` the next of a shuffled list is pinged. Without an ack in `probeTimeout`,
/// `indirectProbes` members are asked to ping it and it is pinged over TCP; if nothing comes back within the
/// interval (or twice the timeout, if that's longer), it is suspected. A broken connection starts a probe at
/// once.
///
/// **Suspicion.** From the first accuser's claim on, each member gives the suspect
///
///     timeout(c) = max - (max - min) * log(c + 1) / log(k + 1),   at least min
///     min = max(suspicionTimeoutMin, suspicionMultiplier * log10(members) * probeInterval)
///     max = min * suspicionMaxMultiplier
///
/// with c confirmations by other accusers, of k = `suspicionConfirmations` that are looked for; then declares
/// it down.
///
/// **Local health.** A score from 0 to `localHealthMax` stretches probe interval and timeout. It rises with
/// helpers that stay silent, a refutation and a stall of our own, and falls with each answered probe.
///
/// **News** (claims and rumours) fills the free bytes of every datagram, and goes out on its own each
/// `gossipInterval` while there is any. **Push-pull** compares everything with one member each
/// `pushPullInterval` and at a join, digests first.
///
/// Where this deviates from the papers, and why:
/// - One order for all claims. SWIM lets `Confirm` override `Alive` of any incarnation, so that a restarted
///   member needs a new name. Here a greater incarnation revives, and a member keeps its id for life.
/// - A suspicion's claim carries all its accusers, a set that grows by union. Lifeguard sends one accuser a
///   message; then a lost message is a lost confirmation.
/// - A member that hears of a new suspicion probes the suspect at once, with a probability that makes it
///   `secondOpinions` members in all. That brings the confirmations, and the suspect's refutation, within
///   about a second, so that the least timeout can be short.
/// - k shrinks with the members that are up and could still confirm, so that the last of three isn't left
///   waiting for confirmations by the dead.
/// - Every datagram to a member that isn't held up says so, not only pings to suspects (Lifeguard's buddy
///   system): a member that was paused or cut off learns at its first question how it is held.
/// - Absent members are kept and pinged now and then, so that a healed partition rejoins. A push-pull's
///   `down` counts as a suspicion where the member is held up: the halves don't declare each other's members
///   down.
/// - A stall of our own (an event that comes later than `nextDeadline` by the probe timeout) voids the probes
///   under way and prolongs suspicions by its length: the answers may lie unread in a socket's buffer.
/// - Probes may overlap: those that a broken connection or a suspicion asks for don't wait for the regular
///   one.
/// - A failed probe adds one point of local health for each silent helper, as memberlist does, not one in
///   all.
package struct Gossip {
    package let settings: GossipSettings
    let cluster: UInt64
    /// Ourselves, as in the table.
    var own: Member
    var table = MemberTable()
    var store = RumourStore()
    var news = Disseminator()
    var random: Random

    var isStarted = false
    var localHealth = 0
    var suspicions: [Suspicion] = []
    var probes: [Probe] = []
    var relays: [Relay] = []
    /// The members to probe, in this round's order, and where in it we are. May hold absent and lack new
    /// members.
    var probeOrder: [NodeID] = []
    var probeCursor = 0
    /// Fenced ids, oldest first, and the same as a set (which is never iterated).
    var forgotten: [NodeID] = []
    var forgottenSet: Set<NodeID> = []

    var seeds: [Address] = []
    var joinAttempts = 0
    /// Push-pulls that a large fact asks for, sooner than the regular ones.
    var hurriedPushPulls = 0
    var lastPushPullTarget: Address?
    var goodbyeIsSpread = false

    var nextProbe = Instant.distantFuture
    var nextPushPull = Instant.distantFuture
    var nextReconnect = Instant.distantFuture
    var nextJoin = Instant.distantFuture
    var lastGossip = Instant.zero
    var nextReunion = Instant.zero

    /// When the shell must send `.timer`; `.distantFuture` when never. Changes with each event.
    package private(set) var nextDeadline = Instant.distantFuture

    // Reused from event to event.
    var packet = Packet()
    var prefix: [UInt8] = []
    var subjects: [Disseminator.Subject] = []

    /// - Parameters:
    ///   - address: where our sockets are, as others reach them.
    ///   - incarnation: greater than that of every earlier start of this id. If it isn't, the first who
    ///     remembers a greater one tells us, and we rise above it.
    package init(
        id: NodeID, address: Address, incarnation: UInt64, settings: GossipSettings, seed: UInt64
    ) {
        settings.check()
        invariant(incarnation < Limits.incarnationMax, "the first incarnation leaves no room for refutations")
        invariant(address.port != 0, "a member's address needs a port")
        self.settings = settings
        cluster = PacketCodec.clusterHash(settings.clusterName)
        random = Random(seed: seed)
        own = Member(id: id, address: address, incarnation: incarnation, liveness: .up)
        table.insert(own, at: .zero)
        prefix = PacketCodec.prefix(cluster: cluster, sender: own)
    }

    /// All members, sorted by id, ourselves included.
    package var members: [Member] { table.members }

    package var id: NodeID { own.id }

    /// Our own, which a refutation raises.
    package var incarnation: UInt64 { own.incarnation }

    /// 0 is best.
    package var localHealthScore: Int { localHealth }

    /// Nil when the member isn't known.
    package func liveness(of id: NodeID) -> Liveness? { table.index(of: id).map { table[$0].liveness } }

    package func member(_ id: NodeID) -> Member? { table.index(of: id).map { table[$0] } }

    package mutating func handle(_ event: GossipEvent, now: Now, into effects: inout [GossipEffect]) {
        let instant = now.monotonic
        forgiveStall(at: instant, &effects)
        switch event {
        case .start: start(at: instant)
        case .join(let seeds): join(seeds, at: instant)
        case .datagram(let from, let bytes): receive(bytes, by: .datagram(from), now, &effects)
        case .stream(let link, let bytes): receive(bytes, by: .stream(link), now, &effects)
        case .streamFailed(let address): streamFailed(address, at: instant)
        case .connectionBroke(let id): probeAtOnce(id, now, &effects)
        case .publish(let key, let bytes): publish(key, bytes, at: instant, &effects)
        case .retract(let key):
            store.remove(key)
            news.withdraw(.rumour(key))
        case .forget(let id): forget(id)
        case .compare(let id):
            if isActive, let index = table.index(of: id) { askForSync(table[index].address, &effects) }
        case .leave: leave(at: instant, &effects)
        case .timer: timer(now, &effects)
        }
        nextDeadline = max(instant, earliestDeadline)
    }

    private mutating func start(at now: Instant) {
        if isStarted { return }
        isStarted = true
        // Spread over the first interval, so that members started together don't act in step for ever.
        nextProbe = now + random.within(.zero...settings.probeInterval)
        nextPushPull = now + random.within(settings.pushPullInterval / 2...settings.pushPullInterval)
        nextReconnect = now + settings.reconnectInterval
        offer(own, accusers: 0)
    }

    private mutating func leave(at now: Instant, _ effects: inout [GossipEffect]) {
        if own.liveness == .left { return }
        setOwn(incarnation: own.incarnation, .left, at: now)
        probes.removeAll()
        nextProbe = .distantFuture
        nextPushPull = .distantFuture
        nextReconnect = .distantFuture
        nextJoin = .distantFuture
        noteGoodbye(&effects)
    }

    /// Changes what we say of ourselves, and spreads it.
    mutating func setOwn(incarnation: UInt64, _ liveness: Liveness, at now: Instant) {
        own.incarnation = incarnation
        own.liveness = liveness
        guard let index = table.index(of: own.id) else { invariantBroken("we are a member ourselves") }
        table.replace(index, by: own, at: now)
        prefix = PacketCodec.prefix(cluster: cluster, sender: own)
        offer(own, accusers: 0)
    }

    private mutating func timer(_ now: Now, _ effects: inout [GossipEffect]) {
        let instant = now.monotonic
        advanceProbes(now, &effects)
        advanceRelays(at: instant, &effects)
        expireSuspicions(now, &effects)
        if nextJoin <= instant { attemptJoin(at: instant, &effects) }
        if nextProbe <= instant { probeNext(now, &effects) }
        if nextReconnect <= instant { reconnect(now, &effects) }
        if nextPushPull <= instant { pushPull(at: instant, &effects) }
        if newsIsDue, lastGossip + settings.gossipInterval <= instant { gossip(at: instant, &effects) }
    }

    /// Whether there is news and somebody to tell it to.
    private var newsIsDue: Bool {
        isStarted && !news.isEmpty && table.presentCount > (own.liveness.isPresent ? 1 : 0)
    }

    private var earliestDeadline: Instant {
        var earliest = min(nextProbe, min(nextPushPull, min(nextReconnect, nextJoin)))
        if newsIsDue { earliest = min(earliest, lastGossip + settings.gossipInterval) }
        for probe in probes { earliest = min(earliest, probe.nextStep) }
        for relay in relays { earliest = min(earliest, relay.nextStep) }
        for suspicion in suspicions { earliest = min(earliest, suspicion.expires) }
        return earliest
    }

    /// Members that take part and aren't us.
    var peersPresent: Int { table.presentCount - (own.liveness.isPresent ? 1 : 0) }

    /// A member that takes part (or only one that is up), isn't us and isn't excluded: the first at or after
    /// a random place. So a member that follows absent ones is chosen more often, which does no harm here.
    mutating func randomPeer(upOnly: Bool, excluding excluded: NodeID? = nil) -> Int? {
        let start = random.below(table.count)
        for step in 0..<table.count {
            let index = start + step < table.count ? start + step : start + step - table.count
            let member = table[index]
            if member.id == own.id || member.id == excluded { continue }
            if upOnly ? member.liveness == .up : member.liveness.isPresent { return index }
        }
        return nil
    }

    /// Up to `count` different peers, by index.
    mutating func randomPeers(_ count: Int, upOnly: Bool, excluding excluded: NodeID? = nil) -> [Int] {
        var chosen: [Int] = []
        chosen.reserveCapacity(count)
        // Twice as many draws as places: a few doubles are drawn again, and the loop is bounded.
        for _ in 0..<2 * count where chosen.count < count {
            guard let index = randomPeer(upOnly: upOnly, excluding: excluded) else { break }
            if !chosen.contains(index) { chosen.append(index) }
        }
        return chosen
    }

    /// Whether everything that must hold of the state does; for tests and the simulator.
    package func checkInvariants() {
        table.checkInvariants()
        store.checkInvariants()
        news.checkInvariants()
        invariant(table.index(of: own.id).map { table[$0] } == own, "we are in our own table as we are")
        invariant(own.liveness == .up || own.liveness == .left, "we never hold ourselves suspect or down")
        let suspects = table.members.filter { $0.liveness == .suspect }
        invariant(
            suspicions.map(\.id).sorted() == suspects.map(\.id),
            "every suspect has one suspicion, and no other")
        for suspicion in suspicions {
            invariant(
                (1...Limits.accusersMax).contains(suspicion.accusers.count)
                    && zip(suspicion.accusers, suspicion.accusers.dropFirst()).allSatisfy(<),
                "accusers are sorted, unique and bounded")
        }
        invariant(probes.count <= Limits.gossipProbesMax, "more probes than the limit")
        invariant(relays.count <= Limits.gossipRelaysMax, "more relays than the limit")
        invariant(
            Set(probes.map(\.target)).count == probes.count, "a member is probed once at a time")
        invariant((0...settings.localHealthMax).contains(localHealth), "local health is out of range")
        invariant(forgotten.count <= Limits.forgottenMembersMax, "more forgotten ids than the limit")
        invariant(forgotten.count == forgottenSet.count, "the forgotten ids are a set")
        for member in table.members {
            invariant(!forgottenSet.contains(member.id), "a forgotten id is no member")
        }
        for entry in news.entries {
            // A packet is filled by these sizes.
            switch entry.subject {
            case .member(let id):
                guard let member = member(id) else { invariantBroken("news is of members") }
                invariant(
                    entry.bytes == PacketCodec.claimBytes(member, accusers: accusers(of: member).count),
                    "a claim in the queue has the size that it was queued with")
            case .rumour(let key):
                guard let rumour = store[key] else { invariantBroken("news is of facts that are held") }
                invariant(
                    entry.bytes == PacketCodec.rumourBytes(rumour.bytes.count),
                    "a fact in the queue has the size that it was queued with")
            }
        }
    }
}
