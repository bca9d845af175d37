import MartletBase
import MartletRing

/// All that a seed decides before a run starts: the cluster, its clients, and which faults there will be.
package struct SimulationPlan: Sendable {
    package struct Machine: Sendable {
        package var zone: String
        package var dataCenter: String

        init(zone: String, dataCenter: String) {
            self.zone = zone
            self.dataCenter = dataCenter
        }

        init(_ zone: Int, of dataCenter: String) {
            self.init(zone: SimulationPlan.zone(zone, of: dataCenter), dataCenter: dataCenter)
        }
    }

    static let zonesMax = 3
    static func zone(_ number: Int, of dataCenter: String) -> String { "z\(dataCenter.dropFirst())\(number)" }

    let seed: UInt64
    package var machines: [Machine]
    package var replication: ReplicationFactor
    package var durability: Durability
    var inFlightMax: Int
    package var tokensPerNode = 16
    var workload: WorkloadPlan
    /// Whether there is a keyspace with siblings, and customers who shop in it.
    package var hasCarts = true
    package var hints: HintPlan
    package var changes: ChangePlan
    package var purges: PurgePlan
    package var ring: RingPlan
    /// How many of the machines found the ring: the first ones.
    package var founders: Int
    /// Sorted as `FaultKind` lists them.
    package var faults: [FaultKind]
    /// Scales how often and how much: 0 is hardly, 1 is badly.
    var intensity: Double
    /// Whether faults begin before the ring has formed.
    var disturbsForming: Bool

    /// How long the ring may take to form undisturbed, starts of its nodes included.
    package var formingPhase: Interval
    package var faultPhase: Interval
    /// From the end of the faults until everything must be as new.
    package var healingPhase: Interval
    package var calmPhase: Interval

    static let startsWithin = Interval.seconds(2)

    package init(seed: UInt64, _ options: SimulationOptions) {
        self.seed = seed
        var random = Random(seed: seed ^ 0x706C_616E)
        let nodes = options.nodes ?? Self.drawNodes(&random)
        let centres = nodes >= 4 && random.chance(0.25) ? 2 : 1
        let zones = 1 + random.below(Self.zonesMax)
        machines = (0..<nodes).map { index in
            let centre = index % centres
            return Machine(index / centres % zones, of: "d\(centre)")
        }
        replication = Self.drawReplication(&random, nodes: nodes, centres: centres)
        durability = random.chance(0.1) ? .periodic : .batch
        inFlightMax = random.chance(0.2) ? 4 + random.below(28) : 10_000
        workload = WorkloadPlan(&random, centres: centres)
        // From a source of its own, because it came later: what older seeds draw stays.
        var hurry = Random(seed: seed ^ 0x6875_7272_79)
        if hurry.chance(0.15) { workload.operationsPerSecond = Double(40 + hurry.below(80)) }
        hints = HintPlan(seed: seed)
        changes = ChangePlan(seed: seed)
        purges = PurgePlan(seed: seed)
        ring = RingPlan()
        founders = nodes
        intensity = random.fraction()
        // A run in ten has no faults: then everything must be perfect.
        let share = random.chance(0.1) ? 0 : 0.1 + 0.4 * random.fraction()
        let needed = options.plant?.faultsNeeded ?? []
        faults = FaultKind.allCases.filter { random.chance(share) || needed.contains($0) }
        disturbsForming = random.chance(0.3)
        formingPhase = .seconds(6)
        faultPhase = options.faultPhase ?? random.within(.seconds(20)...(.seconds(60)))
        healingPhase = .seconds(30)
        calmPhase = .seconds(8)
        let joiners = RingPlan(seed: seed)
        // With fewer nodes than copies a key's owners are others with each node, and levels mean less.
        let isNeeded = options.turns || options.plant?.needsTurns == true
        if nodes >= max(2, replication.total) {
            addJoiners(joiners, centres: centres, zones: zones, isNeeded: isNeeded)
            ring.drawFactors(
                seed: seed, replication,
                machines: Dictionary(machines.map { ($0.dataCenter, 1) }, uniquingKeysWith: +),
                chance: options.plant?.needsAlterations == true ? 1 : isNeeded ? 0.5 : 0.2)
            ring.drawRezoning(
                seed: seed, chance: options.plant == .rezoneAtOnce ? 1 : isNeeded ? 0.4 : 0.15)
        }
    }

    private mutating func addJoiners(_ plan: RingPlan, centres: Int, zones: Int, isNeeded: Bool) {
        ring = plan
        if isNeeded {
            ring.joiners = max(2, ring.joiners)
            ring.leaves = true
            ring.removes = true
            ring.moves = true
            ring.gapMax = .seconds(4)
        }
        ring.joiners = min(ring.joiners, max(0, 12 - founders))
        for index in founders..<(founders + ring.joiners) {
            let centre = index % centres
            machines.append(Machine(index / centres % zones, of: "d\(centre)"))
        }
    }

    /// Adds machines that found nothing, for scenarios.
    package mutating func addJoiners(_ count: Int) {
        for _ in 0..<count { machines.append(Machine(zone: "z", dataCenter: "d0")) }
    }

    /// A quiet cluster of one zone, for scenarios: no clients, no faults but those that the scenario makes,
    /// no end.
    package static func quiet(seed: UInt64, nodes: Int) -> SimulationPlan {
        var options = SimulationOptions()
        options.nodes = nodes
        var plan = SimulationPlan(seed: seed, options)
        plan.machines = Array(repeating: Machine(zone: "z", dataCenter: "d0"), count: nodes)
        plan.ring = RingPlan()
        plan.founders = nodes
        plan.replication = .count(min(3, nodes))
        plan.durability = .batch
        plan.hints = HintPlan()
        plan.changes = ChangePlan()
        plan.purges = PurgePlan()
        plan.workload.operationsPerSecond = 0
        plan.hasCarts = false
        plan.workload.shortTimeouts = 0
        plan.workload.retries = 0
        plan.workload.expiring = 0
        plan.faults = []
        plan.disturbsForming = false
        plan.formingPhase = .hours(1_000_000)
        return plan
    }

    /// For scenarios: all machines but the first few are in a data centre that has no copies.
    package mutating func holdCopies(onFirst count: Int) {
        for index in count..<machines.count { machines[index] = Machine(zone: "z", dataCenter: "d1") }
        replication = .perDataCenter([.init(name: "d0", count: count)])
    }

    /// For scenarios: how many keys there are.
    package mutating func setKeys(_ count: Int) { workload.keys = count }

    private static func drawNodes(_ random: inout Random) -> Int {
        // Three and five are what users run, and where quorums are most interesting.
        [1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7][random.below(12)]
    }

    private static func drawReplication(
        _ random: inout Random, nodes: Int, centres: Int
    ) -> ReplicationFactor {
        if centres > 1 {
            return .perDataCenter(
                (0..<centres).map { centre in
                    let here = (nodes - centre + centres - 1) / centres
                    return .init(name: "d\(centre)", count: 1 + random.below(min(3, here)))
                })
        }
        // Rarely more copies than nodes: then what needs them all is never available.
        let most = min(5, nodes + (random.chance(0.05) ? 1 : 0))
        return .count(nodes >= 3 && random.chance(0.6) ? 3 : 1 + random.below(most))
    }

    /// The data centres by name.
    var centres: [String] {
        var names: [String] = []
        for machine in machines where !names.contains(machine.dataCenter) { names.append(machine.dataCenter) }
        return names.sorted()
    }

    /// One line for people.
    package var summary: String {
        let names = faults.map(\.rawValue).joined(separator: " ")
        return
            "nodes=\(founders) ring=\(ring.text) replication=\(replicationText) "
            + "durability=\(durability.rawValue) "
            + "hints=\(hints.text) changes=\(changes.text) purges=\(purges.text) "
            + "levels=\(workload.levelsText) phase_s=\(faultPhase.nanoseconds / 1_000_000_000) "
            + "faults: \(names.isEmpty ? "none" : names)"
    }

    private var replicationText: String {
        switch replication {
        case .count(let count): "\(count)"
        case .perDataCenter(let list): list.map { "\($0.name):\($0.count)" }.joined(separator: ",")
        }
    }
}

/// What is kept for replicas that miss writes.
package struct HintPlan: Sendable {
    package var isOn = true
    /// Whether other nodes stand in for owners.
    package var isSloppy = false
    package var bytesMax = 1 << 30
    package var window = Interval.hours(3)

    package init() {}

    init(seed: UInt64) {
        // From a source of its own, because it came later.
        var random = Random(seed: seed ^ 0x6869_6E74)
        isOn = !random.chance(0.15)
        isSloppy = random.chance(0.3)
        if random.chance(0.3) { bytesMax = 300 + random.below(6_000) }
        if random.chance(0.3) { window = .seconds(Int64(2 + random.below(40))) }
    }

    /// Whether a run can come to the cap.
    var isCapped: Bool { bytesMax < 1 << 30 }

    var text: String {
        "\(isOn ? "on" : "off")\(isSloppy ? ",sloppy" : "")"
            + (bytesMax < 1 << 30 ? ",\(bytesMax)B" : "")
            + (window < .hours(3) ? ",\(window.nanoseconds / 1_000_000_000)s" : "")
    }
}

/// What operators do to keyspaces.
package struct ChangePlan: Sendable {
    package var isOn = false
    package var flushes = false
    /// Between two things that an operator does.
    var gapMax = Interval.seconds(10)

    package init() {}

    init(seed: UInt64) {
        // From a source of its own, because it came later.
        var random = Random(seed: seed ^ 0x6B65_7973)
        isOn = random.chance(0.5)
        flushes = random.chance(0.7)
        gapMax = .seconds(Int64(2 + random.below(12)))
    }

    var text: String { isOn ? flushes ? "flushes" : "on" : "off" }
}

/// How soon tombstones are deleted.
package struct PurgePlan: Sendable {
    package var isOn = true
    package var grace = Interval.hours(1)
    package var interval = Interval.minutes(10)

    package init() {}

    init(seed: UInt64) {
        // From a source of its own, because it came later.
        var random = Random(seed: seed ^ 0x7075_7267_65)
        isOn = !random.chance(0.1)
        grace = random.within(.milliseconds(1_100)...(.seconds(15)))
        interval = random.within(.seconds(1)...(.seconds(8)))
    }

    var text: String {
        isOn ? "\(grace.milliseconds)ms,each,\(interval.milliseconds)ms" : "off"
    }
}

/// What the clients of a run do.
struct WorkloadPlan: Sendable {
    /// Keys 0 ..< hotKeys are asked for most of the time.
    var hotKeys: Int
    var keys: Int
    var hotShare: Double
    var operationsPerSecond: Double
    /// The levels of all operations, or those from which each draws its own.
    var readLevels: [ConsistencyLevel]
    var writeLevels: [ConsistencyLevel]
    var largeValues: Double
    /// The share of operations with a deadline of their own.
    var shortTimeouts: Double
    var retries: Double
    /// The share of puts whose value expires.
    var expiring = 0.1

    init(_ random: inout Random, centres: Int) {
        hotKeys = 1 + random.below(4)
        keys = hotKeys + 8 + random.below(120)
        hotShare = 0.5 + 0.5 * random.fraction()
        operationsPerSecond = 10
        largeValues = random.chance(0.3) ? 0.1 : 0
        shortTimeouts = random.chance(0.5) ? 0.2 : 0
        retries = random.fraction()
        var reads: [ConsistencyLevel] = [.one, .two, .three, .quorum, .all]
        if centres > 1 { reads += [.localOne, .localQuorum, .eachQuorum] }
        let writes = reads + [.any]
        switch random.below(4) {
        case 0, 1:
            readLevels = [.quorum]
            writeLevels = [.quorum]
        case 2:
            readLevels = [reads[random.below(reads.count)]]
            writeLevels = [writes[random.below(writes.count)]]
        default:
            readLevels = reads
            writeLevels = writes
        }
    }

    var levelsText: String {
        func text(_ levels: [ConsistencyLevel]) -> String { levels.map(\.description).joined(separator: ",") }
        return "\(text(readLevels))/\(text(writeLevels))"
    }
}
