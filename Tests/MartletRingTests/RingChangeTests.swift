import MartletBase
import MartletRing
import Testing

/// A ring in which some nodes want to come and some to go.
private struct ChangingRing {
    var world: RingWorld
    var ring = Ring()

    init(seed: UInt64, placed: Int, joining: Int = 0, leaving: Int = 0, zones: Int = 1) throws {
        world = RingWorld(seed: seed)
        for place in 0..<placed {
            var entry = world.entry(zone: "z\(world.random.below(zones))", tokens: world.slots(8))
            if place < leaving {
                entry.verdict = Verdict(
                    kind: .removing, stamp: UInt64(1 + world.random.below(100)), by: entry.id)
            }
            try ring.merge(entry)
        }
        for _ in 0..<joining {
            var entry = world.entry(
                zone: "z\(world.random.below(zones))", tokens: world.slots(8), state: .joining)
            entry.joined = UInt64(1 + world.random.below(100))
            try ring.merge(entry)
        }
    }

    /// The ring when the change in hand is complete.
    func completed() throws -> Ring {
        guard let change = ring.change, let node = change.node, var entry = ring[node] else { return ring }
        var next = ring
        if change.kind == .join {
            entry.state = .normal
            entry.incarnation += 1
        } else {
            entry.verdict = Verdict(kind: .removed, stamp: change.stamp + 1, by: entry.id)
        }
        try next.merge(entry)
        return next
    }
}

@Suite struct RingChangeTests {
    @Test(arguments: UInt64(1)...20)
    func changesAreOneAfterTheOther(seed: UInt64) throws {
        var changing = try ChangingRing(seed: seed, placed: 6, joining: 3, leaving: 2)
        let wanted = changing.ring.changes
        #expect(wanted.count == 5 && wanted.first == changing.ring.change)
        #expect(
            zip(wanted, wanted.dropFirst()).allSatisfy { ($0.stamp, $0.subject) < ($1.stamp, $1.subject) })
        for change in wanted {
            #expect(changing.ring.change == change)
            #expect(changing.ring.voters.contains { .node($0) == change.subject })
            let before = Placement(ring: changing.ring, keyspace: keyspace())
            changing.ring = try changing.completed()
            let after = Placement(ring: changing.ring, keyspace: keyspace())
            for slot in stride(from: 0, to: Limits.slots, by: 97).map({ Slot($0) }) {
                let promised = before.next(of: slot) ?? before.owners(of: slot)
                #expect(promised.array.map { before.members[$0].id } == after.ids(of: slot))
            }
        }
        #expect(changing.ring.change == nil)
        let settled = Placement(ring: changing.ring, keyspace: keyspace())
        #expect(settled.ranges.allSatisfy { $0.next == nil })
    }

    /// One node that comes or goes changes one place of a preference list at most, whatever the zones.
    @Test(arguments: UInt64(1)...30)
    func oneNodeTakesOnePlace(seed: UInt64) throws {
        let isJoin = seed % 2 == 0
        let changing = try ChangingRing(
            seed: seed, placed: 7, joining: isJoin ? 1 : 0, leaving: isJoin ? 0 : 1,
            zones: Int(1 + seed % 4))
        let placement = Placement(ring: changing.ring, keyspace: keyspace())
        for range in placement.ranges {
            guard let next = range.next else { continue }
            let (old, new) = (Set(range.owners.array), Set(next.array))
            #expect(old.subtracting(new).count <= 1 && new.subtracting(old).count <= 1)
            #expect(old != new || range.owners.array != next.array)
        }
        #expect(placement.ranges.contains { $0.next != nil })
    }

    /// What is counted while a slot changes hands meets what is counted before, and what is counted after.
    @Test(arguments: ConsistencyLevel.allCases)
    func bothListsAreMet(level: ConsistencyLevel) {
        let factors = DataCenterFactors(.count(3), number: { _ in 0 })
        func requirement(_ places: UInt32) -> Requirement {
            Requirement(level, factors: factors, coordinator: 0, among: places) { _ in 0 }
        }
        let (old, new) = (requirement(0b0111), requirement(0b1011))
        let both = Requirement.both(old, new)
        #expect(both.required == old.required)
        for answered in UInt32(0)..<16 {
            #expect(both.isMet(by: answered) == (old.isMet(by: answered) && new.isMet(by: answered)))
            #expect((both.count(of: answered) >= both.required) == both.isMet(by: answered))
            let helped = (0..<4).contains { place in
                both.progress(of: answered | 1 << UInt32(place)) > both.progress(of: answered)
            }
            #expect(both.isMet(by: answered) || helped, "some place brings an unmet level nearer")
        }
        let kept = both.complement
        for answered in UInt32(0)..<16 {
            let isKept = old.complement.isMet(by: answered) && new.complement.isMet(by: answered)
            #expect(kept.isMet(by: answered) == isKept)
        }
    }

    @Test func aShapeThatIsLeftNeverComesAgain() throws {
        var changing = try ChangingRing(seed: 5, placed: 4)
        var shapes = [changing.ring.shape]
        // What else an entry says makes no difference.
        var entry = changing.ring.entries[1]
        entry.incarnation += 1
        entry.version = "9"
        entry.state = .rebuilding
        try changing.ring.merge(entry)
        #expect(changing.ring.shape == shapes[0])
        // A change does, and one that comes before it; and that this is called off doesn't bring back what
        // was, though the owners are the same as before.
        var joiner = changing.world.entry(tokens: changing.world.slots(8), state: .joining)
        joiner.joined = 10
        try changing.ring.merge(joiner)
        shapes.append(changing.ring.shape)
        var other = changing.world.entry(tokens: changing.world.slots(8), state: .joining)
        other.joined = 9
        try changing.ring.merge(other)
        #expect(changing.ring.change?.node == other.id)
        shapes.append(changing.ring.shape)
        for (stamp, var entry) in [other, joiner].enumerated() {
            entry.verdict = Verdict(
                kind: .removed, stamp: 12 + UInt64(stamp), by: changing.ring.entries[0].id)
            try changing.ring.merge(entry)
            shapes.append(changing.ring.shape)
        }
        #expect(changing.ring.change == nil)
        #expect(Set(shapes).count == 5)
    }

    /// A node in another zone: its slots' new owners are those of a ring in which it was always there. Who
    /// gains a slot takes the place of one that loses it.
    @Test(arguments: UInt64(1)...20)
    func anotherZoneIsAMove(seed: UInt64) throws {
        var changing = try ChangingRing(seed: seed, placed: 7, zones: 3)
        let before = Placement(ring: changing.ring, keyspace: keyspace())
        var entry = changing.ring.entries[Int(seed % 7)]
        let zone = ["z0", "z1", "z2", "z3"].first { $0 != entry.zone }!
        entry.next = RingPosition(tokens: entry.tokens, zone: zone)
        entry.moved = 10
        entry.incarnation += 1
        let shape = changing.ring.shape
        try changing.ring.merge(entry)
        let change = try #require(changing.ring.change)
        #expect(change.kind == .move && change.ownCompleter == entry.id && changing.ring.shape != shape)
        #expect(entry.zone != zone, "not before it is complete")
        let joint = Placement(ring: changing.ring, keyspace: keyspace())
        let move = RingMove(node: entry.id, tokens: entry.tokens, zone: zone)
        let settled = Placement(ring: changing.ring.fulfilling(.move([move])), keyspace: keyspace())
        for slot in stride(from: 0, to: Limits.slots, by: 97).map({ Slot($0) }) {
            #expect(joint.owners(of: slot) == before.owners(of: slot))
            let next = joint.next(of: slot) ?? joint.owners(of: slot)
            #expect(next == settled.owners(of: slot))
            let (old, new) = (Set(joint.owners(of: slot).array), Set(next.array))
            #expect(old.subtracting(new).count == new.subtracting(old).count)
        }
        // Called off, it leaves a shape of its own; complete, it is the node's position.
        var calledOff = changing.ring
        var aborted = entry
        aborted.verdict = Verdict(kind: .aborted, stamp: 11, by: entry.id)
        try calledOff.merge(aborted)
        #expect(calledOff.change == nil && calledOff[entry.id]?.zone == entry.zone)
        #expect(![shape, changing.ring.shape].contains(calledOff.shape))
        try changing.ring.merge(change.completed(entry))
        #expect(changing.ring.change == nil && changing.ring[entry.id]?.zone == zone)
        #expect(Placement(ring: changing.ring, keyspace: keyspace()).ranges == settled.ranges)
    }

    /// A keyspace's new owners are those of a keyspace that always had the new factor; no other one changes.
    @Test(arguments: [(3, 5), (5, 3), (3, 2), (1, 3)])
    func anAlterationGivesOneKeyspaceOtherOwners(from: Int, to: Int) throws {
        var changing = try ChangingRing(seed: 7, placed: 6, zones: 3)
        var definition = keyspace(.count(from), id: 4)
        let before = changing.ring.shape
        changing.ring.merge(definition)
        #expect(changing.ring.shape == before, "what was never altered is nothing that the ring holds")
        definition.copies.want(.count(to), at: 10)
        changing.ring.merge(definition)
        let change = try #require(changing.ring.change)
        #expect(change.kind == .alter && change.subject == .keyspace(4) && change.ownCompleter == nil)
        #expect(changing.ring.voters.count == 6 && changing.ring.shape != before)
        let joint = Placement(ring: changing.ring, keyspace: definition)
        let settled = Placement(ring: try Ring(changing.ring.entries), keyspace: keyspace(.count(to), id: 4))
        #expect(joint.isAltered)
        for slot in stride(from: 0, to: Limits.slots, by: 97).map({ Slot($0) }) {
            #expect(joint.owners(of: slot).count == from)
            #expect(joint.next(of: slot) == settled.owners(of: slot))
        }
        let other = Placement(ring: changing.ring, keyspace: keyspace(.count(3), id: 5))
        #expect(!other.isAltered && other.ranges.allSatisfy { $0.next == nil })
        definition.copies.complete()
        changing.ring.merge(definition)
        changing.ring.checkInvariants()
        #expect(changing.ring.change == nil && definition.replication == .count(to))
        let after = Placement(ring: changing.ring, keyspace: definition)
        #expect(after.owners(of: Slot(5)) == settled.owners(of: Slot(5)) && after.next(of: Slot(5)) == nil)
        #expect(after.digest(of: Slot(5)) != joint.digest(of: Slot(5)))
    }

    /// Where as many nodes own a slot before and after, its levels still differ.
    @Test func aFactorIsPartOfTheDigest() throws {
        let changing = try ChangingRing(seed: 8, placed: 2)
        let digests = [2, 3].map {
            Placement(ring: changing.ring, keyspace: keyspace(.count($0))).digest(of: Slot(9))
        }
        #expect(digests[0] != digests[1])
    }

    /// Quorums of each list are counted by its own factor.
    @Test func eachListIsCountedByItsFactor() {
        func requirement(_ level: ConsistencyLevel, _ copies: Int) -> Requirement {
            let factors = DataCenterFactors(.count(copies), number: { _ in 0 })
            return Requirement(level, factors: factors, coordinator: 0, among: Requirement.first(copies)) {
                _ in
                0
            }
        }
        let quorum = Requirement.both(requirement(.quorum, 3), requirement(.quorum, 5))
        #expect(quorum.required == 3)
        #expect(!quorum.isMet(by: 0b11001), "one of the old owners")
        #expect(!quorum.isMet(by: 0b00011), "two of the new ones")
        #expect(quorum.isMet(by: 0b10011) && quorum.isMet(by: 0b00111))
        let all = Requirement.both(requirement(.all, 5), requirement(.all, 3))
        #expect(all.isMet(by: 0b11111) && !all.isMet(by: 0b00111))
        #expect(quorum.complement.isMet(by: 0b00111) && !quorum.complement.isMet(by: 0b00011))
    }

    @Test func alterationsWaitTheirTurnAndAreCalledOff() throws {
        var changing = try ChangingRing(seed: 9, placed: 4, joining: 1)
        let joining = try #require(changing.ring.change)
        var definition = keyspace(.count(3), id: 4)
        definition.copies.want(.count(4), at: joining.stamp + 5)
        changing.ring.merge(definition)
        #expect(changing.ring.change == joining && changing.ring.changes.count == 2)
        let waiting = changing.ring.shape
        // The factor in force is wanted again.
        definition.copies.want(.count(3), at: joining.stamp + 6)
        changing.ring.merge(definition)
        #expect(changing.ring.changes == [joining] && changing.ring.shape != waiting)
        #expect(definition.copies.wanted == nil && definition.copies.all == [.count(3)])
        // What is asked for later waits behind it; and rings join in any order.
        definition.copies.want(.count(2), at: joining.stamp + 7)
        var (a, b) = (changing.ring, changing.ring)
        a.merge(definition)
        var other = keyspace(.count(3), id: 2)
        other.copies.want(.count(1), at: 1)
        b.merge(other)
        var (ab, ba) = (a, b)
        try ab.merge(b)
        try ba.merge(a)
        #expect(ab == ba && ab.digest == ba.digest && ab.changes.count == 3)
    }

    @Test func whoIsGivenUpHasNoVote() throws {
        var changing = try ChangingRing(seed: 6, placed: 5, joining: 1)
        var dead = changing.ring.entries.first { $0.isPlaced }!
        #expect(changing.ring.voters.count == 6)
        dead.verdict = Verdict(kind: .removing, stamp: 1_000, by: changing.ring.entries[3].id)
        try changing.ring.merge(dead)
        #expect(changing.ring.change?.kind == .remove, "nothing is given to one that is given up")
        #expect(changing.ring.voters.count == 4 && !changing.ring.voters.contains(dead.id))
    }
}
