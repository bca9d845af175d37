import MartletBase
import MartletRing
import Testing

/// Which owner of a slot is shown as its master.
@Suite struct MastersTests {
    /// Nodes whose tokens were chosen as founders choose them.
    static func placement(nodes: Int, copies: Int = 3, seed: UInt64 = 1) throws -> Placement {
        var world = RingWorld(seed: seed)
        let names = (0..<nodes).map { (name: "n\($0)", zone: "default", dataCenter: "default") }
        var ring = Ring()
        for tokens in TokenChoice.founding(nodes: names, tokensPerNode: 16, replication: copies) {
            try ring.merge(world.entry(tokens: tokens))
        }
        return Placement(ring: ring, keyspace: keyspace(.count(copies)))
    }

    private static func imbalance(_ masters: SlotMasters, _ live: [Int]) -> Double {
        let most = live.map(masters.slotCount).max() ?? 0
        return Double(most) * Double(live.count) / Double(Limits.slots)
    }

    private static func check(_ masters: SlotMasters, _ placement: Placement, live: (Int) -> Bool) {
        var next = 0
        for range in masters.ranges {
            #expect(Int(range.first.index) == next)
            next = Int(range.last.index) + 1
            for index in range.first.index...range.last.index {
                let owners = placement.owners(of: Slot(index: index))
                let isServed = owners.array.contains(where: live)
                if range.isLive != isServed || (isServed && !live(range.master))
                    || !owners.contains(range.master) || (!isServed && range.master != owners[0])
                {
                    Issue.record("slot \(index): \(range) of \(owners)")
                }
            }
        }
        #expect(next == Limits.slots)
        for index in [0, 1, 4_095, 12_182, 16_383] {
            let slot = Slot(index)
            #expect(
                masters.master(of: slot)
                    == masters.ranges.first { $0.first <= slot && slot <= $0.last }?.master)
        }
    }

    @Test(arguments: [3, 4, 5, 7, 10, 16, 30, 50, 71, 100])
    func everySlotHasALiveOwnerAndTheyAreEven(nodes: Int) throws {
        let placement = try Self.placement(nodes: nodes)
        let preference = MasterPreference(placement)
        let all = preference.masters { _ in true }
        Self.check(all, placement) { _ in true }
        let even = Self.imbalance(all, Array(0..<nodes))
        #expect(even <= 1.06, "\(nodes) nodes: the largest share is \(even) of the mean")
        var worst = 0.0
        for dead in stride(from: 0, to: nodes, by: max(1, nodes / 8)) {
            let masters = preference.masters { $0 != dead }
            Self.check(masters, placement) { $0 != dead }
            worst = max(worst, Self.imbalance(masters, (0..<nodes).filter { $0 != dead }))
        }
        #expect(worst <= 1.2, "\(nodes) nodes, one dead: the largest share is \(worst) of the mean")
    }

    /// Rings of nodes with random tokens, in zones, of any number of copies; nodes die and return at random.
    @Test(arguments: UInt64(1)...8)
    func onlyTheSlotsOfTheDeadMove(seed: UInt64) throws {
        var world = RingWorld(seed: seed)
        let nodes = 1 + world.random.below(12)
        let ring = try world.ring(
            nodes: nodes, tokens: 1 + world.random.below(16), zones: 1 + world.random.below(3))
        let copies = 1 + world.random.below(4)
        let placement = Placement(ring: ring, keyspace: keyspace(.count(copies)))
        let preference = MasterPreference(placement)
        #expect(preference.masters { _ in true } == MasterPreference(placement).masters { _ in true })
        var isLive = [Bool](repeating: true, count: placement.members.count)
        var before = preference.masters { isLive[$0] }
        for step in 0..<15 {
            let changed = world.random.below(isLive.count)
            isLive[changed].toggle()
            let after = preference.masters { isLive[$0] }
            Self.check(after, placement) { isLive[$0] }
            for index in stride(from: 0, to: Limits.slots, by: 37) {
                let slot = Slot(index)
                let (was, now) = (before.master(of: slot), after.master(of: slot))
                // Where nobody lives, the first owner stands for all: it says nothing of who moved.
                let owners = placement.owners(of: slot).array
                let othersLive = owners.contains { $0 != changed && isLive[$0] }
                if was != now, othersLive, was != changed, now != changed {
                    Issue.record("seed \(seed), step \(step): slot \(index) went from \(was!) to \(now!)")
                }
            }
            before = after
        }
    }

    @Test func aRingWithoutTokensHasNoMasters() throws {
        let placement = Placement(ring: Ring(), keyspace: keyspace())
        let masters = MasterPreference(placement).masters { _ in true }
        #expect(masters.ranges.isEmpty)
        #expect(masters.master(of: Slot(5)) == nil)
    }

    @Test func tokensOfARangeAreThoseOfItsSlots() throws {
        let masters = MasterPreference(try Self.placement(nodes: 3)).masters { _ in true }
        let first = try #require(masters.ranges.first)
        #expect(first.tokens.lowerBound == Token.all.lowerBound)
        #expect(masters.ranges.last?.tokens.upperBound == Token.all.upperBound)
        #expect(first.tokens.contains(Token.bounds(of: first.last).upperBound))
        #expect(!first.tokens.contains(Token.bounds(of: masters.ranges[1].first).lowerBound))
    }
}
