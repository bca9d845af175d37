import MartletBase
import MartletGossip
import MartletNode
import MartletRing
import MartletVersions

/// The course of a run, the lives of its processes, and the looks at the whole state.
extension Simulation {
    static let clusterName = "simulated"
    /// The software's version that nodes show.
    static let version = "0.0.0"

    // MARK: The course

    mutating func begin() {
        for process in processes {
            if process.isInvited {
                schedule(.start(process.index), after: seeds.within(.zero...SimulationPlan.startsWithin))
            }
            if plan.durability == .periodic { schedule(.periodicSync(process.index), after: .seconds(1)) }
        }
        if plan.workload.operationsPerSecond > 0 { schedule(.arrival, after: .zero) }
        schedule(.sample, after: .seconds(1))
        let forming = plan.disturbsForming ? seeds.within(.zero...plan.formingPhase) : plan.formingPhase
        schedule(.phase(.faults), after: forming)
    }

    mutating func enter(_ next: Phase) throws(Violation) {
        record("phase: \(next.rawValue)")
        phase = next
        switch next {
        case .forming: break
        case .faults:
            beginFaults()
            if plan.workload.operationsPerSecond > 0 {
                beginWalk()
                if plan.hasCarts { schedule(.shop, after: .zero) }
            }
            if plan.changes.isOn { schedule(.operate, after: .seconds(1)) }
            if plan.ring.joiners > 0 || plan.ring.leaves { schedule(.reshape, after: .seconds(1)) }
            if !plan.ring.factors.isEmpty { schedule(.alter, after: .seconds(1)) }
            if plan.ring.rezones { schedule(.rezone, after: .seconds(1)) }
            schedule(.phase(.healing), after: plan.faultPhase)
        case .healing:
            endFaults()
            for process in processes where process.isGone {
                schedule(.giveUp(process.index), after: .seconds(5))
            }
            schedule(.phase(.calm), after: plan.healingPhase)
        case .calm:
            try checkHealed()
            schedule(.phase(.sweeping), after: plan.calmPhase)
        case .sweeping:
            sweep()
            walk(.keys(about: 10), plan.workload.readLevels[0])
            walk(.count, plan.workload.readLevels[0])
        case .ended: try checkWholeState()
        }
    }

    /// Reads every key once more, at every level that runs use most.
    private mutating func sweep() {
        let gap = Interval.milliseconds(5)
        for key in 0..<plan.workload.keys {
            let process = present[clients.below(present.count)]
            ask(process, key: key, .get, after: gap * Int64(key))
        }
        // Then, without clients, every two owners exchange once more.
        let settling = plan.purges.interval * 2 + .seconds(2)
        schedule(
            .phase(.ended), after: gap * Int64(plan.workload.keys) + Self.requestTimeout + settling)
    }

    // MARK: Lives

    mutating func start(_ process: SimulatedProcess) throws(Violation) {
        guard process.state == .down, process.isPresent || process.isGone else { return }
        let disk = process.disk
        process.life += 1
        disk.begin(at: process.clock.now(at: now).wall)
        process.state = .running
        process.isPoweredOff = false
        process.wellSince = now
        process.resumedAt = .zero
        process.isFormed = false
        agreed.started(process.index)
        stamped.started(process.index)
        process.floorsSeen = 0
        process.wakeWanted = .distantFuture
        process.wakeScheduled = .distantFuture
        record("\(process.name) starts, epoch \(disk.epoch), boot \(disk.boot)")
        process.node = Node(
            configuration(process), recovered: disk.recovered(), now: process.clock.now(at: now))
        if process.node?.isFormed == true {
            try formed(process)
            try checkSums(process)
        }
        try turn(process, .start)
    }

    private mutating func configuration(_ process: SimulatedProcess) -> NodeConfiguration {
        let founders = processes[..<plan.founders].map { other in
            NodeConfiguration.Founder(
                name: other.name, address: other.address, zone: other.zone, dataCenter: other.dataCenter)
        }
        let levels = (plan.workload.readLevels[0], plan.workload.writeLevels[0])
        var configuration = NodeConfiguration(
            cluster: Self.clusterName, id: process.folderID, name: process.name,
            address: process.address.ip,
            ports: NodePorts(peers: process.address.port, redis: 7_379, redisCluster: 7_380, http: 7_680),
            zone: process.fileZone, dataCenter: process.dataCenter,
            // Each start runs newer software, so that ring entries do change.
            version: "\(Self.version).\(process.disk.boot)",
            epoch: process.disk.epoch, boot: process.disk.boot,
            seed: seeds.next(),
            founders: Array(founders), seeds: present.map(\.address),
            keyspaces: keyspaces(process, levels),
            gossip: GossipSettings(clusterName: Self.clusterName))
        configuration.replaces = process.replaces
        configuration.lostEpoch = process.disk.lostEpoch
        configuration.requestTimeout = Self.requestTimeout
        configuration.inFlightMax = plan.inFlightMax
        configuration.tokensPerNode = plan.tokensPerNode
        configuration.keepsHints = plan.hints.isOn
        configuration.hintBytesMax = plan.hints.bytesMax
        configuration.hintWindow = plan.hints.window
        configuration.tombstoneGrace = plan.purges.grace
        configuration.repairInterval = plan.purges.interval
        configuration.purges = plan.purges.isOn
        configuration.planted = options.plant
        return configuration
    }

    /// As the process's file has them. Once the ring has formed somebody edits the factors in it, to no
    /// effect; but not where a founder has lost its folder: it founds again what it has founded.
    private func keyspaces(
        _ process: SimulatedProcess, _ levels: (ConsistencyLevel, ConsistencyLevel)
    ) -> [KeyspaceDefinition] {
        let hasFolder = process.isFormed && process.loss == nil
        let edited = hasFolder || process.index >= plan.founders ? plan.ring.factors.last : nil
        func definition(_ id: UInt32, _ name: String, _ conflict: ConflictPolicy) -> KeyspaceDefinition {
            KeyspaceDefinition(
                id: id, name: name, stamp: 0, replication: edited ?? plan.replication, conflict: conflict,
                read: levels.0, write: levels.1, sloppyQuorum: plan.hints.isSloppy)
        }
        let first = definition(0, "default", .lww)
        return plan.hasCarts ? [first, definition(Carts.keyspace, "carts", .siblings)] : [first]
    }

    /// How a life ends.
    enum LifeEnd {
        /// Killed, or stopped by itself for a reason that leaves its disk as a crash would.
        case killed
        case drained
    }

    mutating func ended(_ process: SimulatedProcess, _ end: LifeEnd) throws(Violation) {
        let disk = process.disk
        let isClosed = end == .drained && disk.close { process.node?.treeCheckpoint(lastWrite: $0) }
        process.node = nil
        exchanged.died(process.index)
        closeAll(of: process, isSilent: process.isPoweredOff)
        orphan(process)
        abandonWalks(at: process)
        abandonOrders(at: process)
        abandonCarts(at: process)
        process.state = .down
        process.life += 1
        process.wellSince = now
        process.backlog.removeAll()
        process.datagramsPutOff = 0
        process.effects.removeAll()
        process.events.removeAll(keepingCapacity: true)
        process.handled = 0
        if isClosed {
            disk.wasStoppedCleanly = true
        } else {
            disk.crash(&disks)
        }
        try checkDisk(process)
    }

    /// The node has stopped of itself.
    mutating func stopped(_ process: SimulatedProcess, _ reason: StopReason) throws(Violation) {
        record("\(process.name) has stopped: \(reason)")
        switch reason {
        case .left:
            guard isOut(process) else {
                throw Violation("Placed", "\(process.name) has left a ring that it is in")
            }
            try ended(process, .drained)
            process.isGone = true
        case .drained:
            try ended(process, .drained)
            scheduleStart(process, .milliseconds(50)...(.seconds(5)))
        case .storage:
            try ended(process, .killed)
            scheduleStart(process, .milliseconds(500)...(.seconds(5)))
        case .rebuild(let order, _): try told(process, order)
        case .identity(let text) where isOut(process):
            // Its join was called off, or it comes back after others have gone on without it; or whom it was
            // to replace is gone.
            record("\(process.name) is out: \(text)")
            try ended(process, .killed)
            process.isGone = true
        case .identity(let text):
            throw Violation("Refused", "\(process.name) was refused on its own folder: \(text)")
        }
    }

    /// Whether it is to stop: by its own ring, or by that of those who refuse it.
    private func isOut(_ process: SimulatedProcess) -> Bool {
        let entries = process.node?.ring.entries ?? []
        let isKnown = entries.contains { $0.isGone && ($0.id == process.id || $0.id == process.replaces) }
        return isKnown || processes.contains { $0.node?.ring[process.id]?.isGone == true }
    }

    /// A ring has formed, or was remembered: from now on every key has its owners.
    mutating func formed(_ process: SimulatedProcess) throws(Violation) {
        process.isFormed = true
        try ringTurned(process)
        if counters.formedAt == nil, processes[..<plan.founders].allSatisfy(\.isFormed) {
            counters.formedAt = now
        }
    }

    // MARK: Looks at the whole state

    /// Once a second.
    mutating func sample() throws(Violation) {
        schedule(.sample, after: .seconds(1))
        if network.isDisturbed { disturbedAt = now }
        try accurate.look(processes, at: now, disturbed: disturbedAt, mayDetect: mayDetect)
        firstPending = operations.firstPending(from: firstPending)
        var number = firstPending
        while let operation = operations[number] {
            number += 1
            guard operation.state == .pending else { continue }
            let process = processes[operation.process]
            guard process.state == .running, process.life == operation.life else { continue }
            guard let reached = operation.reached else { continue }
            let due = max(reached + operation.timeout, process.resumedAt)
            if now > due + .milliseconds(100) { throw answered.overdue(operation) }
        }
        try checkWalks()
        try checkLosses()
        try checkCarts()
        // Hints for a slot are moved when its owners change as well.
        let mayLoseSlots = plan.ring.leaves || !plan.ring.factors.isEmpty
        let gone = plan.ring.joiners + (mayLoseSlots ? plan.machines.count : 0)
        for process in processes where process.node != nil {
            try Bounded.check(
                process.node!.currentMetrics(), inFlightMax: plan.inFlightMax, name: process.name)
            try Bounded.check(
                process.node!.hintStatus(), bytesMax: plan.hints.bytesMax, gone: gone, name: process.name)
        }
    }

    /// Whether nothing in this run keeps the living from noticing the dead.
    private var mayDetect: Bool {
        phase == .healing || phase == .calm
            || plan.faults.allSatisfy { kind in
                switch kind {
                case .crash, .powerCut, .gracefulRestart, .slowDisk, .coldReads, .diskStall, .diskFull,
                    .syncFailure,
                    .burst, .clockJump, .clockSkew:
                    true
                default: false
                }
            }
    }

    /// The cluster has had its time: every process runs on its own folder, and belongs to the ring.
    private func checkHealed() throws(Violation) {
        for process in processes where process.isGone && process.state != .down {
            throw Violation("Placed", "\(process.name) runs though it has left the ring, or was removed")
        }
        for process in present {
            guard process.state == .running else {
                throw Violation("Accurate", "\(process.name) isn't running though all faults are over")
            }
            guard process.isFormed else {
                throw Violation("Agreed", "\(process.name) has no ring though all nodes have long been there")
            }
            guard process.node?.isMember == true, process.node?.handoverStatus() == nil else {
                throw Violation(
                    "Placed",
                    "\(process.name) isn't settled in the ring: "
                        + present.map { "\($0.name): \(handoverText($0))" }.joined(separator: "; "))
            }
            guard process.loss == nil, process.node?.isRebuilding == false else {
                throw Violation("Rebuilt", "\(process.name) hasn't rebuilt its disk though all nodes are up")
            }
        }
    }

    private func handoverText(_ process: SimulatedProcess) -> String {
        guard let status = process.node?.handoverStatus() else { return "it hasn't joined" }
        let waits = status.waits.map { "\($0.name) (\($0.obstacle.text))" }.joined(separator: ", ")
        return "\(status.kind) of \(status.name) waits for \(waits.isEmpty ? "others" : waits), "
            + "\(status.done) of \(status.parts) exchanges"
    }

    /// What is on a disk after a crash, or at the end, is no less than what it was sure to hold.
    mutating func checkDisk(_ process: SimulatedProcess) throws(Violation) {
        guard plan.durability == .batch, !process.isGone else { return }
        for key in 0..<plan.workload.keys {
            let expected = process.disk.durableVersion(key)
            guard expected > .none, !flushed.mayHide(expected) else { continue }
            let record = process.disk.read(WorkloadKeys.stored(key))
            var found = record.flatMap { HeldVersion(of: $0) } ?? .none
            if found == .none, noResurrection.mayHide(key, expected) { found = expected }
            try durable.stays(key, onDiskOf: process.name, atLeast: expected, found: found)
        }
    }

    private mutating func checkWholeState() throws(Violation) {
        for operation in operations.all where operation.state == .pending && operation.reached != nil {
            throw answered.overdue(operation)
        }
        var views: [Agreed.View] = []
        for process in present {
            try checkDisk(process)
            process.disk.checkInvariants()
            guard process.node != nil else { continue }
            let status = process.node!.status()
            let definitions = process.node?.definitionsDigest ?? 0
            views.append(
                Agreed.View(
                    name: process.name, ringDigest: status.ringDigest,
                    definitions: definitions, isAgreed: status.isAgreed,
                    owners: (ownersOfKeys(process) ?? []).map { $0.all.map { processes[$0].id } }))
        }
        try Agreed.check(views)
        // The ring that was furthest on may have died with the only disk that had it: what counts is what all
        // agree on.
        if let agreed = present.first.flatMap({ ownersOfKeys($0) }) { owners = agreed }
        try checkPlaced()
        try checkHintsDrained()
        try checkSwept()
        try checkCartsAtTheEnd()
        try checkConvergence()
    }
}
