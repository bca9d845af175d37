import Glibc
import MartletBase
import Synchronization

/// The stages that are about something else than throughput.
extension Comparison {
    /// Starts, and nodes that have little to do.
    func idle() throws(Failure) {
        var alone: [Double] = []
        var together: [Double] = []
        var redis: [Double] = []
        for _ in 0..<settings.rounds {
            let one = try bench.martlet("one node", nodes: 1, copies: 1, durability: "batch")
            alone.append(one.startSeconds)
            bench.stop(one)
            let three = try bench.martlet("three nodes", nodes: 3, copies: 3, durability: "batch")
            together.append(three.startSeconds)
            bench.stop(three)
            let server = try bench.redisServer("redis-server", fsync: "everysec")
            redis.append(server.startSeconds)
            bench.stop(server)
        }
        addRow(
            CompareRow(
                "a fresh node's process start to its first reply", martlet: "\(Spread(alone).text()) s",
                other: "redis-server: \(Spread(redis).text()) s", aim: "0.5 s"))
        addRow(
            CompareRow(
                "three fresh nodes started, formed and serving", martlet: "\(Spread(together).text()) s",
                aim: "2 s"))
        try rest()
    }

    private func rest() throws(Failure) {
        let subjects = [
            try bench.martlet("martlet idle", nodes: 3, copies: 3, durability: "batch"),
            try bench.redisServer("redis idle", fsync: "everysec"),
        ]
        defer { for subject in subjects { bench.stop(subject) } }
        for subject in subjects {
            var few = plan(subject, Shape(name: "100 keys", connections: 1))
            few.keyCount = 100
            try RunCommand.preload(few)
        }
        // What the start and the writes have left to do is done by then.
        try Interrupts.wait(.seconds(3))
        let interval = Interval.seconds(8)
        let before = subjects.map { $0.processes.map { ProcessUsage([$0]) } }
        try Interrupts.wait(interval)
        let shares = zip(subjects, before).map { subject, before in
            zip(subject.processes, before).map { process, before in
                (ProcessUsage([process]) - before).serverSeconds / interval.seconds * 100
            }
        }
        let memory = subjects.map { subject in
            subject.processes.compactMap { ProcessUsage.residentBytes(of: $0) }.map { Double($0) / 1e6 }
        }
        addRow(
            CompareRow(
                "idle after 100 keys: resident memory of a node, caches all but empty",
                martlet: "\(short(memory[0].max() ?? .nan)) MB",
                other: "redis-server: \(short(memory[1].max() ?? .nan)) MB", aim: "60 MB"))
        addRow(
            CompareRow(
                "the same: share of a processor, of a node", martlet: "\(short(shares[0].max() ?? .nan))%",
                other: "redis-server: \(short(shares[1].max() ?? .nan))%", aim: "0.5%"))
    }

    /// Reads of a few keys at an even pace, alone and beside reads of all of more keys than the caches hold.
    func large() throws(Failure) {
        let keys = settings.isLarge ? 10_000_000 : 500_000
        let cache = settings.isLarge ? "64MiB" : "4MiB"
        var lines = ["block_cache: \(cache)"]
        if !settings.isLarge { lines += ["record_cache: 1MiB", "memtable: 8MiB"] }
        let subject = try bench.martlet(
            "martlet large", nodes: 3, copies: 3, durability: "periodic", settings: lines)
        defer { bench.stop(subject) }
        var all = plan(subject, Shape(name: "all keys", connections: 16))
        all.keyCount = keys
        complain("  writing \(grouped(Double(keys))) keys")
        try RunCommand.preload(all)
        all.workload = .mix(read: 1, .uniform)
        all.rate = LoadPlan.Rate(perSecond: 4_000)
        var few = all
        few.keyCount = 1_000
        few.rate = LoadPlan.Rate(perSecond: 2_000)
        var quiet: [Double] = []
        var beside: [Double] = []
        for round in 0..<settings.rounds {
            let alone = try LoadRun.run(few, servers: subject.processes)
            try note(alone, subject.name, "1,000 keys", round)
            quiet.append(Double(alone.tally.histogram().value(at: 0.99)) / 1e6)
            let both = try besides(few, all)
            try note(both, subject.name, "1,000 keys beside all", round)
            beside.append(Double(both.tally.histogram().value(at: 0.99)) / 1e6)
        }
        addRow(
            CompareRow(
                "\(grouped(Double(keys))) keys, cache of \(cache): p99 of cached keys beside uniform reads",
                martlet: "\(Spread(beside).text()) ms", other: "without them: \(Spread(quiet).text()) ms",
                ratio: Spread(ratiosOf: beside, over: quiet).text(), aim: "under 3"))
    }

    /// Runs a load while another thread runs a second one a little longer.
    private func besides(_ plan: LoadPlan, _ second: LoadPlan) throws(Failure) -> LoadResult {
        var longer = second
        if case .duration(let duration) = second.limit { longer.limit = .duration(duration + .seconds(1)) }
        let load = longer
        let failed = SecondLoad()
        let thread = JobThread {
            do throws(Failure) { _ = try LoadRun.run(load) } catch { failed.set(error) }
        }
        var result: LoadResult?
        var problem: Failure?
        do throws(Failure) { result = try LoadRun.run(plan) } catch { problem = error }
        thread.join()
        if let failure = problem ?? failed.failure { throw failure }
        guard let result else { throw .interrupted }
        return result
    }
}

/// How a load on another thread failed.
private final class SecondLoad: Sendable {
    private let state = Mutex<Failure?>(nil)

    func set(_ failure: Failure) { state.withLock { $0 = failure } }
    var failure: Failure? { state.withLock { $0 } }
}
