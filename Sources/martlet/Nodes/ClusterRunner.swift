import Glibc
import MartletBase
import MartletConfig

/// The nodes that `martlet up` starts, waits for, watches and stops.
struct ClusterRunner {
    private(set) var nodes: [NodeProcess]
    /// Those that served when they were last asked.
    private(set) var serving: Set<String> = []
    private let config: String
    private let launcher: Launcher
    /// Of martletd, beside those that name the node.
    private let flags: [String]
    private var signals = SignalWait()

    /// Drained within 5 s, says martletd.
    static let stopWithin = Interval.seconds(6)
    /// Until all nodes serve.
    static let serveWithin = Interval.seconds(60)
    /// Once a node has failed or the ring is there, until the others serve and have seen each other.
    static let settleWithin = Interval.seconds(5)
    private static let lookEvery = Interval.milliseconds(50)

    enum Outcome {
        case serving
        case interrupted(Int32)
        /// Some nodes don't serve, as was said.
        case failed
    }

    /// - Parameter names: the nodes of the file that are meant; all when it is nil.
    init(
        _ file: ClusterFile, config: String, launcher: Launcher, only names: Set<String>? = nil,
        flags: [String] = []
    ) throws(Failure) {
        self.config = config
        self.launcher = launcher
        self.flags = flags
        nodes = []
        let endpoints = file.endpoints
        for settings in file.configuration.nodes where names?.contains(settings.name) ?? true {
            guard let endpoint = endpoints.first(where: { $0.node == settings.name }) else {
                throw .refused(
                    "\(settings.name) has no Redis port: `martlet up` needs it to see the node serve")
            }
            let path = file.loaded.dataFolder(of: settings)
            try Files.makeFolder(path)
            let folder = NodeFolder(name: settings.name, path: try Files.absolute(path))
            nodes.append(NodeProcess(endpoint: endpoint, folder: folder))
        }
    }

    /// Starts those that don't run yet.
    mutating func start() throws(Failure) {
        for index in nodes.indices {
            if let pid = nodes[index].folder.process {
                nodes[index].state = .found(pid)
                continue
            }
            nodes[index].logStart = nodes[index].folder.logBytes
            let pid = try launcher.start(nodes[index].folder, config: config, and: flags)
            nodes[index].state = .started(pid)
            try nodes[index].folder.writePid(pid)
        }
    }

    // MARK: Waiting

    /// Until every node serves, holds every other for up and has the same ring, or it is clear that some
    /// won't. One that ends cleanly has left the ring before, and is none to wait for; neither is one that
    /// ends because the ring has removed it.
    mutating func awaitServing() -> Outcome {
        var progress = ProgressBar("starting", unit: "of \(nodes.count) nodes serve")
        defer { progress.clear() }
        var deadline = Clock.now + Self.serveWithin
        var hasFormed = false
        while true {
            for index in nodes.indices where nodes[index].reap() {
                progress.clear()
                tellEnd(nodes[index], "ended while it started")
                if nodes[index].hasLeft { continue }
                deadline = min(deadline, Clock.now + Self.settleWithin)
            }
            let views = nodes.map { $0.process == nil ? nil : $0.probe() }
            let present = views.compactMap(\.self)
            if present.isEmpty { return .failed }
            noteRemoved(present.reduce(into: []) { $0.formUnion($1.removed) })
            let running = Set(nodes.filter { $0.process != nil }.map(\.name))
            serving = Set(zip(nodes, views).filter { $0.1?.isServing ?? false }.map(\.0.name))
            let isWhole = serving.count == nodes.count { !$0.isNotMissed }
            if present.allSatisfy({ $0.hasSettled(with: running) }) { return isWhole ? .serving : .failed }
            if isWhole, !hasFormed {
                hasFormed = true
                deadline = min(deadline, Clock.now + Self.settleWithin)
            }
            if Clock.now >= deadline {
                // Those that serve but haven't seen each other yet do so by themselves.
                if isWhole { return .serving }
                progress.clear()
                tellMissing(views)
                return .failed
            }
            progress.show(progressPoint(views))
            if let number = signals.nextStop(within: Self.lookEvery) { return .interrupted(number) }
        }
    }

    private mutating func noteRemoved(_ names: Set<String>) {
        for index in nodes.indices where nodes[index].hasEnded && !nodes[index].isNotMissed {
            guard names.contains(nodes[index].name) else { continue }
            nodes[index].wasRemoved = true
            Output.complain(
                "martlet: the cluster has removed \(nodes[index].name), and goes on without it: with an "
                    + "empty folder it joins as a new node (\(nodes[index].folder.path))\n")
        }
    }

    private func progressPoint(_ views: [NodeView?]) -> ProgressBar.Point {
        let late = zip(nodes, views).first { !($0.1?.isServing ?? false) && $0.0.process != nil }
        return ProgressBar.Point(
            done: Double(serving.count), of: Double(nodes.count),
            note: late.map { "\($0.0.name): \($0.1?.text ?? "")" } ?? "")
    }

    private func tellMissing(_ views: [NodeView?]) {
        for (node, view) in zip(nodes, views) {
            guard let view, !view.isServing else { continue }
            Output.complain("martlet: \(node.name) doesn't serve: \(printable(view.text))\n")
            Output.complain(node.folder.logTail(from: node.logStart))
        }
    }

    private func tellEnd(_ node: NodeProcess, _ what: String) {
        guard case .ended(let end) = node.state else { return }
        let why = node.hasLeft && what != "ended" ? " (it has left the ring, or was told to stop)" : ""
        Output.complain("martlet: \(node.name) \(what): \(end.text)\(why)\n")
        if !end.isClean { Output.complain(node.folder.logTail(from: node.logStart)) }
    }

    // MARK: Watching and stopping

    /// Until a signal asks to stop, or no node is left that this process started. A node that ends is told,
    /// and the others go on.
    mutating func watch() -> Outcome {
        while true {
            for index in nodes.indices where nodes[index].reap() {
                tellEnd(nodes[index], "ended")
            }
            if !nodes.contains(where: { $0.startedProcess != nil }) { return .failed }
            if let number = signals.nextStop(within: .seconds(1)) { return .interrupted(number) }
        }
    }

    /// Whether every node that ended did so as it was told to.
    var areAllEndsClean: Bool {
        nodes.allSatisfy { node in
            node.isNotMissed || !node.hasEnded
        }
    }

    /// Stops the nodes that this process started; the names of those that had to be killed. A second signal
    /// kills at once.
    mutating func stop() -> [String] {
        for node in nodes {
            if let pid = node.startedProcess { kill(pid, SIGTERM) }
        }
        let deadline = Clock.now + Self.stopWithin
        var killed: [String] = []
        while true {
            for index in nodes.indices { _ = nodes[index].reap() }
            let left = nodes.filter { $0.startedProcess != nil }
            if left.isEmpty { return killed }
            let isSecondSignal = signals.nextStop(within: Self.lookEvery) != nil
            guard isSecondSignal || Clock.now >= deadline else { continue }
            for node in left where !killed.contains(node.name) {
                if let pid = node.startedProcess { kill(pid, SIGKILL) }
                killed.append(node.name)
            }
        }
    }
}
