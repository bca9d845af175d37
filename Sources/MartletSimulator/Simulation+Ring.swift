import MartletBase
import MartletNode
import MartletRing
import MartletVersions

/// Who owns a key by a node's ring, as processes: before the change in hand, and after it.
struct KeyOwners: Equatable {
    var old: [Int]
    /// Nil where the change in hand makes no difference.
    var new: [Int]?
    /// What they are counted by.
    var factor: ReplicationFactor
    var nextFactor: ReplicationFactor

    var all: [Int] { old + (new ?? []).filter { !old.contains($0) } }
    var lists: [(owners: [Int], factor: ReplicationFactor)] {
        [(old, factor)] + (new.map { [($0, nextFactor)] } ?? [])
    }
}

/// Nodes that come and go while clients go on, and what the checkers make of it.
///
/// Each process's own ring says who owns what, and at one instant two neighbouring states may be in force: so
/// what is acknowledged is to be held as one of the states says that its coordinator has had. That nothing is
/// lost from one state to the next is for the other checkers to find, which know of no states: each read must
/// show what any earlier one has shown, and any write before that was acknowledged.
extension Simulation {
    static let ringTickets: UInt64 = 3 << 61

    /// The processes that are to be nodes of the ring.
    var present: [SimulatedProcess] { processes.filter(\.isPresent) }

    /// Whom clients know. A machine that was given up and comes back may take writes, until it hears of that:
    /// at levels that it meets alone they are lost.
    var asked: [SimulatedProcess] {
        let asked = processes.filter { !$0.isGone }
        return asked.isEmpty ? processes : asked
    }

    // MARK: Operators

    /// A node is added, or one is told to leave, now and then.
    mutating func reshape() throws(Violation) {
        guard phase == .faults else { return }
        schedule(.reshape, after: shapers.within(.milliseconds(500)...plan.ring.gapMax))
        if plan.ring.removes, shapers.chance(0.2) { return try forsake() }
        if plan.ring.moves, shapers.chance(0.2) { return try move() }
        let absent = processes.filter { !$0.isInvited }
        if let process = absent.first, shapers.chance(plan.ring.leaves ? 0.6 : 1) {
            invite(process)
        } else if plan.ring.leaves {
            try retire()
        }
    }

    mutating func invite(_ process: SimulatedProcess) {
        record("an operator adds \(process.name)")
        process.isInvited = true
        process.wellSince = now
        schedule(.start(process.index), after: shapers.within(.zero...(.seconds(1))))
    }

    private mutating func retire() throws(Violation) {
        let candidates = present.filter { $0.state == .running && $0.node?.isMember == true }
        guard !candidates.isEmpty else { return }
        let process = candidates[shapers.below(candidates.count)]
        if shapers.chance(0.15), case .node(let subject)? = process.node?.handoverStatus()?.subject {
            record("an operator tells \(process.name) to call the change off")
            return try askRing(process, .abort(subject))
        }
        try retire(process)
    }

    mutating func retire(_ process: SimulatedProcess) throws(Violation) {
        setClockOfLastNode(without: process)
        record("an operator tells \(process.name) to leave")
        try askRing(process, .leave)
    }

    /// Nobody is there to judge the clock of a node that is alone, and its floors are what it shows: before
    /// the last but one goes, an operator looks at it. (`jumpClock` leaves it alone from then on.)
    private func setClockOfLastNode(without leaver: SimulatedProcess) {
        let staying = furthestRing.staying.filter { $0.id != leaver.id }
        guard staying.count == 1, let last = processes.first(where: { $0.id == staying[0].id }) else {
            return
        }
        last.clock.setWall(error: .zero, at: now)
    }

    /// A machine dies for good; some time later an operator gives it up. To the others it is a lost disk, of
    /// which there is one at a time.
    private mutating func forsake() throws(Violation) {
        guard case .count(let founded) = plan.replication else { return }
        let copies = furthestRing.alterations.flatMap(\.copies.all).reduce(founded) { max($0, $1.total) }
        let staying = furthestRing.staying.count
        let candidates = processes.filter { mayLose($0) && furthestRing[$0.id]?.isPlaced == true }
        guard staying > copies, !candidates.isEmpty else { return }
        let process = candidates[shapers.below(candidates.count)]
        record("the machine of \(process.name) dies")
        process.attic = process.disk
        try lose(process, by: SimulatedDisk(durability: plan.durability), .emptied)
        process.isForsaken = true
        process.isNeeded = false
        schedule(.giveUp(process.index), after: shapers.within(.milliseconds(100)...(.seconds(8))))
    }

    /// A node takes other tokens than it has, some of them.
    private mutating func move() throws(Violation) {
        let candidates = present.filter { $0.state == .running && $0.node?.isMember == true }
        guard !candidates.isEmpty else { return }
        let process = candidates[shapers.below(candidates.count)]
        guard let own = process.node?.ring.entries.first(where: { $0.id == process.id }) else { return }
        var tokens = own.tokens
        for index in tokens.indices where shapers.chance(0.3) {
            tokens[index] = Slot(index: UInt16(shapers.below(Limits.slots)))
        }
        record("an operator tells \(process.name) to move")
        try askRing(process, .move(tokens: tokens, zone: nil))
    }

    mutating func giveUp(_ process: SimulatedProcess) throws(Violation) {
        if process.isGone { return try giveUpAgain(process) }
        guard process.isForsaken else { return }
        if furthestRing[process.id]?.isGone == true {
            process.isGone = true
            return try comeBack(process)
        }
        schedule(.giveUp(process.index), after: .seconds(1))
        if furthestRing.givenUp.contains(process.id) { return }
        // Another machine may take its place.
        let spare = processes.first { !$0.isInvited }
        if let spare, !process.wasReplaced, shapers.chance(0.5), phase == .faults {
            process.wasReplaced = true
            spare.replaces = process.id
            record("\(spare.name) is to take the place of \(process.name)")
            return invite(spare)
        }
        // So it is until the replacement has been let in.
        if isBeingReplaced(process) { return }
        let askable = present.filter { $0.state == .running && $0.node?.isMember == true }
        guard let asked = askable.isEmpty ? nil : askable[shapers.below(askable.count)] else { return }
        if process.isNeeded, case .node(let subject)? = asked.node?.handoverStatus()?.subject,
            asked.node?.ring[subject]?.change?.kind == .leave
        {
            process.isNeeded = false
            record("an operator tells \(asked.name) to call the leave off")
            return try askRing(asked, .abort(subject))
        }
        setClockOfLastNode(without: process)
        record("an operator tells \(asked.name) that \(process.name) is dead")
        try askRing(asked, .remove(process.id))
    }

    /// It has heard that it is gone, and who told it may have died with that knowledge: the others wait for
    /// it until an operator tells them.
    private mutating func giveUpAgain(_ process: SimulatedProcess) throws(Violation) {
        let waiting = present.first {
            guard $0.state == .running, let ring = $0.node?.ring, $0.node?.isMember == true else {
                return false
            }
            return ring[process.id].map { !$0.isGone && !$0.isGivenUp } ?? false
        }
        guard let waiting else { return }
        schedule(.giveUp(process.index), after: .seconds(1))
        record("an operator tells \(waiting.name) that \(process.name) is gone")
        try askRing(waiting, .remove(process.id))
    }

    private func isBeingReplaced(_ process: SimulatedProcess) -> Bool {
        processes.contains { $0.replaces == process.id && $0.isPresent }
    }

    /// The dead machine lives after all. When others have gone on without it, it knows nothing of that, and
    /// nobody may take it for an owner.
    private mutating func comeBack(_ process: SimulatedProcess) throws(Violation) {
        guard let attic = process.attic else { return }
        process.attic = nil
        // It comes into the weather that is now, not into that in which it went.
        attic.conditions = process.disk.conditions
        attic.forgetFaults()
        process.disk = attic
        process.loss = nil
        record("the machine of \(process.name) comes back")
        scheduleStart(process, .milliseconds(10)...(.seconds(5)))
    }

    mutating func askRing(_ process: SimulatedProcess, _ act: RingAct) throws(Violation) {
        var subject = processes.count
        if case .remove(let id) = act, let removed = processes.firstIndex(where: { $0.id == id }) {
            processes[removed].removalsAsked += 1
            subject = removed
        }
        let request = ClientRequest(keyspace: 0, key: .empty, operation: .ring(act))
        try turn(process, .client(ClientTicket(Self.ringTickets + UInt64(subject)), request))
    }

    /// - Parameter subject: the index of who was to be removed; of other acts there is none so high.
    mutating func ringActAnswered(
        _ process: SimulatedProcess, _ subject: Int, _ reply: ClientReply
    ) throws(Violation) {
        if case .failed = reply, subject < processes.count { processes[subject].removalsAsked -= 1 }
        switch reply {
        case .failed(.ringAct(.tooFew)):
            // Nobody can do without it: it is repaired, unless another one takes its place. When some node
            // that may be away has been told already that it is dead, another has to stay that was to leave.
            for dead in processes
            where dead.isForsaken && furthestRing[dead.id]?.isPlaced == true && !isBeingReplaced(dead) {
                if dead.removalsAsked == 0 {
                    dead.isForsaken = false
                    try comeBack(dead)
                } else {
                    dead.isNeeded = true
                }
            }
        case .acted, .failed: break
        default:
            throw Violation("Answered", "\(process.name) answers an act on the ring with another's answer")
        }
    }

    /// A keyspace gets another number of copies, or gets back the one that it had, now and then.
    mutating func alter() throws(Violation) {
        guard phase == .faults else { return }
        schedule(.alter, after: alterers.within(.milliseconds(500)...plan.ring.alterGapMax))
        let process = asked[alterers.below(asked.count)]
        let name = plan.hasCarts && alterers.chance(0.3) ? "carts" : "default"
        var options = KeyspaceOptions()
        options.replication = plan.ring.factors[alterers.below(plan.ring.factors.count)]
        guard process.state == .running else { return }
        try order(process, .alter(name, options), level: .quorum)
    }

    /// A node is to be in another zone, and its file says so, or one of the two, now and then.
    mutating func rezone() throws(Violation) {
        guard phase == .faults else { return }
        schedule(.rezone, after: rezoners.within(.milliseconds(500)...plan.ring.rezoneGapMax))
        let candidates = present.filter { $0.state == .running && $0.node?.isMember == true }
        guard !candidates.isEmpty else { return }
        let process = candidates[rezoners.below(candidates.count)]
        let zone = SimulationPlan.zone(rezoners.below(SimulationPlan.zonesMax), of: process.dataCenter)
        if rezoners.chance(0.5) { process.fileZone = zone }
        guard rezoners.chance(0.8) else { return }
        record("an operator tells \(process.name) to move to \(zone)")
        try askRing(process, .move(tokens: nil, zone: zone))
    }

    // MARK: States

    /// A process has another ring than before.
    mutating func ringTurned(_ process: SimulatedProcess) throws(Violation) {
        for entry in process.node?.ring.entries ?? [] where entry.isPlaced && processOfID[entry.id] == nil {
            throw Violation(
                "Agreed", "\(process.name) has \(entry.name) in its ring as \(entry.id), which no machine is")
        }
        guard let owners = ownersOfKeys(process) else { return }
        if owners != process.owners {
            process.ownersBefore = Array(([process.owners] + process.ownersBefore).prefix(Self.statesSeenMax))
            process.turnedAt = now
            process.owners = owners
        }
        // Of two rings that which knows all that the other does is further on.
        guard let ring = process.node?.ring, ring.knows(furthestRing) else { return }
        try checkMoves(ring)
        counters.alterations += zip(ring.alterations, furthestRing.alterations).count {
            $0.keyspace == $1.keyspace && $0.copies.done > $1.copies.done
        }
        furthestRing = ring
        self.owners = owners
    }

    /// What only a disk that is lost knew of the ring nobody knows any more.
    mutating func ringLost(by process: SimulatedProcess) {
        let known = processes.filter { $0 !== process }.compactMap { $0.node?.ring }
        guard let ring = try? known.reduce(into: Ring(), { try $0.merge($1) }), !ring.entries.isEmpty else {
            return
        }
        furthestRing = ring
    }

    func ownersOfKeys(_ process: SimulatedProcess) -> [KeyOwners]? {
        guard let (_, placement) = process.node?.placement(keyspace: 0) else { return nil }
        func indices(_ owners: Owners) -> [Int] {
            owners.array.map { processOfID[placement.members[$0].id] ?? -1 }
        }
        let copies = placement.keyspace.copies
        return (0..<plan.workload.keys).map { index in
            let slot = Token(key: WorkloadKeys.key(index)).slot
            return KeyOwners(
                old: indices(placement.owners(of: slot)), new: placement.next(of: slot).map(indices),
                factor: copies.factor, nextFactor: placement.isAltered ? copies.next : copies.factor)
        }
    }

    /// A request may have been counted by a state that has gone since; several go by within milliseconds when
    /// changes are called off, one after the other.
    private static let statesSeenMax = 4

    func statesSeen(by process: SimulatedProcess) -> [[KeyOwners]] {
        ([process.owners] + process.ownersBefore + [owners]).filter { !$0.isEmpty }
    }

    /// Of the owners of a key those for whom a condition holds. Of all the states that the coordinator has
    /// had, and of their lists of owners, what suffices, or else what doesn't.
    func counts(
        _ key: Int, seenBy process: SimulatedProcess, isEnough: (Holders) -> Bool, _ holds: (Int) -> Bool
    ) -> Holders {
        var worst = Holders(Array(repeating: 0, count: levels.centres), of: plan.replication)
        for state in statesSeen(by: process) {
            let lists = state[key].lists.map { list in
                var holders = Holders(Array(repeating: 0, count: levels.centres), of: list.factor)
                for owner in list.owners where holds(owner) { holders.counts[centreOfProcess[owner]] += 1 }
                return holders
            }
            guard let failing = lists.first(where: { !isEnough($0) }) else { return lists[0] }
            worst = failing
        }
        return worst
    }

    // MARK: Placed

    /// Placed: who is in the ring has other tokens or another zone only when a move is complete.
    private mutating func checkMoves(_ ring: Ring) throws(Violation) {
        for entry in ring.entries {
            guard let before = furthestRing[entry.id], before.isPlaced, entry.position != before.position
            else { continue }
            guard entry.done > before.done else {
                throw Violation(
                    "Placed",
                    "\(entry.name) was in \(before.zone), is in \(entry.zone) with "
                        + "\(entry.tokens.count) tokens, and no move is complete")
            }
            if entry.zone != before.zone { counters.rezonings += 1 }
        }
    }

    /// Placed: in the end every key lives on its owners and nowhere else.
    func checkPlaced() throws(Violation) {
        for process in present {
            if let change = process.node?.handoverStatus() {
                throw Violation(
                    "Placed",
                    "\(process.name) still has a change in hand, of \(change.name), which waits for "
                        + change.waits.map { "\($0.name) (\($0.obstacle.text))" }.joined(separator: ", "))
            }
            for key in 0..<plan.workload.keys where !owners[key].old.contains(process.index) {
                guard process.disk.read(WorkloadKeys.stored(key)) == nil else {
                    throw Violation(
                        "Placed", key: key, "\(process.name) holds k\(key), and is no owner of it")
                }
            }
        }
    }
}

/// Nodes that come and go.
package struct RingPlan: Sendable {
    /// Machines beyond the founders.
    package var joiners = 0
    package var leaves = false
    /// Machines die for good, and are given up.
    package var removes = false
    /// Nodes take other tokens.
    package var moves = false
    var gapMax = Interval.seconds(10)
    /// Those that operators give keyspaces, one after the other; none where they keep what they have.
    package var factors: [ReplicationFactor] = []
    var alterGapMax = Interval.seconds(10)
    /// Nodes are given other zones.
    package var rezones = false
    var rezoneGapMax = Interval.seconds(10)

    package init() {}

    mutating func drawRezoning(seed: UInt64, chance: Double) {
        // From a source of its own, because it came later.
        var random = Random(seed: seed ^ 0x7A6F_6E65)
        rezones = random.chance(chance)
        rezoneGapMax = .seconds(Int64(1 + random.below(12)))
    }

    /// - Parameter machines: of each data centre.
    mutating func drawFactors(
        seed: UInt64, _ replication: ReplicationFactor, machines: [String: Int], chance: Double
    ) {
        // From a source of its own, because it came later.
        var random = Random(seed: seed ^ 0x616C_7465_72)
        guard random.chance(chance) else { return }
        alterGapMax = .seconds(Int64(1 + random.below(12)))
        // With one copy levels mean less: seldom.
        func count(upTo most: Int) -> Int {
            most == 1 || random.chance(0.1) ? 1 : 2 + random.below(min(5, most) - 1)
        }
        factors = [replication]
        for _ in 0..<(1 + random.below(2)) {
            switch replication {
            case .count: factors.append(.count(count(upTo: machines.values.reduce(0, +))))
            case .perDataCenter(let list):
                factors.append(
                    .perDataCenter(
                        list.map { .init(name: $0.name, count: count(upTo: machines[$0.name] ?? 1)) }))
            }
        }
    }

    init(seed: UInt64) {
        // From a source of its own, because it came later.
        var random = Random(seed: seed ^ 0x7269_6E67)
        guard random.chance(0.4) else { return }
        joiners = 1 + random.below(4)
        leaves = random.chance(0.6)
        gapMax = .seconds(Int64(2 + random.below(15)))
        removes = random.chance(0.4)
        moves = random.chance(0.4)
    }

    var text: String {
        let kinds = [(leaves, "leaves"), (removes, "removes"), (moves, "moves")].filter(\.0).map(\.1)
        let later = (factors.isEmpty ? [] : ["alters"]) + (rezones ? ["rezones"] : [])
        return joiners == 0 && kinds.isEmpty && later.isEmpty
            ? "off" : (["+\(joiners)"] + kinds + later).joined(separator: ",")
    }
}

extension Ring {
    /// Whether it holds all that another one does, but for what nodes said of themselves that are gone by
    /// now: that may have died with them.
    fileprivate func knows(_ other: Ring) -> Bool {
        var known = self
        for entry in entries where entry.isGone {
            if let last = other[entry.id], (try? known.merge(last)) == nil { return false }
        }
        var joined = known
        return (try? joined.merge(other)) != nil && joined == known
    }
}
