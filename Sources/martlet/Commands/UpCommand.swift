import Glibc
import MartletBase
import MartletConfig

extension Command {
    static let up = Command(
        CommandSpecification(
            "up", "Starts the nodes of a cluster.yaml on this machine.",
            options: [
                OptionSpecification(
                    "--nodes", value: "N", "The first N nodes; above those of the file, more of them."),
                OptionSpecification("--network", value: "A.B.C", "Give node i the address A.B.C.i."),
                OptionSpecification(
                    "--data", value: "FOLDER", "Where nodes' folders are, in place of the file's."),
                OptionSpecification("--detach", "Return once every node serves, and leave them running."),
                OptionSpecification(
                    "--add", value: "K", "Add nodes to the running cluster; returns when they are owners."),
            ],
            examples: [
                ("martlet up", "the nodes of ./cluster.yaml; Ctrl-C stops them"),
                ("martlet up --detach", "in the background; `martlet down` stops them"),
                (
                    "martlet up --nodes 5 --network 127.77.3 --data /tmp/five",
                    "five nodes beside a running cluster"
                ),
                ("martlet up --add 1", "one node more, in the cluster that runs"),
            ],
            notes: """
                Writes <data>/cluster.yaml, which the nodes are started with. A node's folder, <data>/<name>,
                has its log (martletd.log) and its process id (martletd.pid). Nodes that run are left alone.
                Nodes that were added are in <data>/cluster.yaml, and started with the others from then on.
                """)
    ) { invocation throws(Failure) in
        if let count = try invocation.number("--add", 1...Limits.nodesMax) {
            for option in ["--nodes", "--network", "--detach"] where invocation.line.has(option) {
                throw .usage("--add and \(option) exclude each other: nodes are added to those that run")
            }
            return try Growth(invocation).run(Growth.Newcomers(count: count))
        }
        var command = try UpCommand(invocation)
        return try command.run()
    }
}

private struct UpCommand {
    private let invocation: Invocation
    /// The file that was read.
    private let source: String
    private var plan: UpPlan

    init(_ invocation: Invocation) throws(Failure) {
        let nodes = try invocation.number("--nodes", 1...Limits.nodesMax)
        self.invocation = invocation
        source = invocation.config ?? ConfigurationLoader.defaultPath
        let file = try Self.read(
            source, environment: invocation.environment, data: invocation.line.value("--data"))
        plan = try UpPlan(
            file.loaded, nodes: nodes, network: invocation.line.value("--network"),
            workingFolder: try Files.absolute("."))
    }

    private static func read(
        _ path: String, environment: [String: String], data: String?
    ) throws(Failure) -> ClusterFile {
        do throws(ConfigurationError) {
            return try ClusterFile(path, environment: environment, data: data)
        } catch {
            throw .configuration(error)
        }
    }

    mutating func run() throws(Failure) -> ExitCode {
        let launcher = try Launcher(environment: invocation.environment)
        try Files.makeFolder(plan.dataFolder)
        let path = try Files.absolute(plan.dataFolder) + "/cluster.yaml"
        keepAdded(path)
        let file = isSameFile(path, source) ? try unchanged(path) : try write(path)
        for note in plan.notes { Output.complain("martlet: \(note)\n") }
        var runner = try ClusterRunner(file, config: path, launcher: launcher)
        try runner.start()
        for node in runner.nodes {
            if case .found(let pid) = node.state {
                Output.complain("martlet: \(node.name) runs as process \(pid), and is left alone\n")
            }
        }
        let outcome = runner.awaitServing()
        if case .interrupted(let number) = outcome { return stop(&runner, number) }
        // When some serve and others don't, those that do may hold all data between them: they are worth more
        // than a tidy end.
        guard !runner.serving.isEmpty else {
            _ = runner.stop()
            throw .refused("the cluster didn't start; logs: \(plan.dataFolder)/<node>/martletd.log")
        }
        tellReady(runner, file)
        let isOurs = runner.nodes.contains { $0.startedProcess != nil }
        if invocation.line.has("--detach") || !isOurs {
            if case .serving = outcome { return .done }
            return .refused
        }
        guard case .interrupted(let number) = runner.watch() else {
            Output.complain("martlet: no node is left\n")
            return runner.areAllEndsClean ? .done : .refused
        }
        return stop(&runner, number)
    }

    // MARK: The file

    /// Nodes that were added while the cluster ran are in the file that is there, and in no other.
    private mutating func keepAdded(_ path: String) {
        guard isFile(path), let before = try? Self.read(path, environment: [:], data: nil) else { return }
        plan.keepAdded(before.configuration) {
            NodeFolder(name: $0.name, path: before.loaded.dataFolder(of: $0)).hasIdentity
        }
    }

    /// The nodes' file is the one that was read: it is used as it is.
    private func unchanged(_ path: String) throws(Failure) -> ClusterFile {
        let file = try Self.read(path, environment: [:], data: nil)
        var asWritten = file.configuration
        asWritten.storage.data = plan.configuration.storage.data
        guard asWritten == plan.configuration else {
            throw .usage(
                "\(source) is what the nodes are started with, and can't be changed by flags or variables: "
                    + "name the file that it was written from with --config, or another folder with --data")
        }
        return file
    }

    private func write(_ path: String) throws(Failure) -> ClusterFile {
        let text = plan.yaml
        let next: ClusterFile
        do throws(ConfigurationError) {
            next = ClusterFile(try ConfigurationLoader.load(text: Array(text.utf8), path: path))
        } catch {
            throw .configuration(error)
        }
        if isFile(path), let before = try? Self.read(path, environment: [:], data: nil) {
            try check(next, before)
        }
        try Files.replace(path, with: text)
        return next
    }

    /// What has been founded, and what runs, can't be changed by writing a file.
    private func check(_ next: ClusterFile, _ before: ClusterFile) throws(Failure) {
        func folder(_ node: NodeSettings) -> NodeFolder {
            NodeFolder(name: node.name, path: next.loaded.dataFolder(of: node))
        }
        let objection = plan.objection(before: before.configuration) { folder($0).hasIdentity }
        if let objection { throw .refused(objection) }
        for node in next.configuration.nodes where folder(node).process != nil {
            let here = next.endpoints.first { $0.node == node.name }
            guard let there = before.endpoints.first(where: { $0.node == node.name }), there != here else {
                continue
            }
            throw .refused(
                "\(there) runs, and would be elsewhere now: `martlet down --config \(source)` first")
        }
    }

    // MARK: What is told

    private func tellReady(_ runner: ClusterRunner, _ file: ClusterFile) {
        if invocation.isJSON {
            Output.write(readyJSON(runner, file))
            return
        }
        let width = runner.nodes.map(\.name.count).max() ?? 0
        let name = file.configuration.cluster.name
        var out = "ready: \(runner.serving.count) of \(runner.nodes.count) nodes of cluster \(name) serve\n"
        for node in runner.nodes {
            let gap = String(repeating: " ", count: width - node.name.count)
            let place =
                runner.serving.contains(node.name)
                ? "redis-cli -h \(node.endpoint.host) -p \(node.endpoint.port)"
                : node.wasRemoved ? "was removed" : node.process == nil ? "doesn't run" : "doesn't serve"
            out += "  \(node.name)\(gap)  \(place)\n"
        }
        let isDefault = source == ConfigurationLoader.defaultPath && plan.dataFolder == "data"
        let config = isDefault ? "" : " --config \(plan.dataFolder)/cluster.yaml"
        let isForeground =
            !invocation.line.has("--detach") && runner.nodes.contains { $0.startedProcess != nil }
        // As it was called: after a build it is seldom on PATH.
        let martlet = printable(CommandLine.arguments.first ?? "martlet")
        out += "logs: \(plan.dataFolder)/<node>/martletd.log; status: \(martlet) status\(config)\n"
        out += "stop: \(isForeground ? "Ctrl-C" : "\(martlet) down\(config)")\n"
        Output.write(out)
    }

    private func readyJSON(_ runner: ClusterRunner, _ file: ClusterFile) -> JSONValue {
        let nodes = runner.nodes.map { node -> JSONValue in
            let state =
                switch node.state {
                case _ where node.wasRemoved: "removed"
                case _ where !runner.serving.contains(node.name): "failed"
                case .found: "left_alone"
                case .started: "started"
                case .idle, .ended: "failed"
                }
            return .object([
                ("name", .string(node.name)), ("address", .string(node.endpoint.host)),
                ("redis_port", .integer(Int(node.endpoint.port))),
                ("pid", node.process.map { .integer(Int($0)) } ?? .null),
                ("folder", .string(node.folder.path)),
                ("state", .string(state)),
            ])
        }
        return .object([
            ("format", .integer(1)), ("cluster", .string(file.configuration.cluster.name)),
            ("config", .string(file.loaded.path)), ("notes", .strings(plan.notes)), ("nodes", .array(nodes)),
        ])
    }

    private func stop(_ runner: inout ClusterRunner, _ signal: Int32) -> ExitCode {
        let count = runner.nodes.filter { $0.startedProcess != nil }.count
        if Terminal.errors.isTerminal { Output.complain("\n") }
        Output.complain("martlet: stopping \(Quantities.counted(count, "node", "nodes"))\n")
        for name in runner.stop() {
            Output.complain("martlet: \(name) did not stop by itself and was killed\n")
        }
        Output.complain("martlet: stopped\n")
        return signal == SIGINT ? .interrupted : .done
    }
}
