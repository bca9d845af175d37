import MartletBase
import MartletNode
import MartletRing
import MartletVersions

/// A cluster of real `Node`s in a simulated world, run from one seed.
///
/// **World.** One heap holds all that will happen, in the order of time; nothing else moves time on. The
/// network (`SimulatedNetwork`, `Connection`), the disks (`SimulatedDisk`), the clocks (`SimulatedClock`) and
/// the processes (`SimulatedProcess`) stand for what `MartletRuntime` has of them, and break as those do.
/// Every frame between nodes is written to bytes and scanned again, so that damaged bytes meet the real
/// checksums. There is no other source of time or randomness, no thread and no hash order: the same seed
/// gives the same run, which `TraceHash` sums up.
///
/// **Run.** Forming, a fault phase (FoundationDB's and TigerBeetle's way: a random swarm of faults), a
/// healing phase, a calm phase in which nothing may fail any more, and a sweep over all keys and disks
/// (`Phase`).
///
/// **Checkers** (Checkers/) look at each acknowledgement, each read, each record on its way to a disk, and at
/// the whole state at the end. They share no code with the node. The first broken promise ends the run.
///
/// Deviations from the real shell, and why they're harmless: TCP is frames in order, not segments, with
/// losses as delays; a turn of the loop handles what one packet brought, or all that waited while the process
/// was paused.
package struct Simulation: ~Copyable {
    package let plan: SimulationPlan
    let options: SimulationOptions

    var heap = EventHeap<Occurrence>()
    package internal(set) var now = Instant.zero
    /// How often nodes' rings have turned in this second.
    var ringTurns = 0
    var trace = TraceHash()
    var phase = Phase.forming

    var processes: [SimulatedProcess] = []
    var machineOfAddress: [Address: Int] = [:]
    var processOfID: [NodeID: Int] = [:]
    var network: SimulatedNetwork
    var connections = ConnectionTable()
    /// When anything last hindered messages between machines.
    var disturbedAt = Instant.zero
    /// The network's conditions, while it is good because nothing else may befall a node.
    var weather: SimulatedNetwork.Conditions?
    /// When a disk was last lost.
    var lastLossAt = Instant.zero
    /// Counts the times that all faults were ended at once: what was to end an earlier fault has nothing to
    /// end then.
    var faultRound = 0

    // One source of randomness each, so that one part's draws don't shift another's.
    var seeds: Random
    var disks: Random
    var clients: Random
    var faults: Random
    var links: Random
    var walkers: Random
    var operators: Random
    var customers: Random
    var shapers: Random
    var alterers: Random
    var rezoners: Random

    // What the checkers know.
    let levels: LevelTable
    var operations = OperationLog()
    /// By key, by the ring of the process that is furthest on; empty until a ring has formed.
    var owners: [KeyOwners] = []
    var furthestRing = Ring()
    /// When a node was last told to erase what it doesn't own any more.
    var lastErasureAt = Instant.zero
    let centreOfProcess: [Int]
    var durable: Durable
    var monotone: Monotone
    var noPhantom: NoPhantom
    var answered = Answered()
    var accurate: Accurate
    var agreed: Agreed
    var stamped: Stamped
    var scanned = Scanned()
    var hinted: Hinted
    var flushed: Flushed
    /// Changes of keyspaces that are under way, in the order in which they were asked for.
    var orders: [ChangeOrder] = []
    var ordersMade: UInt64 = 0
    var convergent = Convergent()
    var exchanged = Exchanged()
    var noResurrection: NoResurrection
    var causal: Causal
    var carts = Array(repeating: Customer(), count: Carts.customers)
    var cartRequests: [UInt64: CartRequest] = [:]
    var cartsAsked: UInt64 = 0
    /// Under way, in the order in which they began.
    var walks: [ScanWalk] = []
    var walksBegun: UInt64 = 0
    var firstPending: UInt64 = 1
    package internal(set) var counters = Counters()
    var recorder: TraceRecorder?

    /// What a run did, for people.
    package struct Counters: Sendable {
        package var occurrences = 0
        package var events = 0
        package var operations = 0
        package var acknowledged = 0
        package var reads = 0
        package var pages = 0
        package var changes = 0
        /// Handovers from one replication factor to another.
        package var alterations = 0
        package var rezonings = 0
        package var refused = 0
        package var timedOut = 0
        package var orphaned = 0
        package var faults = 0
        package var badFrames = 0
        package var datagrams = 0
        package var datagramBytes = 0
        package var frames = 0
        package var frameBytes = 0
        package var formedAt: Instant?

        package init() {}

        package mutating func add(_ other: Counters) {
            occurrences += other.occurrences
            events += other.events
            operations += other.operations
            acknowledged += other.acknowledged
            reads += other.reads
            pages += other.pages
            changes += other.changes
            alterations += other.alterations
            rezonings += other.rezonings
            refused += other.refused
            timedOut += other.timedOut
            orphaned += other.orphaned
            faults += other.faults
            badFrames += other.badFrames
            datagrams += other.datagrams
            datagramBytes += other.datagramBytes
            frames += other.frames
            frameBytes += other.frameBytes
        }
    }

    package init(seed: UInt64, _ options: SimulationOptions) {
        let plan =
            options.isLarge
            ? SimulationPlan.large(seed: seed, nodes: options.nodes ?? 60)
            : SimulationPlan(seed: seed, options)
        self.init(plan, options)
    }

    /// With a plan that was changed by hand: for scenarios.
    package init(_ plan: SimulationPlan, _ options: SimulationOptions) {
        self.plan = plan
        self.options = options
        var root = Random(seed: plan.seed)
        seeds = root.fork()
        disks = root.fork()
        clients = root.fork()
        faults = root.fork()
        links = root.fork()
        let networkSource = root.fork()
        var world = root.fork()
        walkers = root.fork()
        operators = root.fork()
        customers = root.fork()
        shapers = root.fork()
        alterers = Random(seed: plan.seed ^ 0x616C_7465_7265_7273)
        rezoners = Random(seed: plan.seed ^ 0x7265_7A6F_6E65)
        network = SimulatedNetwork(
            random: networkSource, machines: plan.machines.count,
            latencyMin: Self.latencies(plan.machines, &world))
        let centres = plan.centres
        levels = LevelTable(
            plan.ring.factors.isEmpty ? [plan.replication] : plan.ring.factors, centres: centres,
            machines: centres.map { name in
                // An altered factor is refused where there aren't as many nodes.
                let there = plan.ring.factors.isEmpty ? plan.machines[..<plan.founders] : plan.machines[...]
                return there.count { $0.dataCenter == name }
            })
        durable = Durable(levels: levels)
        monotone = Monotone(levels: levels, keys: plan.workload.keys)
        noPhantom = NoPhantom(keys: plan.workload.keys)
        noResurrection = NoResurrection(keys: plan.workload.keys)
        hinted = Hinted(levels: levels, keys: plan.workload.keys)
        flushed = Flushed(levels: levels)
        causal = Causal(levels: levels, keys: Carts.count)
        accurate = Accurate(isLarge: options.isLarge)
        agreed = Agreed(processes: plan.machines.count)
        stamped = Stamped(processes: plan.machines.count)
        // A replication factor for all data centres leaves open where the copies are.
        let isPerCentre = if case .perDataCenter = plan.replication { true } else { false }
        centreOfProcess = plan.machines.map { isPerCentre ? centres.firstIndex(of: $0.dataCenter)! : 0 }
        recorder = options.isTraced ? TraceRecorder(sink: options.traceSink) : nil
        for (index, machine) in plan.machines.enumerated() {
            let process = SimulatedProcess(
                index: index, name: "n\(index + 1)", id: NodeID(random: &seeds),
                address: Address(ip: IPAddress(v4: 10, 0, 0, 1).advanced(by: index), port: 7_600),
                zone: machine.zone, dataCenter: machine.dataCenter,
                clock: SimulatedClock(
                    monotonicBase: world.within(.seconds(1)...(.hours(1_000))),
                    wallOffset: world.within(-Self.clockErrorMax...Self.clockErrorMax)),
                disk: SimulatedDisk(durability: plan.durability))
            process.isInvited = index < plan.founders
            processes.append(process)
            machineOfAddress[process.address] = index
            processOfID[process.id] = index
        }
    }

    /// How wrong a wall clock is that nobody has tampered with.
    static let clockErrorMax = Interval.milliseconds(5)

    /// Within a zone a fraction of a millisecond, between zones a few of them, between data centres up to
    /// forty.
    private static func latencies(_ machines: [SimulationPlan.Machine], _ random: inout Random) -> [Interval]
    {
        let betweenZones = random.within(.microseconds(300)...(.milliseconds(3)))
        let betweenCentres = random.within(.milliseconds(5)...(.milliseconds(40)))
        return machines.flatMap { from in
            machines.map { to -> Interval in
                if from.dataCenter != to.dataCenter { return betweenCentres }
                return from.zone == to.zone ? .microseconds(100) : betweenZones
            }
        }
    }

    // MARK: Running

    /// Runs to the end, or to the first broken promise.
    package mutating func run() throws(Violation) {
        begin()
        let occurrencesMax = Bounded.occurrencesOfSecondMax(nodes: processes.count)
        let turnsMax = Bounded.turnsOfSecondMax(nodes: processes.count)
        var (secondBegan, before) = (now, counters.occurrences)
        while phase != .ended, let (at, occurrence) = heap.pop() {
            now = at
            counters.occurrences += 1
            if now - secondBegan >= .seconds(1) {
                (secondBegan, before) = (now, counters.occurrences)
                ringTurns = 0
            }
            guard counters.occurrences - before <= occurrencesMax, ringTurns <= turnsMax else {
                throw Violation(
                    "Bounded",
                    "in a second \(counters.occurrences - before) things happen, and rings turn "
                        + "\(ringTurns) times")
            }
            try happen(occurrence)
        }
    }

    /// Sums up everything that was delivered, in order.
    package var traceHash: UInt64 { trace.value }

    mutating func schedule(_ occurrence: consuming Occurrence, after interval: Interval) {
        heap.push(occurrence, at: now + interval)
    }

    mutating func record(key: Int? = nil, _ text: @autoclosure () -> String) {
        if recorder != nil { recorder?.note(at: now, key: key, text()) }
    }

    /// The process, when what was scheduled for it may happen now. Puts it off while the process is paused.
    mutating func target(_ index: Int, life: UInt32?, _ occurrence: Occurrence) -> SimulatedProcess? {
        let process = processes[index]
        guard process.isAlive, life == nil || life == process.life else { return nil }
        guard process.state == .running else {
            putOff(occurrence, process)
            return nil
        }
        return process
    }

    /// What happens to a paused process waits in its sockets' buffers; those of datagrams overflow.
    private mutating func putOff(_ occurrence: Occurrence, _ process: SimulatedProcess) {
        if case .datagram = occurrence {
            guard process.datagramsPutOff < SimulatedProcess.datagramsPutOffMax else { return }
            process.datagramsPutOff += 1
        }
        process.backlog.append(occurrence)
    }

    mutating func happen(_ occurrence: Occurrence) throws(Violation) {
        switch occurrence {
        case .wake(let index, let life):
            if let process = target(index, life: life, occurrence) { try wake(process) }
        case .client(let index, let life, let number):
            if let process = target(index, life: life, occurrence) { try ask(process, number) }
        case .page(let index, let life, let number):
            if let process = target(index, life: life, occurrence) { try askPage(process, number) }
        case .datagram(let index, let from, let bytes):
            if let process = target(index, life: nil, occurrence) {
                try turn(process, .datagram(from: processes[from].address, bytes))
            }
        case .synced(let index, let life):
            if let process = target(index, life: life, occurrence) { try synced(process) }
        case .read(let index, let life, let cold):
            if let process = target(index, life: life, occurrence) {
                let record = cold.isLate ? process.disk.read(cold.key) : cold.asAsked
                try turn(process, .storage(.read(cold.ticket, record)))
            }
        case .worked(let index, let life, let work):
            if let process = target(index, life: life, occurrence) {
                try turn(process, .storage(work.asAsked ?? process.disk.carryOut(work)))
            }
        case .stampsReserved(let index, let life, let ceiling):
            if let process = target(index, life: life, occurrence) { try stampsReserved(process, ceiling) }
        case .shutdown(let index, let life):
            if let process = target(index, life: life, occurrence) { try turn(process, .shutdown) }
        case .redial(let index, let life, let dialler):
            if let process = target(index, life: life, occurrence) {
                dial(process, dialler)
                try finishTurn(process)
            }
        case .dialArrived(let id): dialArrived(id)
        case .dialAnswered(let id): try dialAnswered(id, occurrence)
        case .dialFailed(let id): try dialFailed(id, occurrence)
        case .bytes(let id, let end, let bytes): try bytesCame(id, end, bytes, occurrence)
        case .resent(let id, let end): try resent(id, end)
        case .closed(let id, let end): try peerClosed(id, end, occurrence)
        case .stuck(let id, let end): try timedOut(id, end, occurrence)
        case .impatient(let id): try impatient(id)
        case .start(let index): try start(processes[index])
        case .resume(let index, let life): try resume(processes[index], life)
        case .restored(let index, let copy): try restore(processes[index], copy)
        case .arrival: arrive()
        case .walk: beginWalk()
        case .operate: try operate()
        case .reshape: try reshape()
        case .alter: try alter()
        case .rezone: try rezone()
        case .giveUp(let index): try giveUp(processes[index])
        case .shop: try shop()
        case .shopAgain(let retry): try shopAgain(retry)
        case .retry(let number): retry(number)
        case .fault(let kind): try strike(kind)
        case .faultEnds(let disturbance, let round): end(disturbance, round)
        case .periodicSync(let index): periodicSync(processes[index])
        case .phase(let next): try enter(next)
        case .sample: try sample()
        }
    }
}
