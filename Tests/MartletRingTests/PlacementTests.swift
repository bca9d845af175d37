import MartletBase
import MartletRing
import Testing

/// The definition of a preference list, taken word by word and computed slot by slot: the dumb second
/// implementation.
private struct DumbPlacement {
    let entries: [RingEntry]
    let replication: ReplicationFactor

    init(_ ring: Ring, _ replication: ReplicationFactor) {
        entries = ring.entries.filter { entry in
            !entry.tokens.isEmpty && entry.state != .joining && entry.verdict?.kind != .removed
        }
        self.replication = replication
    }

    /// All nodes in the order in which a walk from the slot first meets them.
    func walk(from slot: Slot) -> [RingEntry] {
        let tokens = entries.flatMap { entry in entry.tokens.map { (slot: $0, entry: entry) } }
            .sorted { ($0.slot, $0.entry.id) < ($1.slot, $1.entry.id) }
        var met: [RingEntry] = []
        for token in tokens.filter({ $0.slot >= slot }) + tokens.filter({ $0.slot < slot })
        where !met.contains(where: { $0.id == token.entry.id }) {
            met.append(token.entry)
        }
        return met
    }

    /// Takes, again and again, the first node whose zone has the fewest taken so far.
    private func spread(_ walk: [RingEntry], _ copies: Int) -> [(round: Int, entry: RingEntry)] {
        var left = walk
        var taken: [(round: Int, entry: RingEntry)] = []
        func takenBeside(_ entry: RingEntry) -> Int {
            taken.count { $0.entry.zone == entry.zone && $0.entry.dataCenter == entry.dataCenter }
        }
        while taken.count < copies, let fewest = left.map(takenBeside).min() {
            let next = left.firstIndex { takenBeside($0) == fewest }!
            taken.append((fewest, left.remove(at: next)))
        }
        return taken
    }

    func owners(of slot: Slot) -> [NodeID] {
        let walk = walk(from: slot)
        switch replication {
        case .count(let n): return spread(walk, n).map(\.entry.id)
        case .perDataCenter(let list):
            let picks = list.flatMap { each in
                spread(walk.filter { $0.dataCenter == each.name }, each.count)
            }
            let position = Dictionary(uniqueKeysWithValues: walk.enumerated().map { ($1.id, $0) })
            return picks.sorted { ($0.round, position[$0.entry.id]!) < ($1.round, position[$1.entry.id]!) }
                .map(\.entry.id)
        }
    }
}

/// Slots where something may change, and some others.
private func interestingSlots(_ ring: Ring, _ random: inout Random) -> [Slot] {
    let ends = ring.entries.flatMap(\.tokens).prefix(60)
    return ends.map { $0 } + ends.map { Slot((Int($0.index) + 1) % Limits.slots) } + [.first, .last]
        + (0..<20).map { _ in Slot(random.below(Limits.slots)) }
}

@Suite struct PlacementTests {
    @Test(arguments: 1...60)
    func preferenceListsAgreeWithTheDefinition(seed: UInt64) throws {
        var world = RingWorld(seed: seed)
        let nodes = 1 + world.random.below(14)
        let ring = try world.ring(
            nodes: nodes, tokens: 1 + world.random.below(8), zones: 1 + world.random.below(6))
        let replication = ReplicationFactor.count(1 + world.random.below(7))
        let placement = Placement(ring: ring, keyspace: keyspace(replication))
        placement.checkInvariants()
        let dumb = DumbPlacement(ring, replication)
        for slot in interestingSlots(ring, &world.random) {
            #expect(placement.ids(of: slot) == dumb.owners(of: slot), "seed \(seed), slot \(slot)")
        }
    }

    @Test(arguments: 1...40)
    func factorsPerDataCenterAgreeWithTheDefinition(seed: UInt64) throws {
        var world = RingWorld(seed: seed)
        let centers = 1 + world.random.below(4)
        let ring = try world.ring(
            nodes: 1 + world.random.below(20), tokens: 1 + world.random.below(6),
            zones: 1 + world.random.below(4), dataCenters: centers)
        // The last one named holds no node; some that hold nodes may not be named.
        let replication = ReplicationFactor.perDataCenter(
            (0...centers).filter { _ in world.random.chance(0.8) }.map {
                .init(name: "dc\($0)", count: 1 + world.random.below(4))
            })
        guard replication.isValid else { return }
        let placement = Placement(ring: ring, keyspace: keyspace(replication))
        let dumb = DumbPlacement(ring, replication)
        for slot in interestingSlots(ring, &world.random) {
            #expect(placement.ids(of: slot) == dumb.owners(of: slot), "seed \(seed), slot \(slot)")
        }
    }

    @Test(arguments: 1...30)
    func noPlaceRepeatsANodeNorAZoneWhileAnotherIsFree(seed: UInt64) throws {
        var world = RingWorld(seed: seed)
        let ring = try world.ring(
            nodes: 1 + world.random.below(30), tokens: 1 + world.random.below(16),
            zones: 1 + world.random.below(7))
        let placement = Placement(ring: ring, keyspace: keyspace(.count(1 + world.random.below(7))))
        let zones = Set(placement.members.map(\.zone))
        for range in placement.ranges {
            let owners = range.owners.array
            #expect(Set(owners).count == owners.count, "seed \(seed)")
            #expect(owners.count == min(placement.keyspace.replication.total, placement.members.count))
            for place in owners.indices {
                let before = owners[..<place].map { placement.members[$0].zone }
                let isRepeated = before.contains(placement.members[owners[place]].zone)
                #expect(!isRepeated || Set(before) == zones, "seed \(seed), place \(place) of \(range)")
            }
        }
    }

    @Test(arguments: 1...30)
    func ownersAndFallbacksAreTheWholeWalk(seed: UInt64) throws {
        var world = RingWorld(seed: seed)
        let ring = try world.ring(nodes: 1 + world.random.below(12), tokens: 5, zones: 1)
        let placement = Placement(ring: ring, keyspace: keyspace())
        let dumb = DumbPlacement(ring, .count(3))
        for slot in interestingSlots(ring, &world.random) {
            let list =
                placement.ids(of: slot) + placement.fallbacks(of: slot).map { placement.members[$0].id }
            #expect(list == dumb.walk(from: slot).map(\.id), "seed \(seed), slot \(slot)")
            #expect(placement.fallbacks(of: slot, max: 2) == Array(placement.fallbacks(of: slot).prefix(2)))
        }
    }

    @Test(arguments: 1...30)
    func rangesCoverEverySlotOnceAndEndAtTokens(seed: UInt64) throws {
        var world = RingWorld(seed: seed)
        let ring = try world.ring(nodes: 1 + world.random.below(8), tokens: 4, zones: 2)
        let placement = Placement(ring: ring, keyspace: keyspace())
        let ranges = placement.ranges
        #expect(ranges.first?.first == .first && ranges.last?.last == .last, "seed \(seed)")
        for (a, b) in zip(ranges, ranges.dropFirst()) {
            #expect(Int(b.first.index) == Int(a.last.index) + 1, "seed \(seed)")
            #expect(placement.tokenOwners.contains { $0.slot == a.last }, "seed \(seed)")
        }
        for range in ranges {
            #expect(
                placement.owners(of: range.first) == range.owners
                    && placement.owners(of: range.last) == range.owners)
        }
        let shares = placement.members.indices.map(placement.ownsFraction)
        #expect(abs(shares.reduce(0, +) - Double(min(3, placement.members.count))) < 1e-9, "seed \(seed)")
    }

    @Test func aRingWithoutTokensHasNoOwners() throws {
        var world = RingWorld(seed: 1)
        for ring in [Ring(), try Ring([world.entry(), world.entry()])] {
            let placement = Placement(ring: ring, keyspace: keyspace())
            #expect(placement.owners(of: .last).isEmpty && placement.fallbacks(of: .first).isEmpty)
            #expect(placement.ranges.count == 1)
            placement.checkInvariants()
        }
    }

    @Test func aTokenIsTheLastSlotOfItsRange() throws {
        var world = RingWorld(seed: 1)
        let (a, b) = (world.entry(tokens: [Slot(99)]), world.entry(tokens: [Slot(199)]))
        let placement = Placement(ring: try Ring([a, b]), keyspace: keyspace(.count(1)))
        #expect(placement.ids(of: Slot(99)) == [a.id])
        #expect(placement.ids(of: Slot(100)) == [b.id] && placement.ids(of: Slot(199)) == [b.id])
        #expect(placement.ids(of: Slot(200)) == [a.id] && placement.ids(of: .first) == [a.id])
    }

    @Test func onlyNodesThatOwnTokensAreMembers() throws {
        var world = RingWorld(seed: 1)
        var entries = NodeState.allCases.map { world.entry(tokens: world.slots(4), state: $0) }
        entries.append(world.entry(state: .normal))
        for kind in Verdict.Kind.allCases {
            for state in [NodeState.joining, .normal] {
                var entry = world.entry(tokens: world.slots(4), state: state)
                entry.verdict = Verdict(kind: kind, stamp: 1, by: entries[0].id)
                entries.append(entry)
            }
        }
        let placement = Placement(ring: try Ring(entries), keyspace: keyspace())
        // normal, rebuilding; removing while normal, whose change is in hand; aborted while normal.
        let expected = [1, 2, 5, 9].map { entries[$0].id }.sorted()
        #expect(placement.members.map(\.id) == expected)
        for (ordinal, id) in expected.enumerated() { #expect(placement.ordinal(of: id) == ordinal) }
        #expect(placement.ordinal(of: entries[3].id) == nil)
    }

    @Test(arguments: 1...10)
    func digestsCoverOwnersAndDefinitionAndNothingElse(seed: UInt64) throws {
        var world = RingWorld(seed: seed)
        let ring = try world.ring(nodes: 6, tokens: 6, zones: 1)
        let base = Placement(ring: ring, keyspace: keyspace())
        var other = ring.entries[2]
        other.incarnation += 1
        other.address = other.address.advanced(by: 9)
        var moved = ring
        try moved.merge(other)
        #expect(moved.digest != ring.digest)
        let same = Placement(ring: moved, keyspace: keyspace())
        let others = [keyspace(id: 1), keyspace(stamp: 2), keyspace(truncation: 3)].map {
            Placement(ring: ring, keyspace: $0)
        }
        for range in base.ranges {
            let digest = base.digest(of: range.first)
            #expect(digest == base.digest(of: range.last) && digest == same.digest(of: range.first))
            for placement in others { #expect(placement.digest(of: range.first) != digest) }
            for second in base.ranges where second.owners != range.owners {
                #expect(base.digest(of: second.first) != digest, "seed \(seed)")
            }
        }
    }

    @Test(arguments: 1...10)
    func thePlacementDoesNotDependOnTheOrderOfMerges(seed: UInt64) throws {
        var world = RingWorld(seed: seed)
        let ring = try world.ring(nodes: 12, tokens: 8, zones: 3)
        var entries = ring.entries
        world.random.shuffle(&entries)
        let other = try Ring(entries)
        #expect(other == ring && other.digest == ring.digest)
        let (a, b) = (
            Placement(ring: ring, keyspace: keyspace()), Placement(ring: other, keyspace: keyspace())
        )
        #expect(a.ranges == b.ranges, "seed \(seed)")
    }
}
