import MartletBase
import MartletGossip
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// One node of a leaderless cluster, as a pure machine: `handle(event, now) -> effects`.
///
/// It holds all that decides: membership (SWIM), the ring and its placements, the coordinator of its clients'
/// requests, and the replica of the keys that it owns. It has no clock, no randomness, no I/O and no lock of
/// its own: time comes with each event, randomness from one seed, storage and network answer by events. So
/// `MartletRuntime` and `MartletSimulator` run the very same machine.
///
/// Terms:
///
/// - *coordinator*: the node that a client asked. It stamps puts, sends to the owners, counts answers, and
///   answers at the level asked for (`Node+Write.swift`, `Node+Read.swift`).
/// - *replica*: an owner of a key, merging and reading for coordinators, itself among them
///   (`Node+Replica.swift`).
/// - *scan*: pages of the keys of a part of the ring, agreed on by as many replicas as a get asks
///   (`Node+Scan.swift`).
/// - *definition*: what a keyspace is; merged like a record, at all nodes (`Node+Keyspaces.swift`,
///   `Node+Definitions.swift`).
/// - *place*: an owner's position in a key's preference list (`ReplicaSet`).
///
/// Laws, each checked by the simulator:
///
/// 1. A merge is acknowledged as the consequence of `StorageCompletion.durable`, never of a call that
///    returned.
/// 2. A read shows nothing that isn't durable: it waits for the sync of what it has seen.
/// 3. Each client request is answered exactly once, by its deadline. `unavailable`, `overloaded`, `skew`,
///    `loading` and `stopping` mean that nothing was sent; once anything was sent, the only failure is
///    `timeout`.
/// 4. No stamp is issued, and none merged, above the durable ceiling; no stamp is issued twice.
/// 5. A digest of the placement goes with every replica request; a quorum is never counted over two
///    placements.
///
/// Deviations from the Dynamo paper: any node coordinates, not only one of the preference list (4.5);
/// conflicts of registers are settled by stamps (4.4 leaves them to vector clocks); read repair is waited for
/// (5), so that quorum reads don't go back in time.
package struct Node: ~Copyable {
    package let configuration: NodeConfiguration
    /// Both clocks, as of the event in hand.
    var now: Now
    var effects = EffectBuffer()
    /// What recovery asks for: it comes with the first event, because nothing is carried out before.
    var opening = EffectBuffer()

    var clock: HybridClock
    /// The ceiling whose reservation is under way.
    var reserving: HybridTime?
    var skew: SkewJudge
    var wasSkewed = false
    /// Writes wait until the clock is judged.
    var hasUnjudgedWrites = false

    var gossip: Gossip
    var gossipEffects: [GossipEffect] = []
    var peers: PeerTable
    package internal(set) var ring = Ring()
    var formation: Formation
    /// The founders that the log was last told of as not heard yet.
    var waitsTold: [String] = []
    var ringDigests: [NodeID: RingDigest] = [:]
    /// When our own ring digest was last told, in hybrid time.
    var ringDigestAt: UInt64 = 0
    var keyspaces: KeyspaceTable

    var writes = OperationTable(vacant: WriteOperation.vacant)
    var reads = OperationTable(vacant: ReadOperation.vacant)
    var scans = OperationTable(vacant: ScanOperation.vacant)
    /// Of `reads`: those that scans asked for.
    var scanReads = 0
    var changes = OperationTable(vacant: DefinitionChange.vacant)
    var sweep: Sweep?
    var siblings: SiblingsRounds
    var deadlines = DeadlineHeap<Deadline>()
    var wakeAt = Instant.distantFuture

    var replica: Replica
    var hints = Hints()
    var exchanges: Exchanges
    var purge = Purge()
    var handover = Handover()
    /// That the ring gave this node when its file was last compared with it.
    var zoneCompared: String?
    /// Whether it is an owner like others, by the ring: a joining node coordinates nothing yet. Kept, because
    /// each request asks.
    package internal(set) var isMember = false
    /// What this node says of its data folder.
    let folder: FolderAge
    /// Nil once it is vouched for.
    var vouching: Vouching?
    var rebuilding: Rebuilding?
    /// When what was heard from peers is written down again.
    var heardTimesAt = Instant.zero
    /// Since when others say that a living node has this one's name.
    var nameTakenSince: Instant?
    var life = Life.created
    /// The goodbye has been sent as often as news is.
    var hasSaidGoodbye = false
    package var metrics = NodeMetrics()

    enum Life: Hashable {
        case created, running
        /// Says goodbye and finishes what is under way until the instant.
        case draining(Instant)
        case stopped
    }

    /// Never set. A weak reference makes the node *address-only*: the compiler passes it by its address even
    /// where a function only reads it. Without one it copies all of a `~Copyable` value, 3 KB, into each call
    /// of a function that isn't `mutating` (Swift 6.3), a dozen times a request.
    private weak var addressOnly: Anchor?
    private final class Anchor {}

    /// What a deadline is for.
    struct Deadline {
        enum Purpose { case expire, speculate, hint }
        var number: RequestNumber
        var purpose: Purpose
    }

    package init(_ configuration: NodeConfiguration, recovered: RecoveredState, now: Now) {
        self.configuration = configuration
        self.now = now
        var random = Random(seed: configuration.seed)
        let writer = Writer(node: configuration.id.short, boot: configuration.boot, shard: 0)
        let ceiling = configuration.planted == .reuseStamps ? .zero : recovered.stampCeiling
        clock = HybridClock(writer: writer, recovered: ceiling)
        skew = SkewJudge(max: configuration.clockSkewMax, now: now)
        let memory = MetaMemory(recovered.meta)
        gossip = Gossip(
            id: configuration.id, address: configuration.peersAddress,
            incarnation: max(
                memory.incarnation(of: configuration.id), Self.incarnation(ofBoot: configuration.boot)),
            settings: configuration.gossip, seed: random.next())
        siblings = SiblingsRounds(actor: Self.actor(configuration))
        peers = PeerTable(
            own: configuration.id, name: configuration.name, address: configuration.peersAddress)
        peers.folders = memory.folders
        folder = FolderAge(
            epoch: configuration.epoch, boot: configuration.boot, run: random.next(),
            time: recovered.stampCeiling)
        rebuilding = Rebuilding.after(lostEpoch: configuration.lostEpoch, remembered: memory.rebuilding)
        exchanges = Exchanges(random: random.fork())
        hints.pace = ReplayPace(bytesPerSecondMax: configuration.transferBytesPerSecondMax)
        formation = Formation(
            founders: configuration.founders, own: configuration.name, formed: memory.formed)
        keyspaces = KeyspaceTable(founded: configuration.keyspaces)
        replica = Replica(
            stamps: StampMemory(
                keepFor: configuration.clockSkewMax * 2, capacity: Limits.rememberedStampsMax,
                recovered: ceiling))
        recover(memory)
        recoverTrees(recovered)
        swap(&opening, &effects)
    }

    /// This run as a coordinator of siblings; drawn anew at each start (`Siblings`).
    private static func actor(_ configuration: NodeConfiguration) -> Writer {
        var random = Random(seed: configuration.seed ^ UInt64(configuration.boot) << 32 ^ 0x6163_746F_72)
        let run = configuration.planted == .keepActor ? 1 : UInt32(truncatingIfNeeded: random.next())
        return Writer(node: configuration.id.short, boot: run, shard: 0)
    }

    /// Where gossip's incarnations begin in a run: above all that the runs before refuted their way up to.
    private static func incarnation(ofBoot boot: UInt32) -> UInt64 { UInt64(boot) << 24 }

    /// What goes into the header of each outgoing frame. Never above the durable ceiling, so that a folder
    /// that gives back a lower one than its peers have heard is known to be an older copy (`FolderAge`).
    package var frameTime: HybridTime { min(hybridTime, clock.ceiling) }

    package var hybridTime: HybridTime { max(clock.last, HybridTime(now.wall)) }

    /// Takes one event and appends what to do, in order.
    package mutating func handle(_ event: consuming Event, now: Now, into buffer: inout EffectBuffer) {
        invariant(life != .stopped, "an event came after the node had stopped")
        invariant(now.monotonic >= self.now.monotonic, "the monotonic clock went back")
        self.now = now
        swap(&effects, &buffer)
        dispatch(event)
        settle()
        swap(&effects, &buffer)
    }

    private mutating func dispatch(_ event: consuming Event) {
        switch consume event {
        case .start: start()
        case .client(let ticket, let request): clientAsked(ticket, request)
        case .hello(let link, let hello): helloCame(link, hello)
        case .peer(let link, let id, let time, let message): peerSaid(link, id, time, message)
        case .datagram(let from, let bytes): tellGossip(.datagram(from: from, bytes))
        case .storage(let completion): storageCompleted(completion)
        case .timer: timerFired()
        case .linkUp(let peer): linkCame(peer)
        case .linkDown(let peer): linkBroke(peer)
        case .refusedByPeer(let address, let farewell): turnedAway(by: address, farewell)
        case .streamFailed(let address): tellGossip(.streamFailed(address))
        case .shutdown: shutdown()
        }
    }

    // MARK: Life

    private mutating func start() {
        invariant(life == .created, "a node is started once")
        life = .running
        opening.drain { effects.append($0) }
        leaveIfRemoved()
        guard life == .running else { return }
        reserveStamps()
        beginVouching()
        beginRebuilding()
        eraseAgain()
        publishOwn()
        tellGossip(.start)
        let others =
            configuration.founders.map(\.address) + configuration.seeds
            + ring.entries.filter(\.ownsTokens).map { Address(ip: $0.address, port: $0.ports.peers) }
        tellGossip(
            .join(
                seeds: Array(others.filter { $0 != configuration.peersAddress }.prefix(Limits.gossipSeedsMax))
            ))
        tryToForm()
        countHints()
        startKeyspaces()
        exchanges.tick(by: now.monotonic)
        handover.tick(by: now.monotonic)
        beginPurging()
    }

    private mutating func shutdown() {
        guard life == .running else { return }
        life = .draining(now.monotonic + configuration.drainTimeout)
        effects.append(.report(.draining(inFlight: inFlight)))
        tellGossip(.leave)
    }

    /// After each event: stop when drained, and ask for the next timer.
    private mutating func settle() {
        if case .draining(let until) = life {
            let isIdle =
                reads.count == 0 && writes.count == 0 && scans.count == 0 && changes.count == 0
                && siblings.forwards.count == 0
                && replica.pending.isEmpty
                && hints.parked.isEmpty
                && (hasSaidGoodbye || peers.isAlone)
            if isIdle || now.monotonic >= until {
                answerAll()
                stop(handover.hasLeft ? .left : .drained)
                return
            }
        }
        guard life != .stopped else { return }
        if mayGo { shutdown() }
        if vouching != nil { lookForVouching() }
        var next = gossip.nextDeadline
        if let soonest = deadlines.soonest, soonest < next { next = soonest }
        if hints.tickAt < next { next = hints.tickAt }
        if exchanges.tickAt < next { next = exchanges.tickAt }
        if purge.tickAt < next { next = purge.tickAt }
        if handover.tickAt < next { next = handover.tickAt }
        if let vouching, life == .running, formation.isFormed, vouching.until < next {
            next = vouching.until
        }
        if let rebuilding, rebuilding.tickAt < next { next = rebuilding.tickAt }
        if case .draining(let until) = life, until < next { next = until }
        if next != wakeAt {
            wakeAt = next
            effects.append(.wake(next))
        }
    }

    /// No answer will come any more: what is under way has timed out, as far as its client can know.
    private mutating func answerAll() {
        for index in scans.indices { expireScan(index) }
        for index in writes.indices where writes.isInUse(index) && !writes[index].isAnswered {
            failWrite(index)
        }
        for index in reads.indices { failRead(index) }
        for index in changes.indices { changeExpired(index) }
        for index in siblings.forwards.indices { forwardLost(index) }
    }

    mutating func stop(_ reason: StopReason) {
        guard life != .stopped else { return }
        life = .stopped
        effects.append(.stopped(reason))
    }

    private mutating func timerFired() {
        wakeAt = .distantFuture
        if gossip.nextDeadline <= now.monotonic { tellGossip(.timer) }
        while let due = deadlines.popDue(now.monotonic) {
            switch (due.number.kind, due.purpose) {
            case (.write, .hint): hintAtHalfTime(due.number)
            case (.write, _): writeExpired(due.number)
            case (.read, .expire): readExpired(due.number)
            case (.read, .speculate): speculate(due.number)
            case (.scan, .expire): scanExpired(due.number)
            case (.scan, .speculate): lookAfterScan(due.number)
            case (.forward, .expire): forwardExpired(due.number)
            case (.definition, .expire):
                if changes.contains(due.number) { changeExpired(due.number.index) }
            case (.read, .hint), (.scan, .hint), (.definition, _), (.hint, _), (.admission, _),
                (.sweep, _), (.exchange, _), (.batch, _), (.round, _), (.forward, _), (nil, _):
                invariantBroken("a deadline for nothing")
            }
        }
        replica.stamps.prune(now: now.monotonic)
        retryRefused()
        resumeSweep()
        writeDownHeardTimes()
        if hints.tickAt <= now.monotonic { tickHints() }
        if exchanges.tickAt <= now.monotonic { tickExchanges() }
        if purge.tickAt <= now.monotonic { tickPurge() }
        if handover.tickAt <= now.monotonic { tickHandover() }
        if let rebuilding, rebuilding.tickAt <= now.monotonic { continueRebuilding() }
        reserveStamps()
        judgeClock()
        if hasUnjudgedWrites { stampParkedWrites() }
    }

    /// Adds a deadline. Those of requests that have ended are swept out once they are the most of many, so
    /// that a long timeout isn't a long list.
    mutating func addDeadline(_ deadline: Deadline, at instant: Instant) {
        if deadlines.count >= deadlinesMax {
            deadlines.sweep { deadline in
                switch deadline.number.kind {
                case .read: !reads.contains(deadline.number)
                case .write: !writes.contains(deadline.number)
                case .scan: !scans.contains(deadline.number)
                case .definition: !changes.contains(deadline.number)
                case .forward: !siblings.forwards.contains(deadline.number)
                case .hint, .admission, .sweep, .exchange, .batch, .round, nil:
                    invariantBroken("a deadline for nothing")
                }
            }
        }
        deadlines.add(deadline, at: instant)
    }

    /// At most two deadlines for each request under way, as many again of those that have ended, and some.
    private var deadlinesMax: Int {
        Limits.deadlinesKept + 4
            * (reads.count + writes.count + scans.count + changes.count + siblings.forwards.count)
    }

    // MARK: Time

    /// Whether the clock was compared with others' at least once, or need not be: there are none, or they
    /// can't be asked.
    ///
    /// A node that starts with a wrong clock would else stamp with it until the first answer to a probe, and
    /// its stamps would carry that time into every clock of the cluster.
    var isClockJudged: Bool { skew.isJudged(now) || peers.isAlone }

    /// The clock has not been judged yet: asks this peer for the time now, not when its turn comes.
    mutating func hastenJudgement(by peer: PeerIndex) {
        guard !skew.isJudged(now), peer != PeerTable.own else { return }
        gossip.handle(.connectionBroke(peers[peer].id), now: now, into: &gossipEffects)
    }

    /// Asks for a higher stamp ceiling before the present one is reached.
    ///
    /// - Parameter floor: what a stamp that waits must be above.
    mutating func reserveStamps(above floor: HybridTime = .zero) {
        guard reserving == nil, let ceiling = clock.wantsReservation(now.wall, above: floor) else { return }
        reserving = ceiling
        effects.append(.storage(.reserveStamps(ceiling: ceiling.bits)))
    }

    /// Takes a peer's hybrid time over, unless it is so far ahead that it can only come from a broken clock:
    /// that would carry the broken clock's time into every stamp of the cluster.
    mutating func observe(_ time: HybridTime) {
        if time <= HybridTime(now.wall).advanced(by: configuration.clockSkewMax) {
            clock.observe(time)
            // What is stamped next lies above it, and needs a ceiling that does.
            if clock.last > clock.ceiling { reserveStamps() }
        } else if time > clock.last {
            metrics.clockPoisonIgnored += 1
        }
    }

    /// Says in the log when the clock became bad or good.
    mutating func judgeClock() {
        let isGood = skew.isGood(now)
        guard isGood == wasSkewed else { return }
        wasSkewed = !isGood
        effects.append(
            .report(
                isGood
                    ? .skewHealed
                    : .skewed(
                        aheadMilliseconds: skew.ahead(now).milliseconds,
                        maxMilliseconds: configuration.clockSkewMax.milliseconds)))
    }

    /// Requests of clients under way. Changes of keyspaces have a limit of their own: one that alters copies
    /// becomes one when its act is on the disk, and those that end alterations are nobody's request.
    var inFlight: Int {
        reads.count - scanReads + writes.count - hints.answeredPuts + scans.count + siblings.forwards.count
    }

    // MARK: Invariants

    /// What must hold between events; the simulator calls it after each.
    package func checkInvariants() {
        invariant(inFlight <= configuration.inFlightMax, "\(inFlight) requests are over in_flight_max")
        invariant(
            scanReads <= scans.count * Limits.scanReadsMax,
            "\(scanReads) reads for \(scans.count) scans are under way")
        invariant(scans.count <= Limits.scansMax, "\(scans.count) scans under way, over scans_max")
        invariant(
            replica.pending.count <= Limits.replicaRequestsMax + Limits.parkedMergesMax
                + 2 * Limits.hintsStoringMax + 3 * Limits.definitionsMax,
            "too many merges and hints wait")
        checkPurgeInvariants()
        invariant(
            deadlines.count <= Limits.deadlinesKept
                + 4
                * (configuration.inFlightMax + Limits.answeredPutsMax + Limits.definitionChangesMax
                    + Limits.scansMax * (1 + Limits.scanReadsMax)),
            "too many deadlines")
        invariant(
            hints.answeredPuts >= 0 && hints.answeredPuts <= writes.count
                && hints.answeredPuts <= Limits.answeredPutsMax + 1,
            "\(hints.answeredPuts) of \(writes.count) puts are answered")
        hints.ledger.checkInvariants()
        exchanges.checkInvariants()
        invariant(replica.parked.count <= Limits.parkedMergesMax, "too many merges are parked")
        invariant(replica.stamps.count <= Limits.rememberedStampsMax, "too many stamps are remembered")
        invariant(
            clock.last <= clock.ceiling || reserving != nil || life != .running || !formation.isFormed,
            "stamps beyond the ceiling without a reservation")
        gossip.checkInvariants()
    }
}
