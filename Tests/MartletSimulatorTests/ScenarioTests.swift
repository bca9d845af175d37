import MartletBase
import MartletGossip
import MartletSimulator
import Testing

/// Membership with default settings, whole nodes on a simulated network. Times are of the simulation.
@Suite struct ScenarioTests {
    /// A cluster that has formed and settled.
    private func cluster(
        _ nodes: Int, seed: UInt64, loss: Double = 0, keys: Int? = nil,
        _ body: (inout Simulation) throws -> Void
    ) throws {
        var plan = SimulationPlan.quiet(seed: seed, nodes: nodes)
        if let keys { plan.setKeys(keys) }
        var simulation = Simulation(plan, SimulationOptions())
        simulation.beginScenario()
        simulation.loseDatagrams(share: loss)
        let formed = try simulation.run(atMost: .seconds(60)) { $0.isFormed }
        #expect(formed != nil, "\(nodes) nodes, seed \(seed): no ring within a minute")
        try simulation.run(for: .seconds(10))
        try body(&simulation)
    }

    private func median(_ intervals: [Interval]) -> Interval { intervals.sorted()[intervals.count / 2] }

    @Test func aKilledNodeIsKnownDeadAndALateOneAlive() throws {
        var deaths: [Interval] = []
        for seed in UInt64(1)...3 {
            try cluster(30, seed: seed) { simulation in
                for victim in [3, 17, 29] {
                    try simulation.kill(victim)
                    let dead = try simulation.run(atMost: .seconds(30)) { $0.isHeld(.down, victim) }
                    deaths.append(try #require(dead, "seed \(seed): n\(victim + 1) is not held dead by all"))
                    try simulation.run(for: .seconds(3))
                    try simulation.start(victim)
                    let alive = try simulation.run(atMost: .seconds(3)) { $0.isHeld(.up, victim) }
                    #expect(alive != nil, "seed \(seed): n\(victim + 1) is not known within 3 s")
                    try simulation.run(for: .seconds(5))
                }
            }
        }
        print("30 nodes: a kill -9 is known by all after \(median(deaths).milliseconds) ms in the median")
        #expect(median(deaths) < .seconds(5), "\(deaths.map(\.milliseconds)) ms")
    }

    @Test func anIdleClusterIsQuiet() throws {
        try cluster(30, seed: 4) { simulation in
            try simulation.run(for: .seconds(30))
            let before = simulation.bytesSent
            try simulation.run(for: .seconds(120))
            let rate = (simulation.bytesSent - before) / 120 / 30
            print("30 nodes, idle: \(rate) bytes a second a node")
            #expect(rate < 600, "\(rate) bytes a second a node")
        }
    }

    @Test func aHundredNodesLoseSomeDatagrams() throws {
        try cluster(100, seed: 5, loss: 0.05) { simulation in
            for victim in [8, 77] {
                try simulation.kill(victim)
                let dead = try simulation.run(atMost: .seconds(8)) { $0.isHeld(.down, victim) }
                let text = dead.map { "\($0.milliseconds) ms" } ?? "more than 8 s"
                print("100 nodes, 5% loss: a kill -9 is known by all after \(text)")
                #expect(dead != nil, "n\(victim + 1) is not held dead by all within 8 s")
            }
        }
    }

    @Test func nobodyIsHeldDeadForAnHour() throws {
        try cluster(10, seed: 6, loss: 0.01) { simulation in
            for _ in 0..<360 {
                try simulation.run(for: .seconds(10))
                for index in 0..<10 {
                    for observer in 0..<10 where observer != index {
                        let liveness = simulation.liveness(of: index, seenBy: observer)
                        #expect(liveness == .up || liveness == .suspect)
                    }
                }
            }
        }
    }

    /// Only hints bring it what it missed: nobody reads, and there is nothing else yet.
    @Test(arguments: 10...14)
    func hintsAloneHealANodeThatWasAway(seed: UInt64) throws {
        try cluster(4, seed: seed, keys: 200) { simulation in
            try simulation.kill(1)
            for key in 0..<150 {
                simulation.put(key, through: [0, 2, 3][key % 3], .quorum)
                try simulation.run(for: .milliseconds(100))
            }
            #expect(simulation.acknowledged == 150)
            #expect(simulation.hintCount > 50)
            // One that keeps hints is killed too, and comes back later than their target.
            try simulation.kill(2)
            try simulation.start(1)
            try simulation.run(for: .seconds(3))
            try simulation.start(2)
            let healed = try simulation.run(atMost: .seconds(20)) { $0.hintCount == 0 }
            #expect(healed != nil, "seed \(seed): \(simulation.hintCount) hints are left")
            // Three of four nodes own each key.
            let held = (0..<4).reduce(0) { $0 + simulation.keysHeld(by: $1, below: 150) }
            #expect(held == 3 * 150, "seed \(seed)")
        }
    }

    /// Neither the node itself nor the hints that are kept for it bring a flushed key back.
    @Test(arguments: 20...24)
    func whatWasFlushedWhileANodeWasAwayStaysAway(seed: UInt64) throws {
        try cluster(4, seed: seed, keys: 100) { simulation in
            func write(_ keys: Range<Int>, _ nodes: [Int], _ simulation: inout Simulation) throws {
                for key in keys {
                    simulation.put(key, through: nodes[key % nodes.count], .quorum)
                    try simulation.run(for: .milliseconds(50))
                }
            }
            try write(0..<50, [0, 1, 2, 3], &simulation)
            try simulation.kill(1)
            try simulation.run(for: .seconds(10))
            try write(0..<100, [0, 2, 3], &simulation)
            #expect(simulation.hintCount > 0)
            try simulation.flush(through: 2)
            try simulation.run(for: .seconds(2))
            #expect(simulation.changes == 1, "seed \(seed): the flush is acknowledged without the dead node")
            #expect(simulation.recordsStored(by: 1, below: 100) > 0)
            try simulation.start(1)
            let healed = try simulation.run(atMost: .seconds(30)) { simulation in
                simulation.hintCount == 0
                    && (0..<4).allSatisfy { simulation.recordsStored(by: $0, below: 100) == 0 }
            }
            #expect(healed != nil, "seed \(seed): something is left, or came back")
        }
    }

    @Test func aPausedNodeIsSoonUpAgain() throws {
        for seed in UInt64(7)...9 {
            try cluster(5, seed: seed) { simulation in
                simulation.pause(2, for: .seconds(20))
                try simulation.run(for: .seconds(19))
                let isHeldDown = simulation.isHeld(.down, 2)
                #expect(isHeldDown, "seed \(seed): it is held dead while it is paused")
                try simulation.run(for: .seconds(1))
                let up = try simulation.run(atMost: .seconds(5)) { $0.isHeld(.up, 2) }
                print(
                    "paused for 20 s: up again after \(up.map { "\($0.milliseconds) ms" } ?? "more than 5 s")"
                )
                #expect(up != nil, "seed \(seed): it is not up again within 5 s")
            }
        }
    }

    /// Nothing but exchanges brings back what a node missed.
    @Test func aNodeThatWasAwayIsHealedByExchangesAlone() throws {
        for seed in UInt64(1)...3 {
            var plan = SimulationPlan.quiet(seed: seed, nodes: 3)
            plan.setKeys(100)
            plan.hints.isOn = false
            plan.purges.interval = .seconds(5)
            var simulation = Simulation(plan, SimulationOptions())
            simulation.beginScenario()
            #expect(try simulation.run(atMost: .seconds(60)) { $0.isFormed } != nil)
            try simulation.kill(2)
            let dead = try simulation.run(atMost: .seconds(30)) { $0.isHeld(.down, 2) }
            #expect(dead != nil)
            for key in 0..<100 { simulation.put(key, through: key % 2, .quorum) }
            try simulation.run(for: .seconds(5))
            #expect(simulation.acknowledged == 100 && simulation.hintCount == 0)
            #expect(simulation.keysHeld(by: 2, below: 100) == 0)
            try simulation.start(2)
            let healed = try simulation.run(atMost: .seconds(10)) { $0.keysHeld(by: 2, below: 100) == 100 }
            #expect(healed != nil, "seed \(seed): n3 is not healed within two intervals")
        }
    }
}
