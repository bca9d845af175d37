import MartletBase
import MartletRing
import Testing

/// Whole sizes are for `make test`, which is optimised.
#if DEBUG
private let isOptimised = false
#else
private let isOptimised = true
#endif

/// A cluster that grows by nodes which choose their own tokens.
private struct Growth {
    var ring = Ring()
    var world = RingWorld(seed: 7)
    let replication: Int
    let tokens: Int

    init(founders: [String], replication: Int = 3, tokens: Int = 16) throws {
        self.replication = replication
        self.tokens = tokens
        let names = founders.enumerated().map { (name: "n\($0)", zone: $1, dataCenter: "default") }
        let slots = TokenChoice.founding(nodes: names, tokensPerNode: tokens, replication: replication)
        for (zone, chosen) in zip(founders, slots) { try ring.merge(world.entry(zone: zone, tokens: chosen)) }
    }

    mutating func join(zone: String, awaiting: Int = 0) throws {
        var entry = world.entry(zone: zone)
        entry.own.tokens = choice(entry, awaiting: awaiting)
        try ring.merge(entry)
    }

    /// The tokens that a node would choose now.
    func choice(_ joiner: RingEntry, awaiting: Int = 0) -> [Slot] {
        TokenChoice.choose(
            count: tokens, for: (joiner.id, joiner.zone, joiner.dataCenter), in: ring,
            replication: replication, awaiting: awaiting)
    }

    var placement: Placement { Placement(ring: ring, keyspace: keyspace(.count(replication))) }

    var distinctTokens: Int { Set(ring.entries.flatMap(\.tokens)).count }

    /// The largest share of replicated load as a multiple of the mean: of its zone's when there are enough
    /// zones.
    var unevenness: Double {
        let placement = placement
        let zones = Set(placement.members.map(\.zone)).sorted()
        func unevenness(_ ordinals: [Int]) -> Double {
            let loads = ordinals.map(placement.ownsFraction)
            return loads.max()! / (loads.reduce(0, +) / Double(loads.count))
        }
        let all = Array(placement.members.indices)
        if zones.count < replication { return unevenness(all) }
        return zones.map { zone in unevenness(all.filter { placement.members[$0].zone == zone }) }.max()!
    }
}

extension Placement {
    fileprivate func owners(_ slot: Int) -> Set<NodeID> {
        let owners = owners(of: Slot(slot))
        return Set(owners.indices.map { members[owners[$0]].id })
    }

    /// The copies of slots that a node has which it hadn't before.
    fileprivate func gained(since before: Placement) -> Int {
        (0..<Limits.slots).reduce(0) { $0 + owners($1).subtracting(before.owners($1)).count }
    }
}

@Suite struct TokenChoiceTests {
    @Test(arguments: [1, 3], [1, 3])
    func loadStaysEvenWhileNodesJoinOneAfterAnother(founders: Int, zones: Int) throws {
        let largest = !isOptimised ? 6 : founders == 1 ? 200 : 80
        var growth = try Growth(founders: (0..<founders).map { "z\($0 % zones)" })
        for count in (founders + 1)...largest {
            try growth.join(zone: "z\((count - 1) % zones)")
            let unevenness = growth.unevenness
            #expect(unevenness <= 1.10, "\(count) nodes in \(zones) zones from \(founders)")
        }
        #expect(growth.distinctTokens == largest * 16)
    }

    /// Nodes that know of each other move hardly more than what they have when all of them are in.
    @Test(arguments: [3, 4, 6, 12, 24], [1, 3])
    func whoJoinsAtOnceMovesLittleTwice(founders: Int, zones: Int) throws {
        for joiners in zones == 1 ? 2...4 : 3...3 {
            var growth = try Growth(founders: (0..<founders).map { "z\($0 % zones)" })
            var moved = 0
            for joiner in 0..<joiners {
                let before = growth.placement
                try growth.join(
                    zone: "z\((founders + joiner) % zones)", awaiting: joiners - joiner - 1)
                moved += growth.placement.gained(since: before)
            }
            let least = Double(3 * Limits.slots * joiners) / Double(founders + joiners)
            #expect(Double(moved) <= 1.05 * least, "\(joiners) join \(founders)")
            // That three zones of one or two nodes each can't be even is nobody's fault.
            #expect(growth.unevenness <= 1.10, "\(joiners) join \(founders)")
        }
    }

    @Test(arguments: [2, 4, 5, 40])
    func loadStaysEvenInOtherNumbersOfZones(zones: Int) throws {
        let largest = isOptimised ? 40 : 11
        // Two rounds of the zones are founded, so that none is short of nodes.
        var growth = try Growth(founders: (0..<min(10, 2 * zones)).map { "z\($0 % zones)" })
        for count in (min(10, 2 * zones) + 1)...largest {
            try growth.join(zone: "z\((count - 1) % zones)")
            let unevenness = growth.unevenness
            #expect(
                unevenness <= 1.10,
                "\(count) nodes in \(zones) zones")
        }
        #expect(growth.distinctTokens == largest * 16)
    }

    @Test(arguments: [1, 2, 5, 7], [4, 16, 40])
    func otherFactorsAndNumbersOfTokens(replication: Int, tokens: Int) throws {
        let largest = isOptimised ? 20 : 4
        var growth = try Growth(founders: ["a", "a", "a"], replication: replication, tokens: tokens)
        for count in 4...largest {
            try growth.join(zone: "a")
            let unevenness = growth.unevenness
            #expect(unevenness <= (tokens < 16 ? 1.4 : 1.10), "\(count) nodes")
        }
        #expect(growth.distinctTokens == largest * tokens)
    }

    @Test func theChoiceIsAFunctionOfTheRing() throws {
        var growth = try Growth(founders: ["a", "b", "a", "b"])
        try growth.join(zone: "a")
        let joiner = growth.world.entry(zone: "b")
        let chosen = growth.choice(joiner)
        #expect(chosen == chosen.sorted() && Set(chosen).count == 16)
        var entries = growth.ring.entries
        for _ in 0..<3 {
            growth.world.random.shuffle(&entries)
            growth.ring = try Ring(entries)
            #expect(growth.choice(joiner) == chosen)
        }
        // Its own former tokens don't count.
        var former = joiner
        former.own.tokens = growth.world.slots(5).filter { !chosen.contains($0) }
        try growth.ring.merge(former)
        #expect(growth.choice(joiner) == chosen)
    }

    @Test func whoLeavesGivesItsLoadToOthers() throws {
        var growth = try Growth(founders: ["a", "a", "a", "a", "a"])
        var leaver = growth.ring.entries[1]
        leaver.verdict = Verdict(kind: .removing, stamp: 1, by: leaver.id)
        try growth.ring.merge(leaver)
        try growth.join(zone: "a")
        #expect(growth.distinctTokens == 6 * 16, "a leaving node keeps its slots until it has left")
        leaver.verdict = Verdict(kind: .removed, stamp: 2, by: leaver.id)
        try growth.ring.merge(leaver)
        #expect(growth.unevenness <= 1.10)
    }

    @Test func aFullRingGivesWhatIsLeft() throws {
        var world = RingWorld(seed: 1)
        let all = (0..<Limits.slots).map { Slot($0) }
        var ring = Ring()
        for part in 0..<64 {
            let tokens = all[(part * 256)..<(part * 256 + 256)].filter { $0 != Slot(77) && $0 != Slot(9_000) }
            try ring.merge(world.entry(zone: "z\(part % 2)", tokens: tokens))
        }
        for zone in ["z0", "z9"] {
            for replication in 1...4 {
                let joiner = (id: NodeID(random: &world.random), zone: zone, dataCenter: "default")
                let chosen = TokenChoice.choose(count: 16, for: joiner, in: ring, replication: replication)
                #expect(chosen == [Slot(77), Slot(9_000)], "\(replication) copies, zone \(zone)")
            }
        }
    }

    @Test func aDataCenterIsEvenedOutByItself() throws {
        var world = RingWorld(seed: 2)
        let replication = ReplicationFactor.perDataCenter([
            .init(name: "a", count: 2), .init(name: "b", count: 1),
        ])
        let centers = ["a", "b", "a", "b"]
        let names = centers.enumerated().map { (name: "n\($0)", zone: "default", dataCenter: $1) }
        let founding = TokenChoice.founding(nodes: names, tokensPerNode: 16, replication: replication)
        var ring = Ring()
        for (center, tokens) in zip(centers, founding) {
            try ring.merge(world.entry(dataCenter: center, tokens: tokens))
        }
        for k in 0..<(isOptimised ? 12 : 4) {
            var entry = world.entry(dataCenter: centers[k % 2])
            entry.own.tokens = TokenChoice.choose(
                count: 16, for: (entry.id, entry.zone, entry.dataCenter), in: ring, replication: replication)
            try ring.merge(entry)
            let placement = Placement(ring: ring, keyspace: keyspace(replication))
            for (center, copies) in [("a", 2.0), ("b", 1.0)] {
                let loads = placement.members.indices.filter { placement.members[$0].dataCenter == center }
                    .map(placement.ownsFraction)
                #expect(
                    loads.max()! <= 1.10 * copies / Double(loads.count),
                    "\(ring.entries.count) nodes, \(center)")
            }
        }
    }
}

@Suite struct FoundingTests {
    private func nodes(_ zones: [String]) -> [(name: String, zone: String, dataCenter: String)] {
        zones.enumerated().map { (name: "n\($0)", zone: $1, dataCenter: "default") }
    }

    @Test func threeNodesTakeTurnsAndOwnEverything() {
        let tokens = TokenChoice.founding(nodes: nodes(["a", "a", "a"]), tokensPerNode: 16, replication: 3)
        let all = tokens.flatMap { $0 }.sorted()
        #expect(all == (1...48).map { Slot(($0 * Limits.slots + 47) / 48 - 1) })
        #expect(all.first == Slot(341) && all.last == .last)
        for (a, b) in zip(tokens[0], tokens[1]) { #expect(a < b) }
    }

    @Test func tokensDependOnTheNodesAndNotOnTheirOrder() {
        var list = nodes((0..<11).map { "z\($0 % 4)" })
        let tokens = TokenChoice.founding(nodes: list, tokensPerNode: 16, replication: 3)
        let byName = Dictionary(uniqueKeysWithValues: zip(list.map(\.name), tokens))
        var random = Random(seed: 1)
        for _ in 0..<5 {
            random.shuffle(&list)
            let again = TokenChoice.founding(nodes: list, tokensPerNode: 16, replication: 3)
            for (node, tokens) in zip(list, again) { #expect(byName[node.name] == tokens) }
        }
    }

    @Test(arguments: [1, 2, 3, 4, 5, 7, 10, 17, 30, 64, 100], [1, 2, 3, 5])
    func foundedRingsAreEven(count: Int, zones: Int) throws {
        let growth = try Growth(founders: (0..<count).map { "z\($0 % zones)" })
        #expect(growth.distinctTokens == count * 16)
        // Unless a zone has just one copy, zones of different sizes lie differently to each other all around
        // the ring.
        let isIrregular = zones != 3 && count % zones != 0
        let unevenness = growth.unevenness
        #expect(unevenness <= (isIrregular ? 1.2 : 1.02))
    }

    @Test(arguments: [6, 12, 24])
    func aFailedNodesLoadFallsOnManyOthers(count: Int) throws {
        let growth = try Growth(founders: Array(repeating: "a", count: count))
        let placement = Placement(ring: growth.ring, keyspace: keyspace())
        for failed in placement.members.indices {
            let beside = placement.ranges.map(\.owners).filter { $0.contains(failed) }.flatMap(\.array)
            #expect(Set(beside).count >= count / 2, "node \(failed)")
        }
    }

    @Test func tooManyTokensAreSharedOut() {
        let tokens = TokenChoice.founding(
            nodes: nodes(Array(repeating: "a", count: 100)), tokensPerNode: 256, replication: 3)
        #expect(tokens.allSatisfy { $0.count == Limits.slots / 100 })
        #expect(Set(tokens.flatMap { $0 }).count == 100 * (Limits.slots / 100))
        #expect(TokenChoice.founding(nodes: [], tokensPerNode: 16, replication: 3).isEmpty)
    }
}
