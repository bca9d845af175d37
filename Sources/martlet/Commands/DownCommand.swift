import Glibc
import MartletBase
import MartletConfig

extension Command {
    static let down = Command(
        CommandSpecification(
            "down", "Stops the nodes that `martlet up` started.",
            options: [
                OptionSpecification("--node", value: "NAME", "Stop only this one."),
                OptionSpecification(
                    "--data", value: "FOLDER", "Where nodes' folders are, in place of the file's."),
            ],
            examples: [
                ("martlet down", "all nodes of the cluster here"),
                ("martlet down --node n2", "one of them; the others go on"),
            ],
            notes: "A node has 6 s to finish what it does; then it is killed, and said so.")
    ) { invocation throws(Failure) in
        guard let file = try ClusterFile.running(invocation, data: invocation.line.value("--data")) else {
            throw Failure(
                .configuration, "CONFIGURATION",
                "there is neither data/cluster.yaml nor cluster.yaml here: name the file with --config")
        }
        let stops = try NodeStop.all(try folders(file, invocation))
        if invocation.isJSON {
            Output.write(
                .object([("format", .integer(1)), ("nodes", .array(stops.map(\.json)))]))
        } else if !stops.contains(where: { $0.end != .notRunning }) {
            Output.write("nothing runs\n")
        } else {
            for stop in stops { Output.write(stop.text) }
        }
        return .done
    }
}

/// The nodes of the file, and what else was started in its data folder: the file may have had more nodes
/// then.
private func folders(_ file: ClusterFile, _ invocation: Invocation) throws(Failure) -> [NodeFolder] {
    var folders = file.configuration.nodes.map {
        NodeFolder(name: $0.name, path: file.loaded.dataFolder(of: $0))
    }
    for name in Files.names(file.dataFolder) where !folders.contains(where: { $0.name == name }) {
        let folder = NodeFolder(name: name, path: joinPath(file.dataFolder, name))
        if folder.startedProcess != nil { folders.append(folder) }
    }
    guard let wanted = invocation.line.value("--node") else { return folders }
    let found = folders.filter { $0.name == wanted }
    guard !found.isEmpty else {
        let names = folders.map(\.name)
        let hint = nearest(wanted, in: names).map { "did you mean \($0)?" } ?? names.joined(separator: ", ")
        throw .usage("--node: no node is named \(quoted(wanted)): \(hint)")
    }
    return found
}

/// One node that is stopped.
private struct NodeStop {
    enum End: String {
        case notRunning = "not_running"
        case stopped
        case killed
        /// Something else than `martlet up` started it, and may start it again.
        case notOurs = "left_alone"
    }

    let folder: NodeFolder
    private(set) var pid: pid_t?
    private(set) var end = End.notRunning

    /// All at once: they drain side by side.
    static func all(_ folders: [NodeFolder]) throws(Failure) -> [NodeStop] {
        var stops = folders.map { NodeStop(folder: $0) }
        for index in stops.indices { try stops[index].begin() }
        let deadline = Clock.now + ClusterRunner.stopWithin
        while stops.contains(where: \.isUnderWay) {
            if Clock.now >= deadline {
                for index in stops.indices { stops[index].killNow() }
            }
            usleep(20_000)
        }
        for stop in stops where stop.end != .notOurs { stop.folder.removePid() }
        return stops
    }

    private mutating func begin() throws(Failure) {
        if let pid = folder.startedProcess {
            self.pid = pid
            guard kill(pid, SIGTERM) == 0 || errno == ESRCH else {
                throw .refused("can't stop \(folder.name), process \(pid): \(errorText(errno))")
            }
            end = .stopped
        } else if let pid = folder.process {
            self.pid = pid
            end = .notOurs
        }
    }

    private var isUnderWay: Bool {
        guard let pid, end != .notOurs else { return false }
        return ProcessTable.isRunning(pid)
    }

    private mutating func killNow() {
        guard let pid, isUnderWay, end == .stopped else { return }
        kill(pid, SIGKILL)
        end = .killed
    }

    var text: String {
        let process = pid.map { "process \($0)" } ?? ""
        return switch end {
        case .notRunning: "\(folder.name) didn't run\n"
        case .stopped: "\(folder.name) stopped (\(process))\n"
        case .killed: "\(folder.name) did not stop by itself and was killed (\(process))\n"
        case .notOurs: "\(folder.name) was not started by martlet up: left alone (\(process))\n"
        }
    }

    var json: JSONValue {
        .object([
            ("name", .string(folder.name)), ("pid", pid.map { .integer(Int($0)) } ?? .null),
            ("result", .string(end.rawValue)),
        ])
    }
}
