import Glibc
import MartletBase
import MartletRing
import Synchronization

/// Changes of a running ring, one after the other, each under a load that goes on all the while:
///
///     n1 n2 n3 ─ join n4 ─ n2 leaves ─ n3 dies, n5 replaces it ─ n6 and n7 join ─ all keys are checked
///
/// A step's load is an open loop at a fixed rate, through nodes that are there before and after it. What is
/// measured of a step: the requests before it, from its act until all slots have their owners, and after it.
final class RebalanceRun {
    struct Settings {
        var bytes = 1 << 30
        var keyBytes = 16
        var valueBytes = 1_000
        /// Requests a second, half of them reads.
        var rate = 1_000.0
        var connections = 16
        /// How long clients go on before the first step is looked at: until the disks have done with the
        /// loading, and the nodes have forgotten how long requests took beside it (`RecentLatencies`).
        var settle = Interval.seconds(20)
        var quiet = Interval.seconds(5)
        /// How long a step may take. All four, with the filling and the check, are to end in a quarter of an
        /// hour.
        var within = Interval.seconds(120)
        var steps = RebalanceStep.allCases
        var copies = 3

        /// How many keys make so many bytes.
        var keyCount: Int { max(1, bytes / (keyBytes + valueBytes)) }
    }

    let settings: Settings
    let ring: LiveRing
    private let bench: Workbench
    private var nextName = 4
    /// Of the next load, what isn't looked at.
    private var warmUp: Interval

    private static let warmUp = Interval.seconds(1)
    private static let checkWithin = Interval.seconds(60)

    init(_ settings: Settings, _ bench: Workbench) throws(Failure) {
        self.settings = settings
        self.bench = bench
        warmUp = Self.warmUp + settings.settle
        ring = try LiveRing(bench, founders: 3, copies: settings.copies)
    }

    /// Writes all keys, and tells how many bytes a second.
    func fill() throws(Failure) -> Double {
        let began = monotonicNow()
        try RunCommand.preload(plan(ring.nodes.map(\.address)))
        return Double(settings.bytes) / (monotonicNow() - began).seconds
    }

    /// What a step that takes too long waits for.
    func changeInHand() throws(Failure) -> String { try ring.changeInHand(asked: asked.name) }

    func check() throws(Failure) -> KeyCheck.Outcome {
        let check = KeyCheck(keys: KeyFormat(bytes: settings.keyBytes), count: settings.keyCount)
        return try check.run(ring, try ring.owners(asked: asked.name), within: Self.checkWithin)
    }

    private func plan(_ targets: [Address]) -> LoadPlan {
        var plan = LoadPlan(targets: targets)
        plan.keyCount = settings.keyCount
        plan.keyBytes = settings.keyBytes
        plan.valueBytes = settings.valueBytes...settings.valueBytes
        plan.connections = settings.connections
        plan.pipeline = 16
        plan.setup = [["CONSISTENCY", "QUORUM"]]
        plan.rate = LoadPlan.Rate(perSecond: settings.rate)
        plan.limit = .duration(.seconds(100_000))
        plan.warmUp = warmUp
        plan.isPreloaded = true
        plan.keepsTimeline = true
        return plan
    }

    // MARK: Steps

    /// It is there throughout.
    private var asked: LiveRing.Node { ring.nodes[0] }

    /// Who goes by the step: the second one of all, so that the first can be asked.
    private func goer(_ step: RebalanceStep) -> LiveRing.Node? {
        step == .leave || step == .replace ? ring.nodes[1] : nil
    }

    func run(_ step: RebalanceStep) throws(Failure) -> RebalanceResult {
        let before = ring.nodes.map(\.name)
        let goer = goer(step)?.name
        let plan = plan(ring.nodes.filter { $0.name != goer }.map(\.address))
        let stop = LoadStop()
        let outcome = Mutex<Result<LoadResult, Failure>?>(nil)
        let load = JobThread {
            do throws(Failure) {
                let result = try LoadRun.run(plan, stop: stop)
                outcome.withLock { $0 = .success(result) }
            } catch {
                outcome.withLock { $0 = .failure(error) }
            }
        }
        let change = try surrounded(step, goer, stop, load)
        guard let result = outcome.withLock({ $0 }) else { invariantBroken("a load without a result") }
        return try report(step, before, change, try result.get())
    }

    /// The step between two quiet times; the load has ended after it, however it goes.
    private func surrounded(
        _ step: RebalanceStep, _ goer: String?, _ stop: LoadStop, _ load: JobThread
    ) throws(Failure) -> Change {
        defer {
            stop.tell()
            load.join()
            warmUp = Self.warmUp
        }
        try Interrupts.wait(warmUp + settings.quiet)
        let change = try make(step, goer)
        try Interrupts.wait(settings.quiet)
        return change
    }

    /// What was seen of a change.
    private struct Change {
        var began: Instant
        var ended: Instant
        var moved: LiveRing.Moved
        var recordsLeast: Int
        var processors: Double
        var isBalanced: Bool
    }

    private func make(_ step: RebalanceStep, _ goer: String?) throws(Failure) -> Change {
        let owners = try ring.owners(asked: asked.name)
        let moved = try ring.moved()
        let used = usage()
        let began = monotonicNow()
        switch step {
        case .join: try ring.join(takeName())
        case .double:
            try ring.join(takeName())
            try ring.join(takeName())
        case .leave: try ring.leave(goer ?? "")
        case .replace:
            let id = try ring.id(of: goer ?? "", asked: asked.name)
            try ring.kill(goer ?? "")
            try ring.replace(id, by: takeName())
        }
        let isBalanced = try ring.settle(by: began + settings.within)
        let ended = monotonicNow()
        let usedAfter = usage()
        let seconds = usedAfter.reduce(0.0) { $0 + max(0, $1.value - (used[$1.key] ?? 0)) }
        let sent = try ring.moved() - moved
        return Change(
            began: began, ended: ended, moved: sent,
            recordsLeast: least(owners, try ring.owners(asked: asked.name)),
            processors: seconds / max((ended - began).seconds, 1e-3), isBalanced: isBalanced)
    }

    private func takeName() -> String {
        defer { nextName += 1 }
        return "n\(nextName)"
    }

    private func usage() -> [pid_t: Double] {
        Dictionary(
            ring.processes.map { ($0, ProcessUsage([$0]).serverSeconds) }, uniquingKeysWith: max)
    }

    /// Copies that have to be made: each key's on owners that it has now and had not before.
    private func least(_ before: LiveRing.Owners, _ after: LiveRing.Owners) -> Int {
        let gained = zip(before.names, after.names).map { before, after in
            after.count { !before.contains($0) }
        }
        let keys = KeyFormat(bytes: settings.keyBytes)
        return (0..<settings.keyCount).reduce(0) {
            $0 + gained[Int(Slot(key: keys.key($1).span.bytes).index)]
        }
    }

    private func report(
        _ step: RebalanceStep, _ before: [String], _ change: Change, _ load: LoadResult
    ) throws(Failure) -> RebalanceResult {
        let timeline = load.tally.timeline
        let start = load.tally.began
        let end = change.ended + settings.quiet
        var seconds: [(at: Double, latencies: Latencies)] = []
        var at = start
        while at + .seconds(1) <= end {
            seconds.append(((at - change.began).seconds, timeline.latencies(at, at + .seconds(1))))
            at = at + .seconds(1)
        }
        return RebalanceResult(
            step: step, before: before, after: ring.nodes.map(\.name), took: change.ended - change.began,
            isBalanced: change.isBalanced, recordsLeast: change.recordsLeast,
            recordsMoved: change.moved.records,
            bytesMoved: change.moved.bytes, processors: change.processors,
            quiet: timeline.latencies(start, change.began),
            meanwhile: timeline.latencies(change.began, change.ended),
            afterwards: timeline.latencies(change.ended, end), seconds: seconds,
            errors: load.tally.errors, unsent: load.tally.unsent)
    }
}
