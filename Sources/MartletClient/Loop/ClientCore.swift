import MartletBase
import MartletLoop
import MartletRESP
import MartletRing

/// The client's machine, on the loop's thread: calls come in by the inbox, are sent to nodes, tried again
/// where that is safe, and their tasks resumed.
///
///     caller ──Inbox──▶ ClientCore ──▶ NodeLink (an address) ──▶ Connection (a socket)
///        ▲                  │ wake queue: deadlines, retries, second nodes
///        └──continuation────┘
///
/// Callers and the loop share the inbox, the count of calls under way and, for each call, whether it was
/// cancelled; all else here belongs to the loop's thread alone.
final class ClientCore {
    let loop: EventLoop
    let settings: ClientSettings
    let gates: ClientGates
    var random: Random
    private(set) var isClosing = false

    /// By address. Those of the topology, or the seeds where there is none, and what was either before.
    var links: [NodeLink] = []
    /// Nil before the first answer, and where the nodes have none to tell.
    var topology: Topology?
    /// For each node of the topology its link.
    var topologyLinks: [NodeLink] = []
    var schedule: RefreshSchedule
    var refreshTimer: LoopTimer?
    /// Refreshes that have begun; and those who wait for one that begins after the given one.
    var refreshRound = 0
    var refreshWaiters: [(UnsafeContinuation<Topology?, Never>, after: Int)] = []
    private var turn = 0

    var starting: UnsafeContinuation<MartletError?, Never>?
    private var startTimer: LoopTimer?

    var wakeQueue = WakeQueue<Operation>()
    private var wakeTimer: LoopTimer?
    var budget: RetryBudget
    var speculationBudget: RetryBudget
    var readLatency = LatencyTracker()
    var counters = Counters()
    private var mustSweep = false

    /// Totals since the start.
    struct Counters {
        var calls: UInt64 = 0
        var retries: UInt64 = 0
        var speculations: UInt64 = 0
        /// Reads that a second node answered first, or the first one after a second was asked.
        var speculationsLost: UInt64 = 0
        var connections: UInt64 = 0
        var refreshes: UInt64 = 0
        var topologyChanges: UInt64 = 0
    }

    init(_ loop: EventLoop, _ settings: ClientSettings, _ gates: ClientGates, seed: UInt64) {
        self.loop = loop
        self.settings = settings
        self.gates = gates
        random = Random(seed: seed)
        let now = loop.now.monotonic
        budget = RetryBudget(
            share: settings.budgetShare, tokensPerSecond: settings.budgetPerSecond, now: now)
        speculationBudget = RetryBudget(
            share: Limits.clientSpeculationShare, tokensPerSecond: Limits.clientSpeculationsPerSecond,
            now: now)
        schedule = RefreshSchedule(interval: settings.topologyInterval, now: now)
        wakeTimer = LoopTimer(loop) { [unowned self] in wake() }
        refreshTimer = LoopTimer(loop) { [unowned self] in refresh() }
        loop.onTurnEnd { [unowned self] in endTurn() }
    }

    var now: Instant { loop.now.monotonic }

    // MARK: Start and end

    /// Connects to the seeds; resumes when the first node has told the topology, or that it has none.
    func start(_ continuation: UnsafeContinuation<MartletError?, Never>) {
        starting = continuation
        for seed in settings.seeds { _ = link(to: seed) }
        for link in links { link.connectIfNone() }
        let timer = LoopTimer(loop) { [unowned self] in
            let why = links.compactMap(\.lastFailure).first?.reason
            started(.noNode(why ?? "no seed answered within \(settings.connectTimeout.milliseconds) ms"))
        }
        timer.arm(at: now + settings.connectTimeout)
        startTimer = timer
    }

    func started(_ failure: MartletError?) {
        gates.handOver()
        starting?.resume(returning: failure)
        starting = nil
        startTimer?.close()
        startTimer = nil
    }

    /// Ends every call with `closed`, and everything of the loop.
    func close() {
        if isClosing { return }
        isClosing = true
        started(.closed(.init(mayHaveHappened: false, version: nil, node: nil)))
        for operation in wakeQueue.all { finish(operation, .failure(.closed(operation.interrupted))) }
        resumeRefreshWaiters()
        for link in links { link.close() }
        wakeTimer?.close()
        refreshTimer?.close()
    }

    /// The loop ends when everyone who is still to be answered was: those are between the gate and the inbox,
    /// or their answer is on its way.
    private func stopWhenAnswered() {
        if gates.calls.underWay + gates.questions.underWay == 0 { loop.stop() } else { loop.runAgain() }
    }

    // MARK: Calls

    func begin(_ call: Call) {
        begin(call.command, .call(call.continuation), call.ticket, within: call.within)
    }

    func begin(_ batch: CallBatch) {
        let progress = BatchInProgress(count: batch.commands.count, batch.continuation)
        for (index, command) in batch.commands.enumerated() {
            begin(command, .batch(progress, index), batch.ticket, within: batch.within)
        }
    }

    func begin(_ command: Command, _ sink: Operation.Sink, _ ticket: Ticket?, within: Interval) {
        let operation = Operation(command, sink, ticket, deadline: now + within)
        wakeQueue.set(operation, at: operation.deadline)
        if isClosing { return finish(operation, .failure(.closed(operation.interrupted))) }
        // Cancelled before it came here; one that is cancelled from now on is followed by a sweep.
        if let ticket, ticket.isCancelled.load(ordering: .acquiring) {
            return finish(operation, .failure(.cancelled(operation.interrupted)))
        }
        counters.calls += 1
        budget.deposit()
        if command.isRead { speculationBudget.deposit() }
        dispatch(operation)
    }

    /// At the turn's end the calls that were cancelled meanwhile are ended: one look at all, however many.
    func sweepCancelled() {
        // Before the look: who is cancelled after it sends a message anew.
        _ = gates.mustSweep.exchange(false, ordering: .acquiringAndReleasing)
        mustSweep = true
    }

    private func endTurn() {
        if mustSweep {
            mustSweep = false
            for operation in wakeQueue.all
            where operation.ticket?.isCancelled.load(ordering: .acquiring) == true {
                finish(operation, .failure(.cancelled(operation.interrupted)))
            }
        }
        if isClosing { return stopWhenAnswered() }
        if let first = wakeQueue.first { wakeTimer?.arm(at: first.wakeAt) } else { wakeTimer?.disarm() }
    }

    func finish(_ operation: Operation, _ outcome: Outcome) {
        invariant(!operation.isDone, "a call ends once")
        operation.isDone = true
        wakeQueue.remove(operation)
        operation.node = nil
        gates.handOver()
        switch operation.sink {
        case .call(let continuation):
            gates.calls.leave()
            continuation.resume(returning: outcome)
        case .batch(let progress, let index):
            gates.calls.leave()
            progress.set(index, outcome)
        case .own(let done): done(outcome)
        }
    }

    // MARK: Routing

    /// Sends the next attempt: to the slot's node, else to any that is willing, else to one that the request
    /// can wait for. A node that just failed, or whose breaker is open, is asked only when no other is left.
    func dispatch(_ operation: Operation, avoiding failed: NodeLink? = nil) {
        operation.retryAt = nil
        let now = now
        if case .node(let address) = operation.command.target {
            if let link = links.first(where: { $0.address == address }), !link.isRetired,
                link.submit(operation, now)
            {
                return
            }
            return attemptFailed(
                operation, .noNode("\(address) is not one of the nodes, or is full"), at: nil)
        }
        let preferred = preferredLink(operation)
        if let preferred, preferred !== failed, preferred.isWilling(now), preferred.submit(operation, now) {
            return
        }
        if let link = nextLink(where: { $0 !== failed && $0.isWilling(now) }), link.submit(operation, now) {
            return
        }
        if let preferred, preferred !== failed, preferred.isHopeful(now), preferred.submit(operation, now) {
            return
        }
        if let link = nextLink(where: { $0 !== failed && $0.isHopeful(now) }) ?? nextLink(where: \.isReady),
            link.submit(operation, now)
        {
            return
        }
        if links.contains(where: { $0.isReady && !$0.isRetired }) {
            return attemptFailed(operation, .tooManyCalls(max: settings.waitingPerNodeMax), at: nil)
        }
        let why = links.compactMap(\.lastFailure).first?.reason ?? "all are being connected to"
        attemptFailed(operation, .noNode(why), at: nil)
    }

    private func preferredLink(_ operation: Operation) -> NodeLink? {
        guard let topology, case .slot(let slot) = operation.command.target,
            let ordinal = topology.ordinal(of: slot)
        else { return nil }
        return topologyLinks[ordinal]
    }

    /// Nodes in turn.
    func nextLink(where isSuitable: (NodeLink) -> Bool) -> NodeLink? {
        if links.isEmpty { return nil }
        turn += 1
        for offset in links.indices {
            let link = links[(turn + offset) % links.count]
            if !link.isRetired, isSuitable(link) { return link }
        }
        return nil
    }

    /// An attempt has gone out.
    func sent(_ operation: Operation, _ now: Instant) {
        wakeQueue.set(operation, at: wakeTime(operation, now))
    }

    /// When the operation is to be looked at: at the retry that is due, when a second node is to be asked, or
    /// at the end of its time.
    private func wakeTime(_ operation: Operation, _ now: Instant) -> Instant {
        if let retryAt = operation.retryAt { return min(retryAt, operation.deadline) }
        guard !operation.hasSpeculated, operation.inFlight > 0, let pause = speculationPause else {
            return operation.deadline
        }
        return min(operation.sentAt + pause, operation.deadline)
    }

    private var speculationPause: Interval? {
        switch settings.speculation {
        case .off: return nil
        case .after(let pause): return Interval(pause)
        case .percentile(let hundredths):
            guard readLatency.samples >= Limits.clientSpeculationSamplesMin,
                let latency = readLatency.quantile(Double(hundredths) / 100)
            else { return Limits.clientSpeculationPauseDefault }
            return max(latency, Limits.clientSpeculationPauseMin)
        }
    }

    // MARK: Time

    private func wake() {
        let now = now
        // What is set anew may be due already: as many as there are now is enough for one turn.
        for _ in 0..<wakeQueue.count {
            guard let operation = wakeQueue.first, operation.wakeAt <= now else { return }
            wake(operation, now)
        }
    }

    private func wake(_ operation: Operation, _ now: Instant) {
        if now >= operation.deadline { return expire(operation, now) }
        if let retryAt = operation.retryAt, now >= retryAt {
            wakeQueue.set(operation, at: operation.deadline)
            return dispatch(operation)
        }
        if !operation.hasSpeculated, operation.inFlight > 0 { speculate(operation, now) }
        if !operation.isDone { wakeQueue.set(operation, at: wakeTime(operation, now)) }
    }

    private func speculate(_ operation: Operation, _ now: Instant) {
        operation.hasSpeculated = true
        let first = operation.node
        guard let link = nextLink(where: { $0 !== first && $0.isWilling(now) }),
            speculationBudget.withdraw(now: now)
        else { return }
        counters.speculations += 1
        _ = link.submit(operation, now)
    }

    private func expire(_ operation: Operation, _ now: Instant) {
        if operation.inFlight > 0 {
            // A short deadline says nothing about the node.
            if now - operation.sentAt >= Limits.clientSuspicionAfter {
                operation.node?.breaker.record(isSuccess: false, now: now)
            }
            return finish(operation, .failure(.deadlineExceeded(operation.interrupted)))
        }
        let failure = operation.uncertain ?? operation.failure
        finish(operation, .failure(failure ?? .deadlineExceeded(operation.interrupted)))
    }

    // MARK: Failures

    /// An attempt has failed: the call ends with that, or another attempt follows.
    func attemptFailed(_ operation: Operation, _ error: MartletError, at link: NodeLink?) {
        operation.failures += 1
        operation.failure = error
        let isRead = operation.command.isRead
        if RetryPolicy.isUncertain(error, isRead: isRead), operation.uncertain == nil {
            operation.uncertain = error
        }
        if RetryPolicy.hintsAtTopology(error) { noticeTrouble() }
        switch RetryPolicy.decision(error, operation.traits) {
        case .fail:
            // Another attempt may still bring the answer.
            if operation.inFlight == 0 { giveUp(operation, error) }
            return
        case .retry: break
        case .retryUnder(let version): operation.version = version
        }
        if operation.inFlight > 0 { return }
        if operation.failures >= settings.attemptsMax { return giveUp(operation, error) }
        // What was never sent costs nobody anything: it needs no budget.
        if case .noNode = error {} else if !budget.withdraw(now: now) { return giveUp(operation, error) }
        counters.retries += 1
        let canTurnElsewhere =
            operation.failures == 1 && RetryPolicy.turnsElsewhereAtOnce(error)
            && links.contains { $0 !== link && $0.isWilling(now) }
        if canTurnElsewhere { return dispatch(operation, avoiding: link) }
        let at = now + settings.retryBackoff.pause(afterFailures: operation.failures, &random)
        if at >= operation.deadline { return giveUp(operation, error) }
        operation.retryAt = at
        wakeQueue.set(operation, at: at)
    }

    private func giveUp(_ operation: Operation, _ error: MartletError) {
        finish(operation, .failure(operation.uncertain ?? error))
    }
}
