import Glibc
import MartletBase
import MartletRESP

/// What loads are compared on: a server, or several that make one store.
final class Subject {
    let name: String
    let targets: [Address]
    let servers: [ServerProcess]
    var waitReplicas = 0
    /// From the first process's start until all of them served.
    let startSeconds: Double

    init(_ name: String, _ targets: [Address], _ servers: [ServerProcess], startSeconds: Double) {
        self.name = name
        self.targets = targets
        self.servers = servers
        self.startSeconds = startSeconds
    }

    var processes: [pid_t] { servers.map(\.process) }

    /// Martlet's face for cluster clients.
    var clusterTargets: [Address] { targets.map { Address(ip: $0.ip, port: 7380) } }
    var hasClusterFace: Bool { (try? ClusterRoute.ask(clusterTargets)) != nil }

    func stop() { for server in servers { server.stop() } }
}

/// Starts servers on a loopback network of its own, with their data in a temporary folder; `remove` ends all
/// of them and takes the folder away.
final class Workbench {
    private let folder: String
    private let network: String
    private let lock: Int32
    let martletd: String
    private var nextHost = 1
    private var nextFolder = 1
    private var subjects: [Subject] = []

    private static let port: UInt16 = 7379
    static let serveWithin = Interval.seconds(30)

    static var besideThisProgram: String {
        let own = linkTarget("/proc/self/exe") ?? ""
        return own.lastIndex(of: "/").map { String(own[..<$0]) } ?? "."
    }

    /// - Parameter programs: the folder that has martletd.
    init(programs: String) throws(Failure) {
        martletd = "\(programs)/martletd"
        guard access(martletd, X_OK) == 0 else { throw .refused("there is no \(martletd): make build") }
        let place = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        (network, lock) = try Self.allocateNetwork(place)
        var template = Array("\(place)/martlet-bench-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw .refused("can't make a folder in \(place): \(errorText(errno))")
        }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The one that MARTLET_TEST_NETWORK names, else the first whose lock file can be locked; the tests'
    /// clusters keep to the same.
    private static func allocateNetwork(_ place: String) throws(Failure) -> (String, Int32) {
        if let given = getenv("MARTLET_TEST_NETWORK").map({ String(cString: $0) }), !given.isEmpty {
            guard IPAddress(given + ".1")?.isLoopback == true else {
                throw .usage("MARTLET_TEST_NETWORK: found \"\(given)\", allowed: a network such as 127.77.3")
            }
            return (given, -1)
        }
        for second in 64..<128 {
            for third in 0..<256 {
                let network = "127.\(second).\(third)"
                let file = open("\(place)/martlet-test-\(network).lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
                if file < 0 { continue }
                if flock(file, LOCK_EX | LOCK_NB) == 0 {
                    let first = Address(
                        ip: IPAddress(network + ".1") ?? IPAddress(v4: 0, 0, 0, 0), port: port)
                    if Listeners.processes(at: [first]) == nil { return (network, file) }
                }
                close(file)
            }
        }
        throw .refused("no network of 127.64.0 to 127.127.255 is free")
    }

    func remove() {
        for subject in subjects { subject.stop() }
        subjects = []
        removeTree(folder)
        if lock >= 0 { close(lock) }
    }

    /// Ends a subject's servers and removes their data.
    func stop(_ subject: Subject) {
        subject.stop()
        subjects.removeAll { $0 === subject }
    }

    // MARK: Martlet

    /// Fresh nodes, serving. `settings` are lines of cluster.yaml's storage section.
    func martlet(
        _ name: String, nodes: Int, copies: Int, durability: String, settings: [String] = []
    ) throws(Failure) -> Subject {
        let place = try makeFolder()
        let hosts = takeHosts(nodes)
        var file = "nodes:\n"
        for (index, host) in hosts.enumerated() {
            file += "  - {name: n\(index + 1), address: \(host.ip)}\n"
        }
        file += "keyspaces:\n  default:\n    replication_factor: \(copies)\n"
        file += "storage:\n  data: data\n  durability: \(durability)\n"
        for setting in settings { file += "  \(setting)\n" }
        file += "log: {level: warn}\n"
        try writeFile("\(place)/cluster.yaml", file)
        let start = monotonicNow()
        var servers: [ServerProcess] = []
        for index in hosts.indices {
            let words = [martletd, "--config", "\(place)/cluster.yaml", "--name", "n\(index + 1)"]
            servers.append(try ServerProcess("n\(index + 1)", words, in: place))
        }
        try awaitServing(hosts, servers)
        return add(Subject(name, hosts, servers, startSeconds: (monotonicNow() - start).seconds))
    }

    // MARK: redis-server

    /// One server with an append-only file.
    func redisServer(_ name: String, fsync: String) throws(Failure) -> Subject {
        let start = monotonicNow()
        let (address, server) = try startRedis("redis", fsync: fsync, of: nil)
        try awaitServing([address], [server])
        return add(Subject(name, [address], [server], startSeconds: (monotonicNow() - start).seconds))
    }

    /// A master and replicas of it; each write waits for one of these.
    func redisReplicas(_ name: String, fsync: String, replicas: Int) throws(Failure) -> Subject {
        let start = monotonicNow()
        let (master, first) = try startRedis("master", fsync: fsync, of: nil)
        var servers = [first]
        var addresses = [master]
        try awaitServing([master], servers)
        for index in 1...replicas {
            let (address, server) = try startRedis("replica\(index)", fsync: fsync, of: master)
            servers.append(server)
            addresses.append(address)
        }
        try awaitServing(addresses, servers)
        try until("\(replicas) replicas follow \(master)", servers) { () throws(Failure) in
            let client = try ControlClient(master)
            _ = try client.call("SET", "martlet-bench", "1")
            let followers = try client.call("WAIT", "\(replicas)", "500").integer ?? 0
            _ = try client.call("DEL", "martlet-bench")
            return followers == Int64(replicas)
        }
        let subject = add(Subject(name, [master], servers, startSeconds: (monotonicNow() - start).seconds))
        subject.waitReplicas = 1
        return subject
    }

    private func startRedis(
        _ name: String, fsync: String, of master: Address?
    ) throws(Failure) -> (Address, ServerProcess) {
        let place = try makeFolder()
        let address = takeHosts(1)[0]
        var words = [
            try redis(), "--bind", "\(address.ip)", "--port", "\(address.port)", "--dir", place, "--save", "",
            "--appendonly", "yes", "--appendfsync", fsync, "--daemonize", "no",
        ]
        if let master {
            words += ["--replicaof", "\(master.ip)", "\(master.port)"]
        } else {
            words += ["--repl-diskless-sync-delay", "0"]
        }
        return (address, try ServerProcess(name, words, in: place))
    }

    private func redis() throws(Failure) -> String {
        guard let program = ServerProcess.find("redis-server") else {
            throw .refused("redis-server isn't installed: scripts/bootstrap --test")
        }
        return program
    }

    /// What redis-server says of itself.
    func redisVersion() throws(Failure) -> String {
        let server = try ServerProcess("version", [try redis(), "--version"], in: folder)
        _ = try server.awaitEnd()
        let words = (readFile("\(folder)/version.log") ?? "").split(separator: " ")
        return words.first { $0.hasPrefix("v=") }.map { String($0.dropFirst(2)) } ?? "?"
    }

    // MARK: Help

    private func add(_ subject: Subject) -> Subject {
        subjects.append(subject)
        return subject
    }

    func makeFolder() throws(Failure) -> String {
        let path = "\(folder)/\(nextFolder)"
        nextFolder += 1
        guard mkdir(path, 0o755) == 0 else { throw .refused("can't make \(path): \(errorText(errno))") }
        return path
    }

    /// Addresses are used again once the network is used up: what had them is long gone then.
    func takeHosts(_ count: Int) -> [Address] {
        if nextHost + count > 250 { nextHost = 1 }
        defer { nextHost += count }
        return (nextHost..<nextHost + count).map { host in
            Address(ip: IPAddress("\(network).\(host)") ?? IPAddress(v4: 127, 0, 0, 1), port: Self.port)
        }
    }

    /// Until each answers a read.
    func awaitServing(_ addresses: [Address], _ servers: [ServerProcess]) throws(Failure) {
        for address in addresses {
            try until("\(address) serves", servers) { () throws(Failure) in
                try ControlClient(address).call("GET", "martlet-bench").errorText == nil
            }
        }
    }

    /// Waits until it is so.
    func until(
        _ what: String, _ servers: [ServerProcess], within: Interval = serveWithin,
        every: Interval = .milliseconds(1), _ isSo: () throws(Failure) -> Bool
    ) throws(Failure) {
        guard try comesTrue(servers, by: monotonicNow() + within, every: every, isSo) else {
            throw .refused("waited in vain for \(within.seconds) s until \(what)")
        }
    }

    /// Looks again and again, and tells whether it was so in time; what can't be asked isn't so yet. Throws
    /// when one of the servers has ended.
    func comesTrue(
        _ servers: [ServerProcess], by deadline: Instant, every: Interval,
        _ isSo: () throws(Failure) -> Bool
    ) throws(Failure) -> Bool {
        while true {
            if (try? isSo()) == true { return true }
            for server in servers { try server.checkRuns() }
            if monotonicNow() > deadline { return false }
            try Interrupts.wait(every)
        }
    }
}
