import Glibc
import MartletBase
import Synchronization

/// Ends a load from outside: what is on its way is still waited for.
final class LoadStop: Sendable {
    private let isTold = Atomic(false)

    func tell() { isTold.store(true, ordering: .releasing) }
    var hasCome: Bool { isTold.load(ordering: .acquiring) }
}

/// What the threads of one load share.
final class LoadGate: Sendable {
    private struct State {
        var readyCount = 0
        var startAt: Instant?
        var failure: Failure?
        var usageBefore: ProcessUsage?
        var usageAfter: ProcessUsage?
        var tally = LoadTally()
    }

    private let state = Mutex(State())
    private let threads: Int
    private let servers: [pid_t]
    private let stop: LoadStop?

    /// From the last thread's connecting to the beginning, so that all see it in time.
    private static let startAfter = Interval.milliseconds(20)

    init(threads: Int, servers: [pid_t], stop: LoadStop?) {
        self.threads = threads
        self.servers = servers
        self.stop = stop
    }

    var isToldToStop: Bool { stop?.hasCome ?? false }

    func becameReady() {
        state.withLock { state in
            state.readyCount += 1
            if state.readyCount == threads { state.startAt = monotonicNow() + Self.startAfter }
        }
    }

    var startAt: Instant? { state.withLock { $0.startAt } }
    var hasFailed: Bool { state.withLock { $0.failure != nil } }
    var failure: Failure? { state.withLock { $0.failure } }

    func fail(_ failure: Failure) {
        state.withLock { if $0.failure == nil { $0.failure = failure } }
    }

    func measureBegins() {
        let usage = ProcessUsage(servers)
        state.withLock { $0.usageBefore = usage }
    }

    /// A thread is done: each sets the end anew, the last one's counts.
    func add(_ tally: LoadTally) {
        let usage = ProcessUsage(servers)
        state.withLock { state in
            state.tally.merge(tally)
            state.usageAfter = usage
        }
    }

    var tally: LoadTally { state.withLock { $0.tally } }

    var usage: ProcessUsage? {
        state.withLock { state in
            guard let before = state.usageBefore, let after = state.usageAfter else { return nil }
            return after - before
        }
    }
}

/// A load that was run.
package struct LoadResult: Sendable {
    package var plan: LoadPlan
    package var tally: LoadTally
    /// From the beginning of the measurement to the last reply.
    package var elapsed: Interval
    /// Processor time of this program meanwhile.
    package var clientSeconds: Double
    /// Of the servers; nil when their processes aren't known.
    package var serverSeconds: Double?
    package var wasInterrupted = false

    package init(
        plan: LoadPlan, tally: LoadTally, elapsed: Interval, clientSeconds: Double, serverSeconds: Double?,
        wasInterrupted: Bool = false
    ) {
        self.plan = plan
        self.tally = tally
        self.elapsed = elapsed
        self.clientSeconds = clientSeconds
        self.serverSeconds = serverSeconds
        self.wasInterrupted = wasInterrupted
    }

    package var operations: Int { Int(tally.histogram().count) }
    package var perSecond: Double { elapsed > .zero ? Double(operations) / elapsed.seconds : 0 }
    package var clientMicroseconds: Double { clientSeconds * 1e6 / Double(max(1, operations)) }

    package var serverMicroseconds: Double? {
        operations == 0 ? nil : serverSeconds.map { $0 * 1e6 / Double(operations) }
    }
}

enum LoadRun {
    /// Runs a load to its end, which `stop` may bring about. `servers` are the processes whose processor time
    /// is counted.
    static func run(
        _ plan: LoadPlan, servers: [pid_t] = [], stop: LoadStop? = nil
    ) throws(Failure) -> LoadResult {
        let route: ClusterRoute? = plan.isCluster ? try ClusterRoute.ask(plan.targets) : nil
        let gate = LoadGate(threads: plan.threads, servers: servers, stop: stop)
        var others: [JobThread] = []
        for part in 1..<max(1, plan.threads) {
            others.append(JobThread { runPart(plan, part, route, gate) })
        }
        runPart(plan, 0, route, gate)
        for thread in others { thread.join() }
        if let failure = gate.failure { throw failure }
        let tally = gate.tally
        if tally.began == .distantFuture || Interrupts.areCaught, tally.histogram().count == 0 {
            throw .interrupted
        }
        let usage = gate.usage
        return LoadResult(
            plan: plan, tally: tally, elapsed: max(.zero, tally.lastCompletion - tally.began),
            clientSeconds: usage?.clientSeconds ?? 0,
            serverSeconds: servers.isEmpty ? nil : usage?.serverSeconds,
            wasInterrupted: Interrupts.areCaught)
    }

    private static func runPart(_ plan: LoadPlan, _ part: Int, _ route: ClusterRoute?, _ gate: LoadGate) {
        do throws(Failure) {
            let generator = try LoadGenerator(plan, part: part, route: route, gate: gate)
            gate.add(generator.run())
        } catch {
            gate.fail(error)
        }
    }
}
