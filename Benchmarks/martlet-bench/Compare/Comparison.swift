import Glibc
import MartletBase

/// The loads of a comparison, in stages: each starts what it compares, measures, and ends it.
///
/// Servers that are compared stand beside each other and are loaded in turns, round after round, by the same
/// generator: a drift of the machine's speed hits all of a round, and a ratio is that of one round's loads.
/// The idle ones cost the loaded one nothing that could be measured.
final class Comparison {
    struct Settings {
        var rounds = 3
        var seconds = 3.0
        var stages: [Stage] = Stage.allCases
        var isLarge = false
    }

    enum Stage: String, CaseIterable {
        case periodic
        case batch
        case single
        case nodes
        case idle
        case large
    }

    struct Shape: Hashable {
        var name: String
        var connections: Int
        var pipeline = 1
        var isCluster = false
    }

    let settings: Settings
    let bench: Workbench
    private(set) var rows: [CompareRow] = []
    /// Each load that was run, for the JSON file.
    private(set) var trials: [JSON] = []
    private(set) var plots: [(name: String, plot: Plot)] = []
    private(set) var errorCount = 0

    init(_ settings: Settings, _ bench: Workbench) {
        self.settings = settings
        self.bench = bench
    }

    func run() throws(Failure) {
        for stage in settings.stages {
            complain("\(stage.rawValue) ...")
            switch stage {
            case .periodic: try periodic()
            case .batch: try batch()
            case .single: try single()
            case .nodes: try nodes()
            case .idle: try idle()
            case .large: try large()
            }
        }
    }

    // MARK: Stages

    private static let wide = Shape(name: "64 connections", connections: 64)

    private func periodic() throws(Failure) {
        let martlet = try bench.martlet("martlet periodic", nodes: 3, copies: 3, durability: "periodic")
        let redis = try bench.redisServer("redis everysec", fsync: "everysec")
        let waiting = try bench.redisReplicas("redis WAIT 1", fsync: "everysec", replicas: 2)
        let subjects = [martlet, redis, waiting]
        defer { for subject in subjects { bench.stop(subject) } }
        for subject in subjects { try preload(subject) }

        let wide = try interleave(subjects, Self.wide)
        add(
            "64 connections, periodic", wide[0], "redis-server, everysec", wide[1],
            aim: "0.55 of its operations/s, p99 under 4 ms")
        addProcessorTime("the same, server processor time an operation", wide[0], wide[1], aim: "20 us")
        add("the same, over Redis with WAIT 1", wide[0], "a master, 2 replicas", wide[2])
        addProcessorTime("the same, server processor time an operation", wide[0], wide[2])
        plots.append(
            (
                "latency-64",
                Plot.percentiles(
                    "Latency, 64 connections, half reads, closed loop",
                    zip(subjects, wide).map { ($0.name, merged($1)) })
            ))

        let one = try interleave(subjects, Shape(name: "1 connection", connections: 1))
        rows.append(
            CompareRow(
                "1 connection, periodic: p50", martlet: milliseconds(one[0], 0.5),
                other: "redis-server \(milliseconds(one[1], 0.5)), WAIT 1 \(milliseconds(one[2], 0.5))",
                ratio: ratio(one[0], one[1]) { Double($0.tally.histogram().value(at: 0.5)) },
                aim: "0.15 ms"))
        let deep = try interleave(
            subjects, Shape(name: "64 connections, pipeline 16", connections: 64, pipeline: 16))
        add(
            "64 connections, pipeline 16, periodic", deep[0], "redis-server, everysec", deep[1],
            aim: "0.15, better 0.25")
        add("the same, over Redis with WAIT 1", deep[0], "a master, 2 replicas", deep[2])
        try sweep(subjects, [1: one, 64: wide])
    }

    /// One load at each of more numbers of connections, for a plot.
    private func sweep(_ subjects: [Subject], _ known: [Int: [[LoadResult]]]) throws(Failure) {
        var series = subjects.map { Plot.Series($0.name, []) }
        let counts = [1, 4, 16, 64, 128]
        for count in counts {
            for (index, subject) in subjects.enumerated() {
                var results = known[count]?[index] ?? []
                if results.isEmpty {
                    let shape = Shape(name: "\(count) connections", connections: count)
                    results = [try load(subject, shape, 0)]
                }
                series[index].points.append((Double(count), Spread(results.map(\.perSecond)).median))
            }
        }
        let marks = counts.map { (value: Double($0), text: "\($0)") }
        plots.append(
            (
                "throughput",
                Plot(
                    "Operations a second over connections, half reads, closed loop",
                    x: Plot.Axis("connections", .logarithmic, marks: marks), y: Plot.Axis("ops/s", .linear),
                    series)
            ))
    }

    private func batch() throws(Failure) {
        let subjects = [
            try bench.martlet("martlet batch", nodes: 3, copies: 3, durability: "batch"),
            try bench.redisServer("redis always", fsync: "always"),
        ]
        defer { for subject in subjects { bench.stop(subject) } }
        for subject in subjects { try preload(subject) }
        let results = try interleave(subjects, Self.wide)
        add("64 connections, batch", results[0], "redis-server, always", results[1], aim: "0.40")
        addProcessorTime("the same, server processor time an operation", results[0], results[1])
    }

    private func single() throws(Failure) {
        let subjects = [
            try bench.martlet("martlet one node", nodes: 1, copies: 1, durability: "periodic"),
            try bench.redisServer("redis everysec", fsync: "everysec"),
        ]
        defer { for subject in subjects { bench.stop(subject) } }
        for subject in subjects { try preload(subject) }
        let results = try interleave(subjects, Self.wide)
        add("one node, N = 1, 64 connections", results[0], "redis-server, everysec", results[1], aim: "0.8")
        addProcessorTime("the same, server processor time an operation", results[0], results[1])
    }

    /// A load on clusters of more sizes.
    private struct Way {
        let name: String
        let aim: String
        let shape: (_ size: Int) -> Shape
        var results: [[LoadResult]] = []
    }

    /// One cluster at a time, since the gossip of 21 idle nodes isn't nothing; three sizes a round.
    ///
    /// A request to any node is passed on when that isn't an owner, and the more nodes the more often: the
    /// aim is about clients that know the slots, and reach an owner in one hop. Each node of a larger cluster
    /// has fewer of 64 connections, so that fewer requests share a turn of its loop and a call to the system;
    /// with connections in proportion each has as much to do as one of three.
    private static var ways: [Way] {
        [
            Way(name: "to the slot's master, 64 connections", aim: "flat within 10%") { _ in
                Shape(name: "64 connections, to the owner", connections: 64, isCluster: true)
            },
            Way(name: "to the slot's master, 64 connections for each three nodes", aim: "flat within 10%") {
                size in
                let count = 64 * size / 3
                return Shape(name: "\(count) connections, to the owner", connections: count, isCluster: true)
            },
            Way(name: "to any node, 64 connections", aim: "") { _ in Comparison.wide },
        ]
    }

    private func nodes() throws(Failure) {
        let sizes = [3, 6, 12]
        var ways = Self.ways
        for index in ways.indices { ways[index].results = sizes.map { _ in [] } }
        for round in 0..<min(2, settings.rounds) {
            for (index, size) in sizes.enumerated() {
                let subject = try bench.martlet(
                    "martlet \(size) nodes", nodes: size, copies: 3, durability: "periodic")
                defer { bench.stop(subject) }
                try preload(subject)
                for way in ways.indices {
                    let shape = ways[way].shape(size)
                    guard !shape.isCluster || subject.hasClusterFace else { continue }
                    ways[way].results[index].append(try load(subject, shape, round))
                }
            }
        }
        for way in ways {
            let costs = way.results.map { $0.compactMap(\.serverMicroseconds) }
            for (index, size) in sizes.enumerated().dropFirst() where !costs[index].isEmpty {
                rows.append(
                    CompareRow(
                        "\(size) nodes, N = 3, requests \(way.name): server processor time an operation",
                        martlet: "\(Spread(costs[index]).text()) us",
                        other: "3 nodes: \(Spread(costs[0]).text()) us",
                        ratio: Spread(ratiosOf: costs[index], over: costs[0]).text(), aim: way.aim))
            }
        }
    }

    // MARK: Loads

    func plan(_ subject: Subject, _ shape: Shape) -> LoadPlan {
        var plan = LoadPlan(targets: subject.targets)
        plan.connections = shape.connections
        plan.pipeline = shape.pipeline
        plan.isCluster = shape.isCluster
        if shape.isCluster { plan.targets = subject.clusterTargets }
        plan.waitReplicas = subject.waitReplicas
        plan.limit = .duration(Interval(nanoseconds: Int64(settings.seconds * 1e9)))
        plan.warmUp = .milliseconds(500)
        plan.isPreloaded = true
        return plan
    }

    private func preload(_ subject: Subject) throws(Failure) {
        try RunCommand.preload(plan(subject, Self.wide))
    }

    /// All rounds of a load on each subject, in the order of the subjects.
    private func interleave(_ subjects: [Subject], _ shape: Shape) throws(Failure) -> [[LoadResult]] {
        var results: [[LoadResult]] = subjects.map { _ in [] }
        for round in 0..<settings.rounds {
            for (index, subject) in subjects.enumerated() {
                results[index].append(try load(subject, shape, round))
            }
        }
        return results
    }

    private func load(_ subject: Subject, _ shape: Shape, _ round: Int) throws(Failure) -> LoadResult {
        var plan = plan(subject, shape)
        plan.seed = UInt64(round + 1)
        let result = try LoadRun.run(plan, servers: subject.processes)
        try note(result, subject.name, shape.name, round)
        return result
    }

    /// Tells and keeps a load's result.
    func note(
        _ result: LoadResult, _ subject: String, _ shape: String, _ round: Int
    ) throws(Failure) {
        if result.wasInterrupted { throw .interrupted }
        errorCount += result.tally.errorCount
        let all = result.tally.histogram()
        complain(
            "  \(padAfter(subject, 18)) \(padAfter(shape, 28)) \(pad(grouped(result.perSecond), 9))/s"
                + "  p50 \(pad(decimal(Double(all.value(at: 0.5)) / 1e6, digits: 3), 8)) ms"
                + "  p99 \(pad(decimal(Double(all.value(at: 0.99)) / 1e6, digits: 3), 8)) ms"
                + "  server \(result.serverMicroseconds.map { short($0) } ?? "-") us,"
                + " own \(short(result.clientMicroseconds)) us"
                + (result.tally.errorCount > 0 ? "  ERRORS \(result.tally.errorCount)" : ""))
        for (kind, errors) in result.tally.errors.sorted(by: { $0.key < $1.key }) {
            complain("    \(kind): \(errors.count) times, the first: \(errors.example)")
        }
        trials.append(
            .object([
                ("subject", .string(subject)), ("shape", .string(shape)), ("round", .integer(round)),
                ("result", result.json),
            ]))
    }

    func addRow(_ row: CompareRow) { rows.append(row) }

    // MARK: Rows

    private func add(
        _ what: String, _ martlet: [LoadResult], _ other: String, _ results: [LoadResult], aim: String = ""
    ) {
        func text(_ results: [LoadResult]) -> String {
            "\(grouped(Spread(results.map(\.perSecond)).median))/s, p99 \(milliseconds(results, 0.99))"
        }
        rows.append(
            CompareRow(
                what, martlet: text(martlet), other: "\(other): \(text(results))",
                ratio: ratio(martlet, results, \.perSecond), aim: aim))
    }

    private func addProcessorTime(
        _ what: String, _ martlet: [LoadResult], _ other: [LoadResult], aim: String = ""
    ) {
        func text(_ results: [LoadResult]) -> String {
            "\(Spread(results.compactMap(\.serverMicroseconds)).text()) us"
        }
        rows.append(
            CompareRow(
                what, martlet: text(martlet), other: text(other),
                ratio: ratio(martlet, other) { $0.serverMicroseconds ?? .nan }, aim: aim))
    }

    private func ratio(
        _ upper: [LoadResult], _ lower: [LoadResult], _ number: (LoadResult) -> Double
    ) -> String { Spread(ratiosOf: upper.map(number), over: lower.map(number)).text() }

    /// A latency, the median of the rounds.
    private func milliseconds(_ results: [LoadResult], _ quantile: Double) -> String {
        let values = results.map { Double($0.tally.histogram().value(at: quantile)) / 1e6 }
        return "\(short(Spread(values).median)) ms"
    }

    private func merged(_ results: [LoadResult]) -> Histogram {
        var out = Histogram()
        for result in results { out.merge(result.tally.histogram()) }
        return out
    }
}
