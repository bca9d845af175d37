import MartletBase
import MartletNode
import MartletSimulator
import Testing

/// Nodes that have missed a purge because they were not of the ring any more, or not yet, and come back with
/// what was deleted. No single planted bug breaks these: their connections are refused, they hear of their
/// own removal, and what lies at or below a floor is taken from nobody else (`PlantedBug.reuseRemovedID`
/// shows in random seeds).
@Suite struct LateHandoffTests {
    private static let keys = 0..<20

    private func run(
        _ nodes: Int, joiners: Int = 0, _ body: (inout Simulation) throws -> Void
    ) throws {
        var plan = SimulationPlan.quiet(seed: 3, nodes: nodes)
        plan.addJoiners(joiners)
        plan.purges.grace = .seconds(2)
        plan.purges.interval = .seconds(10)
        var simulation = Simulation(plan, SimulationOptions())
        simulation.beginScenario()
        let formed = try simulation.run(atMost: .seconds(60)) { $0.isFormed }
        try #require(formed != nil)
        try simulation.run(for: .seconds(5))
        try body(&simulation)
    }

    /// The key is deleted, and the tombstone purged at all its owners.
    private func deleteAndPurge(_ key: Int, _ simulation: inout Simulation) throws {
        let owners = simulation.owners(of: key)
        simulation.delete(key, through: owners[0], .all)
        try simulation.run(for: .seconds(1))
        let purged = try simulation.run(atMost: .seconds(90)) { simulation in
            let holders = simulation.holders(of: key)
            return owners.allSatisfy { !holders[$0] }
        }
        #expect(purged != nil, "the tombstone is purged without the one that is given up")
    }

    private func readEverywhere(_ key: Int, _ simulation: inout Simulation) throws {
        for _ in 0..<10 {
            for node in 0..<4 { simulation.get(key, through: node, .one) }
            try simulation.run(for: .seconds(2))
        }
    }

    /// An owner dies, is given up, and comes back with the value when nobody else knows of it any more.
    @Test func aFormerOwnerComesBackAfterThePurge() throws {
        try run(4) { simulation in
            let key = 0
            let owners = simulation.owners(of: key)
            simulation.put(key, through: owners[0], .all)
            try simulation.run(for: .seconds(1))
            try simulation.kill(owners[2])
            try simulation.run(for: .seconds(15))
            try simulation.remove(owners[2], through: owners[0])
            let handedOver = try simulation.run(atMost: .seconds(30)) {
                !$0.owners(of: key).contains(owners[2])
            }
            #expect(handedOver != nil)
            try deleteAndPurge(key, &simulation)
            try simulation.start(owners[2])
            try readEverywhere(key, &simulation)
        }
    }

    /// A joining node has got the value, dies, and is called off; it comes back when the value is purged.
    @Test func aJoinerComesBackAfterThePurge() throws {
        try run(3, joiners: 1) { simulation in
            let joiner = 3
            for key in Self.keys { simulation.put(key, through: 0, .all) }
            try simulation.run(for: .seconds(1))
            simulation.add(joiner)
            let fetched = try simulation.run(atMost: .seconds(30), looking: .milliseconds(1)) { simulation in
                Self.keys.contains { simulation.holders(of: $0)[joiner] }
            }
            #expect(fetched != nil)
            let key = try #require(Self.keys.first { simulation.holders(of: $0)[joiner] })
            try simulation.kill(joiner)
            try simulation.run(for: .seconds(15))
            try simulation.remove(joiner, through: 0)
            try simulation.run(for: .seconds(5))
            try deleteAndPurge(key, &simulation)
            try simulation.start(joiner)
            try readEverywhere(key, &simulation)
        }
    }
}
