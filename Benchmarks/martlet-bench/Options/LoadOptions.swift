import MartletBase
import MartletConfig
import MartletRing

/// The options of a load: `run`'s and `sweep`'s.
package enum LoadOptions {
    package static let specifications: [OptionSpecification] = [
        OptionSpecification(
            "--target", value: "ADDRESS", repeats: true,
            "A server, address:port; connections are spread over several in turn (127.0.0.1:7379)."),
        OptionSpecification(
            "--cluster", "Route each request to its slot's master, as CLUSTER SLOTS of the target says."),
        OptionSpecification("--connections", value: "N", "Clients at a time (64)."),
        OptionSpecification("--pipeline", value: "N", "Requests in flight on each (1)."),
        OptionSpecification("--threads", value: "N", "Threads of this program (1)."),
        OptionSpecification(
            "--rate", value: "N", "Open loop: requests a second, timed from when they are due."),
        OptionSpecification("--poisson", "With --rate: random gaps instead of even ones."),
        OptionSpecification("--duration", value: "TIME", "How long to measure (10s)."),
        OptionSpecification("--requests", value: "N", "Measure so many requests instead."),
        OptionSpecification("--warm-up", value: "TIME", "The same load first, not measured (1s)."),
        OptionSpecification(
            "--workload", value: "A-F", "YCSB's mix and key distribution; E's scan is an MGET (see below)."),
        OptionSpecification("--reads", value: "SHARE", "Without a workload: the share of reads (0.5)."),
        OptionSpecification(
            "--distribution", value: "NAME", "uniform, zipf, zipf:THETA, latest (uniform; YCSB's own)."),
        OptionSpecification("--scan-max", value: "N", "The longest scan of workload E (100)."),
        OptionSpecification("--keys", value: "N", "Number of keys (100000)."),
        OptionSpecification("--key-size", value: "BYTES", "Of each key (16)."),
        OptionSpecification("--value-size", value: "BYTES", "Of each value; A-B draws evenly (100)."),
        OptionSpecification("--no-preload", "Don't write every key first."),
        OptionSpecification("--level", value: "LEVEL", "CONSISTENCY of each connection; READ:WRITE."),
        OptionSpecification("--keyspace", value: "NAME", "SELECT on each connection."),
        OptionSpecification("--wait", value: "N", "Follow each write by WAIT for N replicas."),
        OptionSpecification("--timeout", value: "TIME", "How long a reply may take (10s)."),
        OptionSpecification("--seed", value: "N", "Of the drawn keys and values (1)."),
        OptionSpecification(
            "--pid", value: "PID", repeats: true,
            "A server process, for its processor time (found by the targets' addresses)."),
    ]

    package static let notes = """
        YCSB's workloads on strings: A 50% read 50% update, B 95% read 5% update, C read only, D 95% read
        of the latest 5% insert, E 95% scan 5% insert, F 50% read 50% read-modify-write. A scan is an MGET
        of 1 to --scan-max keys whose numbers follow each other, since Redis has none by key order; a
        read-modify-write is a GET and then a SET of the same key, timed together.

        A closed loop counts a request's time from when its predecessor was answered; with --rate from when
        it was due, sent or not, so that a stall shows in every request that it held up.
        """

    /// The load, and whether its keys are to be written first. A sweep sets its `connections` itself.
    package static func plan(
        _ line: ParsedCommandLine, connections: Int? = nil
    ) throws(Failure) -> (plan: LoadPlan, preload: Bool) {
        let reader = OptionReader(line)
        var plan = LoadPlan(targets: try targets(line))
        plan.isCluster = line.has("--cluster")
        let given = connections == nil ? try reader.whole("--connections", 1...10_000) : connections
        plan.connections = given ?? 64
        plan.pipeline = try reader.whole("--pipeline", 1...100_000) ?? 1
        plan.threads = try reader.whole("--threads", 1...64) ?? 1
        plan.workload = try workload(line, reader)
        plan.keyBytes = try reader.whole("--key-size", KeyFormat.bytesMin...KeyFormat.bytesMax) ?? 16
        plan.keyCount = try reader.whole("--keys", 1...1_000_000_000) ?? 100_000
        plan.valueBytes = try reader.range("--value-size", 0...16 << 20) ?? 100...100
        plan.waitReplicas = try reader.whole("--wait", 0...100) ?? 0
        plan.timeout = try reader.time("--timeout") ?? .seconds(10)
        plan.seed = UInt64(try reader.whole("--seed", 0...Int.max) ?? 1)
        plan.warmUp = try reader.time("--warm-up", isZeroAllowed: true) ?? .seconds(1)
        if let rate = try reader.number("--rate", 0.001...10_000_000) {
            plan.rate = LoadPlan.Rate(perSecond: rate, isPoisson: line.has("--poisson"))
        } else if line.has("--poisson") {
            throw .usage("--poisson needs --rate")
        }
        if let requests = try reader.whole("--requests", 1...1_000_000_000_000) {
            if line.has("--duration") { throw .usage("--requests and --duration exclude each other") }
            plan.limit = .requests(requests)
        } else {
            plan.limit = .duration(try reader.time("--duration") ?? .seconds(10))
        }
        if plan.threads > plan.connections {
            throw .usage(
                "--threads \(plan.threads) needs as many --connections, there are \(plan.connections)")
        }
        let room = KeyFormat(bytes: plan.keyBytes).countMax
        if plan.keyCount > room / 2 {
            throw .usage("--key-size \(plan.keyBytes) has room for \(room / 2) keys: fewer --keys, or longer")
        }
        if plan.valueBytes.count > 65_536 { throw .usage("--value-size: at most 65,536 different sizes") }
        try setup(line, &plan)
        plan.isPreloaded = !line.has("--no-preload")
        return (plan, plan.isPreloaded)
    }

    private static func targets(_ line: ParsedCommandLine) throws(Failure) -> [Address] {
        var out: [Address] = []
        for text in line.values("--target").isEmpty ? ["127.0.0.1"] : line.values("--target") {
            guard let address = Address(text, defaultPort: line.has("--cluster") ? 7380 : 7379) else {
                throw .usage("--target: found \"\(text)\", allowed: address:port, such as 127.0.0.1:7379")
            }
            out.append(address)
        }
        return out
    }

    private static func workload(
        _ line: ParsedCommandLine, _ reader: OptionReader
    ) throws(Failure) -> Workload {
        let distribution = try distribution(line)
        var out: Workload
        if let letter = line.value("--workload") {
            guard let known = Workload.ycsb(letter) else {
                throw .usage("--workload: found \"\(letter)\", allowed: A to F")
            }
            if line.has("--reads") { throw .usage("--workload and --reads exclude each other") }
            out = known
            out.distribution = distribution ?? known.distribution
        } else {
            out = .mix(read: try reader.number("--reads", 0...1) ?? 0.5, distribution ?? .uniform)
        }
        out.scanKeysMax = try reader.whole("--scan-max", 1...10_000) ?? 100
        return out
    }

    private static func distribution(_ line: ParsedCommandLine) throws(Failure) -> KeyDistribution? {
        guard let text = line.value("--distribution") else { return nil }
        let parts = text.split(separator: ":", maxSplits: 1)
        let theta = parts.count == 2 ? Double(parts[1]) : KeyChooser.usualTheta
        if let theta, theta > 0, theta < 1 {
            switch parts.first {
            case "uniform" where parts.count == 1: return .uniform
            case "zipf": return .zipf(theta: theta)
            case "latest": return .latest(theta: theta)
            default: break
            }
        }
        throw .usage(
            "--distribution: found \"\(text)\", allowed: uniform, zipf, latest, zipf:THETA or latest:THETA"
                + " with a theta between 0 and 1")
    }

    private static func setup(_ line: ParsedCommandLine, _ plan: inout LoadPlan) throws(Failure) {
        if let keyspace = line.value("--keyspace") { plan.setup.append(["SELECT", keyspace]) }
        guard let text = line.value("--level") else { return }
        let words = text.split(separator: ":", omittingEmptySubsequences: false).map { $0.uppercased() }
        guard words.allSatisfy({ ConsistencyLevel($0) != nil }), words.count <= 2 else {
            throw .usage("--level: found \"\(text)\", allowed: a level such as QUORUM, or READ:WRITE")
        }
        plan.setup.append(["CONSISTENCY"] + words)
    }
}
