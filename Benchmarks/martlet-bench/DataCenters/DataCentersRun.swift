import Glibc
import MartletBase
import MartletConfig
import MartletRing

/// Three data centres of real nodes, and clients in the first: what does each level cost there? Every node
/// has a copy of every key, seven in all, which is as many as there may be.
final class DataCentersRun {
    struct Settings {
        var roundTrip = Interval.milliseconds(50)
        var connections = 16
        var keys = 5_000
        var duration = Interval.seconds(5)
        var levels: [ConsistencyLevel] = [.one, .localQuorum, .quorum, .eachQuorum, .all]
    }

    /// Of each data centre.
    static let nodes = [3, 2, 2]

    private let settings: Settings
    private let networks: FarNetworks
    private let bench: Workbench
    private let folder: String
    private var servers: [ServerProcess] = []

    private static let serveWithin = Interval.seconds(60)
    private static let lookEvery = Interval.milliseconds(200)

    /// Returns when the nodes serve and the keys are written.
    init(_ settings: Settings, _ bench: Workbench) throws(Failure) {
        self.settings = settings
        self.bench = bench
        folder = try bench.makeFolder()
        networks = try FarNetworks(
            Self.nodes.count, delay: Interval(nanoseconds: settings.roundTrip.nanoseconds / 2), folder: folder
        )
        do throws(Failure) {
            try startNodes()
            try fill()
        } catch {
            stop()
            throw error
        }
    }

    func stop() {
        for server in servers { server.stop() }
        servers = []
        networks.remove()
    }

    private func startNodes() throws(Failure) {
        let places = Self.nodes.enumerated().flatMap { center, count in (1...count).map { (center + 1, $0) } }
        var file = "nodes:\n"
        for (index, (center, host)) in places.enumerated() {
            try networks.addHost(center, host)
            file += "  - {name: n\(index + 1), address: \(try networks.address(center, host)),"
            file += " datacenter: dc\(center)}\n"
        }
        let factors = Self.nodes.enumerated().map { "dc\($0.offset + 1): \($0.element)" }
        file += "keyspaces:\n  default:\n    replication_factor: {\(factors.joined(separator: ", "))}\n"
        file += "storage: {data: data}\nlog: {level: warn}\n"
        let path = "\(folder)/cluster.yaml"
        try writeFile(path, file)
        for (index, (center, _)) in places.enumerated() {
            let words = [bench.martletd, "--config", path, "--name", "n\(index + 1)", "--insecure"]
            servers.append(try networks.start(center, "n\(index + 1)", words))
        }
    }

    /// All keys on all nodes, as soon as these take them.
    private func fill() throws(Failure) {
        try bench.until("the data centres serve", servers, within: Self.serveWithin, every: Self.lookEvery) {
            () throws(Failure) in
            _ = try load(.all, reads: 0, ["--requests", "1", "--warm-up", "0s", "--no-preload"])
            return true
        }
        _ = try load(.all, reads: 0, ["--requests", "1", "--warm-up", "0s", "--pipeline", "32"])
    }

    /// Reads, then writes.
    func run(_ level: ConsistencyLevel) throws(Failure) -> DataCentersResult {
        let words = ["--duration", "\(decimal(settings.duration.seconds, digits: 3))s", "--no-preload"]
        return DataCentersResult(
            level: level.description, reads: try load(level, reads: 1, words),
            writes: try load(level, reads: 0, words))
    }

    /// A load from the first data centre on its nodes: a program of its own, since it has to be there.
    private func load(
        _ level: ConsistencyLevel, reads: Int, _ words: [String]
    ) throws(Failure) -> DataCentersResult.Load {
        let path = "\(folder)/load.json"
        var command = [linkTarget("/proc/self/exe") ?? "martlet-bench", "run"]
        for host in 1...Self.nodes[0] { command += ["--target", "\(try networks.address(1, host))"] }
        command += ["--connections", "\(settings.connections)", "--keys", "\(settings.keys)"]
        command += ["--level", level.description, "--reads", "\(reads)", "--json", path]
        let process = try networks.start(1, "load", command + words)
        guard try process.awaitEnd() == 0 else { throw .refused(process.lastLines(5)) }
        do throws(WireError) {
            let found = try JSONReader.read(Array((readFile(path) ?? "").utf8))
            let times = found["latency_ms"]?[reads == 1 ? "reads" : "writes"]
            return DataCentersResult.Load(
                p50: times?["p50"]?.double ?? 0, p99: times?["p99"]?.double ?? 0,
                perSecond: found["operations_per_second"]?.double ?? 0)
        } catch {
            throw .refused("a load's result isn't JSON: \(error)")
        }
    }
}
