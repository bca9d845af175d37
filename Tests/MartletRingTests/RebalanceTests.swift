import MartletBase
import MartletRing
import Testing

/// A ring that nodes have joined and left at random, as they do by themselves.
private struct Churned {
    var world: RingWorld
    var ring = Ring()

    init(seed: UInt64, nodes: Int, zones: Int = 1, churn: Int) throws {
        world = RingWorld(seed: seed)
        for _ in 0..<nodes { try join(zones) }
        for _ in 0..<churn {
            let placed = ring.settled.entries
            if placed.count > max(4, nodes / 2), world.random.below(2) == 0 {
                ring = ring.fulfilling(.leave(placed[world.random.below(placed.count)].id))
            } else if placed.count < nodes * 3 / 2 {
                try join(zones)
            }
        }
    }

    private mutating func join(_ zones: Int) throws {
        var entry = world.entry(zone: "z\(world.named % zones)")
        entry.own.tokens = TokenChoice.choose(
            count: 16, for: (entry.id, entry.zone, entry.dataCenter), in: ring, replication: 3)
        try ring.merge(entry)
    }

    var moves: [RingMove] { Rebalance.choose(in: ring, replication: .count(3)) }

    func plan(_ wish: RingWish) -> RingChangePlan {
        RingChangePlan(from: ring, wish, keyspaces: [keyspace()])
    }
}

@Suite struct RebalanceTests {
    /// The aim: after any joins and leaves, no node holds more than 1.05 of its part.
    @Test(arguments: [4, 6, 12, 40, 90], UInt64(1)...3)
    func noNodeIsTooFullAfterwards(nodes: Int, seed: UInt64) throws {
        let churned = try Churned(seed: seed, nodes: nodes, churn: nodes + 10)
        let plan = churned.plan(.move(churned.moves))
        #expect(plan.after.fullest <= Rebalance.ceiling, "\(plan.before.fullest) before")
        #expect(plan.after.fullest <= plan.before.fullest)
        // Where there are few nodes a copy may have to go by way of a third one.
        #expect(Double(plan.moved) <= 2.5 * Double(plan.least))
        if nodes >= 12 { #expect(Double(plan.moved) <= 1.2 * Double(plan.least)) }
    }

    @Test(arguments: [2, 3], [12, 40])
    func zonesAreKeptApart(zones: Int, nodes: Int) throws {
        let churned = try Churned(seed: 1, nodes: nodes, zones: zones, churn: nodes)
        let plan = churned.plan(.move(churned.moves))
        #expect(plan.after.fullest <= Rebalance.ceiling, "\(plan.before.fullest) before")
        #expect(plan.after.zones.count == zones)
    }

    /// A node that an operator has given two tokens in place of its sixteen.
    @Test(arguments: UInt64(1)...5)
    func aNodeOfFewTokensIsMadeGoodFor(seed: UInt64) throws {
        var churned = try Churned(seed: seed, nodes: 4, churn: 0)
        let first = churned.ring.entries[0].id
        churned.ring = churned.ring.fulfilling(
            .move([RingMove(node: first, tokens: [Slot(5_000), Slot(13_192)])]))
        let plan = churned.plan(.move(churned.moves))
        #expect(plan.before.fullest > 1.05)
        #expect(plan.after.fullest <= Rebalance.ceiling)
    }

    @Test func anEvenRingIsLeftAlone() throws {
        let churned = try Churned(seed: 1, nodes: 12, churn: 0)
        #expect(churned.moves.isEmpty)
        #expect(Rebalance.choose(in: Ring(), replication: .count(3)).isEmpty)
    }

    /// Each move by itself leaves tokens in order, so none meets another node's.
    @Test(arguments: UInt64(1)...10)
    func movesAreMadeOneAfterTheOther(seed: UInt64) throws {
        let churned = try Churned(seed: seed, nodes: 8, churn: 20)
        var ring = churned.ring.settled
        for move in churned.moves {
            let others = Set(ring.entries.filter { $0.id != move.node }.flatMap(\.tokens))
            #expect(others.isDisjoint(with: move.tokens))
            ring = ring.fulfilling(.move([move]))
        }
        #expect(ring.entries.map(\.tokens.count) == churned.ring.settled.entries.map(\.tokens.count))
        #expect(churned.moves == churned.moves)
    }
}

@Suite struct RingChangePlanTests {
    @Test(arguments: UInt64(1)...5)
    func aJoinTakesWhatTheNodeWillHoldAndNoMore(seed: UInt64) throws {
        var churned = try Churned(seed: seed, nodes: 6, churn: 4)
        var entry = churned.world.entry(zone: "z0")
        entry.own.tokens = TokenChoice.choose(
            count: 16, for: (entry.id, entry.zone, entry.dataCenter), in: churned.ring, replication: 3)
        let plan = churned.plan(.join(entry))
        #expect(plan.transfers.allSatisfy { $0.to == entry.name && $0.from != entry.name })
        #expect(plan.total == 3 * Limits.slots)
        #expect(plan.moved == plan.least)
        let after = Placement(ring: churned.ring.fulfilling(.join(entry)), keyspace: keyspace())
        let ordinal = try #require(after.ordinal(of: entry.id))
        #expect(plan.moved == Int(after.ownsFraction(ordinal) * Double(Limits.slots)))
    }

    @Test(arguments: UInt64(1)...5)
    func aLeaveGivesAwayWhatTheNodeHeldAndAReplacementTakesJustThat(seed: UInt64) throws {
        var churned = try Churned(seed: seed, nodes: 7, churn: 4)
        let gone = churned.ring.settled.entries[2]
        let leave = churned.plan(.leave(gone.id))
        let before = Placement(ring: churned.ring.settled, keyspace: keyspace())
        let ordinal = try #require(before.ordinal(of: gone.id))
        #expect(leave.moved == Int(before.ownsFraction(ordinal) * Double(Limits.slots)))
        #expect(leave.transfers.allSatisfy { $0.from == gone.name })
        let other = churned.world.entry(zone: gone.zone)
        let replace = churned.plan(.replace(gone.id, by: other))
        #expect(replace.moved == leave.moved)
        #expect(replace.transfers.allSatisfy { $0.from == gone.name && $0.to == other.name })
        #expect(replace.after.fullest == replace.before.fullest)
        #expect(replace.after.replicaSets == replace.before.replicaSets)
    }

    @Test func droppedKeyspacesMoveNothingAndOthersAddUp() throws {
        let churned = try Churned(seed: 1, nodes: 5, churn: 0)
        var dropped = keyspace(.count(2), id: 2)
        dropped.isDropped = true
        let id = churned.ring.settled.entries[0].id
        let plan = RingChangePlan(
            from: churned.ring, .leave(id),
            keyspaces: [keyspace(), keyspace(.count(1), id: 1), dropped])
        #expect(plan.total == 4 * Limits.slots)
        #expect(plan.moved >= plan.least)
    }
}
