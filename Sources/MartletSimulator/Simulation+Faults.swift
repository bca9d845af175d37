import MartletBase
import MartletNode
import MartletStorage

/// What goes wrong, and how it is put right.
extension Simulation {
    /// From hardly to badly, as the run's intensity says.
    private func scaled(_ least: Double, _ most: Double) -> Double { least + (most - least) * plan.intensity }

    /// Sets the conditions that hold all through the fault phase, and schedules the first of each episode.
    mutating func beginFaults() {
        disturbedAt = now
        for kind in plan.faults {
            record("fault: \(kind.rawValue)")
            if kind.isEpisodic {
                schedule(.fault(kind), after: faults.within(.zero...gapMax(kind)))
            } else {
                impose(kind)
            }
        }
    }

    private mutating func impose(_ kind: FaultKind) {
        switch kind {
        case .datagramLoss: network.conditions.datagramLoss = scaled(0.01, 0.4)
        case .datagramDuplication: network.conditions.datagramDuplication = scaled(0.01, 0.3)
        case .datagramReordering: network.conditions.datagramDelay = scaled(0.01, 0.3)
        case .datagramCorruption: network.conditions.datagramCorruption = scaled(0.001, 0.1)
        case .frameCorruption: network.conditions.frameCorruption = scaled(0.0005, 0.02)
        case .slowNetwork:
            network.conditions.spikes = scaled(0.01, 0.3)
            network.conditions.delayMax = faults.within(.milliseconds(20)...(.milliseconds(1_500)))
        case .segmentLoss: network.conditions.segmentLoss = scaled(0.005, 0.1)
        case .connectionReset: network.conditions.reset = scaled(0.0005, 0.02)
        case .slowDisk:
            for process in processes {
                let most = faults.within(.milliseconds(1)...(.milliseconds(Int64(scaled(20, 800)))))
                process.disk.conditions.syncLatency = .microseconds(100)...most
                process.disk.conditions.coldReadLatency = .microseconds(100)...most
            }
        case .coldReads:
            for process in processes {
                process.disk.conditions.coldReads = scaled(0.1, 1)
                process.disk.conditions.refusedReads = faults.chance(0.3) ? 0.05 : 0
            }
        case .clockSkew:
            let most = Interval.milliseconds(Int64(scaled(20, 600)))
            for process in processes { process.clock.setWall(error: faults.within(-most...most), at: now) }
        case .clockDrift:
            for process in processes {
                process.clock.setDrift(
                    perSecond: faults.within(.microseconds(-500)...(.microseconds(500))), at: now)
            }
        default: break
        }
    }

    /// The longest time between two episodes of a kind.
    private func gapMax(_ kind: FaultKind) -> Interval {
        let seconds: (calm: Double, bad: Double) =
            switch kind {
            case .partition, .oneWayPartition: (40, 8)
            case .crash: (40, 5)
            case .powerCut, .syncFailure: (60, 10)
            case .pause, .gracefulRestart: (40, 8)
            case .clockJump: (40, 10)
            case .diskStall, .diskFull: (30, 6)
            case .wipedFolder, .rolledBackFolder: (60, 20)
            default: (20, 3)
            }
        return Interval.seconds(1).scaled(by: seconds.calm + (seconds.bad - seconds.calm) * plan.intensity)
    }

    /// An episode begins; the next of its kind is scheduled.
    mutating func strike(_ kind: FaultKind) throws(Violation) {
        guard phase == .faults else { return }
        schedule(.fault(kind), after: faults.within(.milliseconds(50)...gapMax(kind)))
        if isUnnoticed { return }
        counters.faults += 1
        switch kind {
        case .partition: part(isOneWay: false)
        case .oneWayPartition: part(isOneWay: true)
        case .crash: if let process = drawAlive() { try kill(process, isSilent: false) }
        case .powerCut:
            let share = faults.fraction()
            let isAll = faults.chance(0.3)
            for process in processes where process.isAlive && (isAll || faults.chance(share)) {
                try kill(process, isSilent: true)
            }
        case .pause: if let process = drawAlive(), process.state == .running { pause(process) }
        case .gracefulRestart:
            if let process = drawAlive() {
                record("\(process.name) is asked to stop")
                process.wellSince = now
                schedule(.shutdown(process.index, life: process.life), after: .zero)
            }
        case .clockJump: jumpClock()
        case .diskStall: refuse(.stalled, for: .milliseconds(50)...(.seconds(5)))
        case .diskFull: refuse(.diskFull, for: .milliseconds(500)...(.seconds(10)))
        case .syncFailure: if let process = drawAlive() { process.disk.failNextSync() }
        case .wipedFolder, .rolledBackFolder: try loseDisk(kind)
        case .burst: burst()
        default: break
        }
    }

    private mutating func drawAlive() -> SimulatedProcess? {
        let alive = processes.filter(\.isAlive)
        return alive.isEmpty ? nil : alive[faults.below(alive.count)]
    }

    // MARK: The network

    private mutating func part(isOneWay: Bool) {
        guard processes.count > 1 else { return }
        var order = Array(processes.indices)
        faults.shuffle(&order)
        let size = 1 + faults.below(processes.count - 1)
        let (island, rest) = (order[..<size], order[size...])
        var ways: [(from: Int, to: Int)] = []
        for from in island {
            for to in rest {
                ways.append((from, to))
                if !isOneWay { ways.append((to, from)) }
            }
        }
        for way in ways { network.block(way.from, way.to) }
        let names = processes.map(\.name)
        record(
            "\(island.map { names[$0] }.sorted()) \(isOneWay ? "can't send to" : "is cut off from") "
                + "\(rest.map { names[$0] }.sorted())")
        schedule(
            .faultEnds(.partition(ways), round: faultRound),
            after: faults.within(.milliseconds(200)...(.seconds(20))))
    }

    // MARK: Processes

    /// kill -9, or with `isSilent` a power cut; an operator starts it again.
    mutating func kill(_ process: SimulatedProcess, isSilent: Bool) throws(Violation) {
        record("\(process.name) \(isSilent ? "loses power" : "is killed")")
        process.isPoweredOff = isSilent
        try ended(process, .killed)
        if phase == .faults || phase == .forming {
            scheduleStart(process, .milliseconds(10)...(.seconds(15)))
        }
    }

    mutating func scheduleStart(_ process: SimulatedProcess, _ delays: ClosedRange<Interval>) {
        schedule(.start(process.index), after: faults.within(delays))
    }

    mutating func pause(_ process: SimulatedProcess, for interval: Interval? = nil) {
        record("\(process.name) is paused")
        process.state = .paused
        process.wellSince = now
        schedule(
            .resume(process.index, life: process.life),
            after: interval ?? faults.within(.milliseconds(20)...(.seconds(20))))
    }

    mutating func resume(_ process: SimulatedProcess, _ life: UInt32) throws(Violation) {
        guard process.state == .paused, process.life == life else { return }
        record("\(process.name) goes on")
        process.state = .running
        process.wellSince = now
        process.resumedAt = now
        let backlog = process.backlog
        process.backlog.removeAll()
        process.datagramsPutOff = 0
        for occurrence in backlog where process.life == life { try happen(occurrence) }
    }

    // MARK: Clocks and disks

    private mutating func jumpClock() {
        let process = processes[faults.below(processes.count)]
        guard processes.count == 1 || furthestRing.staying.count != 1 else { return }
        let sizes: [Interval] = [.milliseconds(300), .seconds(5), .hours(1)]
        let most = sizes[faults.below(sizes.count)]
        let jump = faults.within(-most...most)
        record("the wall clock of \(process.name) jumps by \(jump.milliseconds) ms")
        process.clock.jumpWall(by: jump)
        schedule(
            .faultEnds(.clock(process.index), round: faultRound),
            after: faults.within(.milliseconds(500)...(.seconds(20))))
    }

    private mutating func refuse(_ refusal: StorageRefusal, for range: ClosedRange<Interval>) {
        let process = processes[faults.below(processes.count)]
        record("the disk of \(process.name): \(refusal)")
        process.disk.conditions.refusal = refusal
        schedule(.faultEnds(.refusal(process.index), round: faultRound), after: faults.within(range))
    }

    // MARK: Load

    private mutating func burst() {
        guard let process = drawAlive() else { return }
        record("many requests at once to \(process.name)")
        for _ in 0..<(20 + faults.below(100)) {
            ask(process, key: drawKey(), clients.chance(0.5) ? .get : .put)
        }
    }

    // MARK: Ends of faults

    mutating func end(_ disturbance: Disturbance, _ round: Int) {
        guard round == faultRound else { return }
        switch disturbance {
        case .partition(let ways):
            for way in ways { network.unblock(way.from, way.to) }
            record("the network is whole again")
            disturbedAt = now
            resendHeld()
        case .refusal(let index): processes[index].disk.conditions.refusal = nil
        case .clock(let index):
            let error = links.within(-Self.clockErrorMax...Self.clockErrorMax)
            processes[index].clock.setWall(error: error, at: now)
        }
    }

    /// All faults are over: everything is as good as new, and every process runs.
    mutating func endFaults() {
        faultRound += 1
        disturbedAt = now
        network.conditions = SimulatedNetwork.Conditions()
        weather = nil
        network.unblockAll()
        resendHeld()
        for process in processes {
            process.disk.conditions = SimulatedDisk.Conditions()
            process.disk.forgetFaults()
            let error = links.within(-Self.clockErrorMax...Self.clockErrorMax)
            process.clock.setWall(error: error, at: now)
            process.isPoweredOff = false
            if process.state == .paused { schedule(.resume(process.index, life: process.life), after: .zero) }
            if process.state == .down, process.isPresent {
                scheduleStart(process, .milliseconds(10)...(.seconds(1)))
            }
        }
    }
}
