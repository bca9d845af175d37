import MartletBase
import MartletNode
import MartletRing

/// The course of a large cluster: whole nodes that form a ring, change it under load, and come to rest.
///
/// The faults of a random run would only make hundreds of nodes slow to simulate, and find what they find
/// among five. What a large ring adds is its size: so the course is fixed, and each of its steps waits for
/// the one before to end. All checkers are on; a node's own invariants are looked at after a sample of its
/// events. The steps are
///
/// 1. the ring forms of all founders;
/// 2. three nodes are added at once;
/// 3. one is told to leave while two more are added;
/// 4. one dies for good, and another machine takes its place;
/// 5. a third of the nodes is cut off from the rest for a while;
///
/// and the end of every run: healing, calm, and a sweep over all keys and disks.
extension SimulationPlan {
    static let joinersOfLarge = 6

    /// - Parameter nodes: how many found the ring.
    package static func large(seed: UInt64, nodes: Int) -> SimulationPlan {
        var plan = SimulationPlan.quiet(seed: seed, nodes: nodes + joinersOfLarge)
        plan.machines = (0..<nodes + joinersOfLarge).map { Machine(zone: "z\($0 % 3)", dataCenter: "d0") }
        plan.founders = nodes
        plan.ring.joiners = joinersOfLarge
        plan.tokensPerNode = 4
        plan.setKeys(60)
        plan.workload.operationsPerSecond = 20
        plan.workload.readLevels = [.quorum]
        plan.workload.writeLevels = [.quorum]
        // Each round asks every node: seldom, but so often that floors do rise.
        plan.purges.grace = .seconds(15)
        plan.purges.interval = .seconds(30)
        plan.healingPhase = .seconds(15)
        return plan
    }
}

extension Simulation {
    /// What the steps of a large run took, of the cluster's time.
    package struct Milestone: Sendable {
        package let name: String
        package let taken: Interval
    }

    /// How long a step may take: a change waits for all, and so for whom gossip tells last.
    private static let stepMax = Interval.seconds(600)

    /// Runs to the end, or to the first broken promise.
    ///
    /// - Parameter report: is told of each step when it is over.
    package mutating func runLarge(_ report: (Milestone) -> Void) throws(Violation) {
        let founders = plan.founders
        begin()
        try step("form", report) { _ throws(Violation) in
        } until: {
            $0.isFormed
        }
        try step("three join at once", report) { simulation throws(Violation) in
            for index in founders..<founders + 3 { simulation.add(index) }
        } until: {
            $0.isAtRest(members: founders + 3)
        }
        try step("one leaves, two join", report) { simulation throws(Violation) in
            try simulation.retire(simulation.processes[founders / 2])
            for index in founders + 3..<founders + 5 { simulation.add(index) }
        } until: {
            $0.isAtRest(members: founders + 4)
        }
        try step("a dead one is replaced", report) { simulation throws(Violation) in
            let dead = simulation.processes[founders / 3]
            try simulation.lose(dead, by: SimulatedDisk(durability: simulation.plan.durability), .emptied)
            dead.isForsaken = true
            let spare = simulation.processes[founders + 5]
            spare.replaces = dead.id
            simulation.invite(spare)
        } until: {
            $0.isAtRest(members: founders + 4)
        }
        try step("a third is cut off for 15 s", report) { simulation throws(Violation) in
            for one in simulation.processes.indices where one % 3 == 0 {
                for other in simulation.processes.indices where other % 3 != 0 {
                    simulation.block(between: one, and: other)
                }
            }
            try simulation.run(for: .seconds(15))
            simulation.unblock()
        } until: {
            $0.isAtRest(members: founders + 4) && $0.allHoldAllUp
        }
        try step("heal, calm, sweep", report) { simulation throws(Violation) in
            try simulation.enter(.healing)
        } until: {
            $0.phase == .ended
        }
    }

    private mutating func step(
        _ name: String, _ report: (Milestone) -> Void,
        _ act: (inout Simulation) throws(Violation) -> Void,
        until isOver: (borrowing Simulation) -> Bool
    ) throws(Violation) {
        record("step: \(name)")
        let began = now
        try act(&self)
        guard
            try run(atMost: Self.stepMax, looking: .milliseconds(250), until: isOver) != nil
        else {
            throw Violation("Convergent", "\(name): not over within \(Self.stepMax.seconds) s; \(unrest)")
        }
        report(Milestone(name: name, taken: now - began))
    }

    /// Whether every node knows of so many members, and nobody of a change.
    private borrowing func isAtRest(members: Int) -> Bool {
        guard let ring = present.first?.node?.ring, ring.changes.isEmpty,
            ring.entries.count(where: \.isPlaced) == members
        else { return false }
        let digest = ring.digest
        return present.allSatisfy { process in
            process.node?.ringDigest == digest && process.node?.isMember == true
                && process.node?.hasChangeInHand == false
        }
    }

    private var allHoldAllUp: Bool {
        present.allSatisfy { isHeld(.up, $0.index) }
    }

    /// Why the cluster isn't at rest.
    private var unrest: String {
        let rings = Set(present.map { $0.node?.ringDigest ?? 0 }).count
        let members = present.count { $0.node?.isMember == true }
        return "\(present.count) nodes, \(present.count(where: \.isFormed)) formed, \(members) members, "
            + "\(rings) rings, \(present.count { $0.node?.hasChangeInHand == true }) have a change in hand"
    }
}
