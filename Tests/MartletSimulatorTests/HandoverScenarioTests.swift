import MartletBase
import MartletNode
import MartletRing
import MartletSimulator
import Testing

/// Each row of the argument for handovers (docs/ARCHITECTURE.md, handover): a change of the ring, and what
/// befalls it at each of its phases. Clients go on at QUORUM all the time, and each run ends as random ones
/// do: after a while everything is looked at, by every checker.
@Suite struct HandoverScenarioTests {
    /// How far a change is, as the first node sees it and its subject.
    enum Phase: CaseIterable {
        /// It is in hand.
        case joint
        /// Something has been transferred to the subject.
        case fetching
        /// It has compared what it has with one of those who had it before.
        case comparing
        /// It has all that it needs, and asks for votes.
        case exchanged
        /// It is over at the subject, and not at all others.
        case completed
    }

    private static let keys = 24

    /// Four nodes, and machines that may join, with a client for each node.
    private func run(
        seed: UInt64 = 5, nodes: Int = 4, joiners: Int = 1, factors: [Int] = [],
        _ body: (inout Simulation) throws -> Void
    ) throws {
        var plan = SimulationPlan.quiet(seed: seed, nodes: nodes)
        plan.addJoiners(joiners)
        plan.ring.joiners = joiners
        plan.ring.leaves = true
        plan.ring.factors = factors.map { .count($0) }
        plan.setKeys(Self.keys)
        plan.purges.grace = .seconds(5)
        plan.purges.interval = .seconds(5)
        var simulation = Simulation(plan, SimulationOptions())
        simulation.beginScenario()
        let formed = try simulation.run(atMost: .seconds(60)) { $0.isFormed }
        try #require(formed != nil)
        try simulation.run(for: .seconds(5))
        for key in 0..<Self.keys { simulation.put(key, through: key % nodes, .all) }
        try simulation.run(for: .seconds(1))
        try body(&simulation)
        try simulation.end()
    }

    /// Clients write and read for a while through these nodes.
    private func load(
        _ simulation: inout Simulation, for interval: Interval, through nodes: [Int]
    ) throws {
        for turn in 0..<Int(interval.milliseconds / 50) {
            let (key, node) = (turn * 7 % Self.keys, nodes[turn % nodes.count])
            if turn % 2 == 0 {
                simulation.put(key, through: node, .quorum)
            } else {
                simulation.get(key, through: node, .quorum)
            }
            try simulation.run(for: .milliseconds(50))
        }
    }

    private func reach(_ phase: Phase, of subject: Int, _ simulation: inout Simulation) throws {
        let reached = try simulation.run(atMost: .seconds(30), looking: .milliseconds(1)) { simulation in
            let status = simulation.handover(at: subject)
            return switch phase {
            case .joint: simulation.handover(at: 0) != nil
            case .fetching: status.map { $0.bytes > 0 } ?? false
            case .comparing: status.map { $0.done > 0 } ?? false
            case .exchanged: status.map { $0.parts > 0 && $0.done == $0.parts } ?? false
            case .completed: status == nil && simulation.isMember(subject)
            }
        }
        #expect(reached != nil, "the change comes to be \(phase)")
    }

    private func settle(_ simulation: inout Simulation, through nodes: [Int]) throws {
        try load(&simulation, for: .seconds(5), through: nodes)
        let settled = try simulation.run(atMost: .seconds(60)) { $0.isSettled }
        #expect(settled != nil, "the change is over")
    }

    private func expectMembers(
        _ nodes: [Int], without absent: Int? = nil, _ simulation: borrowing Simulation
    ) {
        for node in nodes {
            let isMember = simulation.isMember(node)
            #expect(isMember, "n\(node + 1)")
        }
        guard let absent else { return }
        let isStillMember = simulation.isMember(absent)
        #expect(!isStillMember, "n\(absent + 1)")
    }

    private func expectNoChange(at nodes: [Int], _ simulation: borrowing Simulation) {
        for node in nodes {
            let hasChange = simulation.handover(at: node) != nil
            #expect(!hasChange, "n\(node + 1)")
        }
    }

    @Test(arguments: Phase.allCases)
    func theJoinerDies(at phase: Phase) throws {
        try run { simulation in
            simulation.add(4)
            try reach(phase, of: 4, &simulation)
            try simulation.kill(4)
            try load(&simulation, for: .seconds(10), through: [0, 1, 2, 3])
            try simulation.start(4)
            try settle(&simulation, through: [0, 1, 2, 3, 4])
            expectMembers([4], simulation)
        }
    }

    @Test(arguments: [Phase.joint, .fetching, .exchanged])
    func theJoinerDiesAndIsCalledOff(at phase: Phase) throws {
        try run { simulation in
            simulation.add(4)
            try reach(phase, of: 4, &simulation)
            try simulation.kill(4)
            try load(&simulation, for: .seconds(10), through: [0, 1, 2, 3])
            try simulation.remove(4, through: 1)
            try load(&simulation, for: .seconds(5), through: [0, 1, 2, 3])
            expectNoChange(at: [0, 1, 2, 3], simulation)
            // It comes back, hears of that, and goes.
            try simulation.start(4)
            try simulation.run(for: .seconds(5))
        }
    }

    @Test(arguments: Phase.allCases)
    func anOwnerDies(at phase: Phase) throws {
        try run { simulation in
            simulation.add(4)
            try reach(phase, of: 4, &simulation)
            try simulation.kill(2)
            try load(&simulation, for: .seconds(10), through: [0, 1, 3])
            let isWaiting = simulation.handover(at: 0) != nil
            #expect(isWaiting || phase == .completed)
            try simulation.start(2)
            try settle(&simulation, through: [0, 1, 2, 3, 4])
        }
    }

    @Test(arguments: Phase.allCases)
    func anOwnerIsCutOff(at phase: Phase) throws {
        try run { simulation in
            simulation.add(4)
            try reach(phase, of: 4, &simulation)
            for other in [0, 1, 3, 4] { simulation.block(between: 2, and: other) }
            // It is asked as well: in its old state no quorum may be made of it.
            try load(&simulation, for: .seconds(15), through: [0, 1, 2, 3])
            simulation.unblock()
            try settle(&simulation, through: [0, 1, 2, 3, 4])
        }
    }

    @Test(arguments: [Phase.joint, .fetching, .exchanged])
    func aDeadNodeIsRemovedDuringAJoin(at phase: Phase) throws {
        try run { simulation in
            simulation.add(4)
            try reach(phase, of: 4, &simulation)
            try simulation.kill(2)
            try load(&simulation, for: .seconds(10), through: [0, 1, 3])
            try simulation.remove(2, through: 3)
            try load(&simulation, for: .seconds(10), through: [0, 1, 3])
            expectNoChange(at: [0, 1, 3, 4], simulation)
            expectMembers([4], simulation)
            // It comes back, hears that it was given up, and goes.
            try simulation.start(2)
            try simulation.run(for: .seconds(5))
        }
    }

    /// All are asked within moments, of different nodes: who has promised itself to one takes that back for
    /// another, and all of them are carried out in the end.
    @Test(arguments: UInt64(1)...8)
    func changesCross(seed: UInt64) throws {
        try run(seed: seed, nodes: 5, joiners: 2) { simulation in
            let gap = Interval.milliseconds(Int64(seed) * 3)
            simulation.add(5)
            try simulation.run(for: gap)
            try simulation.leave(1)
            try simulation.run(for: gap)
            simulation.add(6)
            try simulation.move(3, to: [Slot(index: 100), Slot(index: 5_000), Slot(index: 12_000)])
            try settle(&simulation, through: [0, 2, 3, 4])
            expectMembers([], without: 1, simulation)
            expectMembers([0, 2, 3, 4, 5, 6], simulation)
        }
    }

    @Test(arguments: [Phase.joint, .fetching, .exchanged])
    func aJoinIsCalledOff(at phase: Phase) throws {
        try run { simulation in
            simulation.add(4)
            try reach(phase, of: 4, &simulation)
            try simulation.abort(4, through: 2)
            try load(&simulation, for: .seconds(10), through: [0, 1, 2, 3])
            expectNoChange(at: [0, 1, 2, 3], simulation)
        }
    }

    @Test(arguments: [Phase.joint, .fetching])
    func aLeaveIsCalledOff(at phase: Phase) throws {
        try run { simulation in
            try simulation.leave(1)
            // Who gains by it is another.
            try reach(phase, of: phase == .joint ? 1 : 2, &simulation)
            try simulation.abort(1, through: 3)
            try settle(&simulation, through: [0, 1, 2, 3])
            expectMembers([1], simulation)
        }
    }

    /// Hints for an owner that loses its slots when it comes back, in the same moment.
    @Test(arguments: UInt64(1)...4)
    func hintsAreDueWhileTheirSlotsChangeHands(seed: UInt64) throws {
        try run(seed: seed) { simulation in
            try simulation.kill(1)
            for key in 0..<Self.keys { simulation.put(key, through: [0, 2, 3][key % 3], .quorum) }
            try simulation.run(for: .seconds(2))
            #expect(simulation.hintCount > 0)
            simulation.add(4)
            try simulation.run(for: .seconds(2))
            // The owner is killed again as soon as it is one no more, so that hints and its erasure meet.
            try simulation.start(1)
            try reach(.completed, of: 4, &simulation)
            try simulation.kill(1)
            try simulation.run(for: .seconds(1))
            try simulation.start(1)
            try settle(&simulation, through: [0, 1, 2, 3, 4])
            let delivered = try simulation.run(atMost: .seconds(30)) { $0.hintCount == 0 }
            #expect(delivered != nil, "\(simulation.hintCount) hints are left")
        }
    }

    /// An owner's disk is put back to what it was before the join, when the owner may have voted for it.
    @Test(arguments: [Phase.joint, .exchanged])
    func aVoterLosesItsDisk(at phase: Phase) throws {
        try run { simulation in
            let copy = simulation.copyDisk(of: 2)
            simulation.add(4)
            try reach(phase, of: 4, &simulation)
            try simulation.putBack(copy, to: 2)
            try settle(&simulation, through: [0, 1, 3, 4])
        }
    }

    /// An owner takes its vote back, for an act of its own, and dies before that: the change begins anew.
    @Test(arguments: UInt64(1)...4)
    func theActForWhichAVoteWasTakenBackNeverComes(seed: UInt64) throws {
        try run(seed: seed) { simulation in
            simulation.add(4)
            try reach(.exchanged, of: 4, &simulation)
            try simulation.run(for: .milliseconds(Int64(seed)))
            try simulation.leave(1)
            try simulation.run(for: .microseconds(300))
            try simulation.kill(1)
            try load(&simulation, for: .seconds(5), through: [0, 2, 3])
            try simulation.start(1)
            try settle(&simulation, through: [0, 2, 3])
            expectMembers([4], simulation)
        }
    }

    /// Three copies become five, and three again; an owner dies each time.
    @Test func theNumberOfCopiesChanges() throws {
        try run(nodes: 6, joiners: 0, factors: [3, 5]) { simulation in
            for copies in [5, 3] {
                try simulation.alter(copies: copies, through: 0)
                try simulation.run(for: .milliseconds(30))
                try simulation.kill(4)
                try load(&simulation, for: .seconds(10), through: [0, 1, 2, 3, 5])
                try simulation.start(4)
                try settle(&simulation, through: [0, 1, 2, 3, 4, 5])
                for key in 0..<Self.keys {
                    let count = simulation.owners(of: key).count
                    #expect(count == copies, "k\(key) has \(count) owners")
                }
            }
        }
    }
}
