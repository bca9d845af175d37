import MartletBase
import MartletLoop
import MartletRing

/// One thread's part of a load.
///
///     connect → (all threads ready) → warm up → measure → drain
///
/// **Closed loop**: each lane keeps its window full: a reply makes room for the next request, whose time
/// begins there. **Open loop**: requests are due by a `Schedule`, and go to the lanes in turn, to the next
/// that has room; their time begins when they were due.
///
/// A request belongs to the measurement when its time begins in it, however late its reply. The end of the
/// measurement is that of its last reply; rates count from its beginning to there.
///
/// Cheap, since it shares the processors with the servers: a request is copied bytes with a key patched in, a
/// reply is scanned where it lies, and the loop makes one read and one write a connection and turn.
final class LoadGenerator {
    private enum Phase { case connecting, ready, running, draining, done }

    let plan: LoadPlan
    let loop: EventLoop
    let encoder: RequestEncoder
    let repliesOfWrite: UInt8
    private let gate: LoadGate
    private let part: Int
    private var source: OperationSource
    private var lanes: [Lane] = []
    /// Of a cluster: which link of a lane a slot's requests take.
    private let route: ClusterRoute?
    private var phase = Phase.connecting
    private var measureStart = Instant.distantFuture
    private var measureEnd = Instant.distantFuture
    private let requestsMax: Int
    private var measuredRequests = 0
    private var outstanding = 0
    private var hasBegunToMeasure = false
    private var drainEnd = Instant.distantFuture
    private var schedule: Schedule?
    private var nextLane = 0
    private var timer: LoopTimer?
    private var ticker: Ticker?
    private var tally = LoadTally()

    private static let lookEvery = Interval.milliseconds(5)

    init(_ plan: LoadPlan, part: Int, route: ClusterRoute?, gate: LoadGate) throws(Failure) {
        self.plan = plan
        self.part = part
        self.route = route
        self.gate = gate
        let seed = plan.seed &+ UInt64(part) &* 7_919
        source = OperationSource(
            plan.workload, keyCount: plan.keyCount, seed: plan.seed, part: part, of: plan.threads)
        encoder = RequestEncoder(
            keys: KeyFormat(bytes: plan.keyBytes), valueBytes: plan.valueBytes,
            waitReplicas: plan.waitReplicas, seed: seed)
        repliesOfWrite = plan.waitReplicas > 0 ? 2 : 1
        requestsMax =
            if case .requests(let count) = plan.limit {
                count / plan.threads + (part < count % plan.threads ? 1 : 0)
            } else {
                Int.max
            }
        do { loop = try EventLoop() } catch { throw .refused("\(error)") }
    }

    /// To its end.
    func run() -> LoadTally {
        for index in stride(from: part, to: plan.connections, by: plan.threads) {
            let lane = Lane()
            let addresses = route?.nodes ?? [plan.targets[index % plan.targets.count]]
            lane.links = addresses.map { Link(self, lane, $0) }
            lanes.append(lane)
        }
        for lane in lanes { for link in lane.links { link.connect() } }
        let timer = LoopTimer(loop) { [unowned self] in look() }
        self.timer = timer
        timer.arm(at: monotonicNow() + Self.lookEvery)
        loop.run()
        phase = .done
        ticker?.stop()
        loop.shutDown()
        // Links refer to their lane and to this generator.
        for lane in lanes { lane.links = [] }
        lanes = []
        return tally
    }

    var isDone: Bool { phase == .done }
    var isConnecting: Bool { phase == .connecting }

    func abort(_ failure: Failure) {
        gate.fail(failure)
        finish()
    }

    private func finish() {
        phase = .done
        loop.stop()
    }

    // MARK: What the links tell

    func laneIsReady(_ lane: Lane) {
        if phase == .connecting, lanes.allSatisfy(\.isReady) {
            phase = .ready
            gate.becameReady()
        } else {
            laneHasRoom(lane, monotonicNow())
        }
    }

    /// What fails while warming up counts too: errors are never nobody's.
    func fail(_ kind: String, _ text: String) { tally.fail(kind, text) }

    func missed() { tally.misses += 1 }

    @inline(__always)
    func finished(_ request: Pending, _ lane: Lane, _ now: Instant) {
        lane.inFlight -= 1
        outstanding -= 1
        if request.start >= measureStart {
            tally.lastCompletion = now
            if !request.hasFailed {
                tally.add(request.operation.kind, nanoseconds: Int((now - request.start).nanoseconds))
                if plan.keepsTimeline { tally.timeline.add(request.start, took: now - request.start) }
            }
        }
        if request.operation.kind == .insert, !request.hasFailed { source.wasInserted(request.operation.key) }
        if phase == .draining, outstanding == 0 { finish() }
    }

    @inline(__always)
    func laneHasRoom(_ lane: Lane, _ now: Instant) {
        guard phase == .running else { return }
        if schedule != nil { return sendDue(now) }
        guard lane.isReady else { return }
        while lane.inFlight < plan.pipeline, mayIssue(now) { issue(lane, start: now, now) }
    }

    // MARK: Requests

    /// Whether a request that begins now belongs to the load; ends the load when it doesn't.
    @inline(__always)
    private func mayIssue(_ start: Instant) -> Bool {
        guard phase == .running else { return false }
        if start < measureEnd, measuredRequests < requestsMax { return true }
        drain()
        return false
    }

    private func issue(_ lane: Lane, start: Instant, _ now: Instant) {
        let operation = source.next()
        if start >= measureStart { measuredRequests += 1 }
        lane.inFlight += 1
        outstanding += 1
        guard let route else { return lane.links[0].send(operation, start: start, now: now) }
        let node = route.node(of: encoder.keys.key(operation.key))
        lane.links[node].send(operation, start: start, now: now)
    }

    /// Sends what is due, as far as lanes have room.
    private func sendDue(_ now: Instant) {
        while let due = schedule?.due, due <= now, mayIssue(due) {
            guard let lane = nextFreeLane() else { return }
            schedule?.advance()
            issue(lane, start: due, now)
        }
    }

    private func nextFreeLane() -> Lane? {
        for _ in lanes {
            let lane = lanes[nextLane]
            nextLane = nextLane + 1 == lanes.count ? 0 : nextLane + 1
            if lane.isReady, lane.inFlight < plan.pipeline { return lane }
        }
        return nil
    }

    // MARK: Phases

    private func begin(at start: Instant) {
        phase = .running
        measureStart = start + plan.warmUp
        if case .duration(let duration) = plan.limit { measureEnd = measureStart + duration }
        tally.began = measureStart
        if let rate = plan.rate {
            let schedule = Schedule(
                rate: rate.perSecond / Double(plan.threads), start: start, isPoisson: rate.isPoisson,
                seed: plan.seed &+ UInt64(part))
            self.schedule = schedule
            do {
                ticker = try Ticker(loop, every: schedule.tick, from: start) { [unowned self] in
                    if phase == .running { sendDue(monotonicNow()) }
                }
            } catch {
                abort(.refused("\(error)"))
            }
        } else {
            let now = monotonicNow()
            for lane in lanes { laneHasRoom(lane, now) }
        }
    }

    private func drain() {
        guard phase == .running else { return }
        phase = .draining
        if let schedule, measureEnd != .distantFuture { tally.unsent = schedule.backlog(at: measureEnd) }
        drainEnd = monotonicNow() + plan.timeout + .seconds(1)
        if outstanding == 0 { finish() }
    }

    /// Every few milliseconds: what has no event of its own.
    private func look() {
        let now = monotonicNow()
        if Interrupts.areCaught || gate.hasFailed { return finish() }
        var next = now + Self.lookEvery
        if phase == .ready, let start = gate.startAt {
            if now >= start { begin(at: start) } else { next = min(next, start) }
        }
        if !hasBegunToMeasure, now >= measureStart {
            hasBegunToMeasure = true
            // What the warm-up couldn't send belongs to no measurement, and would only be in this one's way.
            while let due = schedule?.due, due < measureStart { schedule?.advance() }
            if part == 0 { gate.measureBegins() }
        }
        if phase == .running, gate.isToldToStop { measureEnd = min(measureEnd, now) }
        if phase == .running, now >= measureEnd { drain() }
        if phase == .draining, now >= drainEnd {
            for _ in 0..<outstanding { tally.fail("no reply", "none when the load had ended") }
            return finish()
        }
        if phase != .done { for lane in lanes { for link in lane.links { link.look(now) } } }
        timer?.arm(at: next)
    }
}
