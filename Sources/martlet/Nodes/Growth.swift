import Glibc
import MartletBase
import MartletConfig
import MartletRing

/// Nodes that are added on this machine to a cluster that runs: `up --add`, `join` and `replace`.
///
/// They are written into `<data>/cluster.yaml` behind the others, so that `martlet up` and `martlet down`
/// know them from then on. The ring was founded without them: they ask to be let in, whatever the file lists.
struct Growth {
    private let invocation: Invocation
    private let session: Session
    private let file: ClusterFile
    /// `<data>/cluster.yaml`, from the root.
    private let path: String
    let picture: RingPicture

    /// What is said of the nodes to add.
    struct Newcomers {
        var count = 1
        /// Of the only one.
        var name: String?
        var address: String?
        var zone: String?
        var datacenter: String?
        /// Whose tokens the only one takes over.
        var replaces: NodeID?
    }

    static let placeOptions = [
        OptionSpecification(
            "--address", value: "ADDRESS", "Where the node is; the next one if none is said."),
        OptionSpecification("--zone", value: "ZONE", "What fails together with it."),
        OptionSpecification("--datacenter", value: "NAME", "Its data centre."),
        RingAction.planOption,
    ]

    init(_ invocation: Invocation) throws(Failure) {
        self.invocation = invocation
        guard let file = try ClusterFile.running(invocation, data: invocation.line.value("--data")),
            isSameFile(file.loaded.path, joinPath(file.dataFolder, "cluster.yaml"))
        else {
            throw .refused(
                "no cluster was started here by `martlet up`: name its file with --config, or start the node "
                    + "by itself, with `martletd --name NAME --address ADDRESS --config FILE`")
        }
        self.file = file
        path = try Files.absolute(file.loaded.path)
        session = try Session(asking: file.endpoints)
        picture = try RingPicture.ask(session)
        let cluster = picture.status["cluster"]?.text ?? "-"
        guard cluster == file.configuration.cluster.name else {
            throw .refused(
                "the nodes at these addresses are of cluster \(quoted(cluster)), and \(file.loaded.path) is "
                    + "of \(quoted(file.configuration.cluster.name)): name the right file with --config")
        }
    }

    /// A plan for so many that join.
    func showPlan(_ newcomers: Newcomers) throws(Failure) -> ExitCode {
        let nodes = try settings(newcomers)
        let joiner = picture.joiner(
            nodes[0].name, zone: nodes[0].zone, dataCenter: nodes[0].datacenter,
            tokens: file.configuration.ring.tokensPerNode)
        if let replaced = newcomers.replaces {
            let name = picture.names[replaced] ?? "-"
            PlanReport("\(nodes[0].name) replaces \(name)", picture, .replace(replaced, by: joiner))
                .show(invocation)
        } else {
            PlanReport("\(nodes[0].name) joins", picture, .join(joiner)).show(invocation)
        }
        return .done
    }

    /// Starts them and waits until they are owners.
    func run(_ newcomers: Newcomers) throws(Failure) -> ExitCode {
        let nodes = try settings(newcomers)
        let names = Set(nodes.map(\.name))
        let grown = try write(nodes)
        let flags = newcomers.replaces.map { ["--replace", $0.description] } ?? []
        var runner = try ClusterRunner(
            grown, config: path, launcher: try Launcher(environment: invocation.environment), only: names,
            flags: flags)
        try runner.start()
        switch runner.awaitServing() {
        case .serving: break
        case .interrupted: return interrupted(names)
        case .failed:
            throw .refused(
                "\(names.sorted().joined(separator: ", ")) didn't start; logs: "
                    + "\(grown.dataFolder)/<node>/martletd.log")
        }
        let folders = runner.nodes.map(\.folder)
        var watch = ChangeWatch(
            "\(names.sorted().joined(separator: ", ")) \(names.count == 1 ? "joins" : "join")",
            asking: grown.endpoints)
        let end = watch.wait { status in
            for folder in folders where folder.process == nil {
                return .failed("\(folder.name) ended:\n\(folder.logTail(from: 0))")
            }
            let states = RingAction.states(status)
            return names.allSatisfy { states[$0] == "normal" } ? .over : .underWay
        }
        switch end {
        case .over: return try RingAction.showStatus(invocation)
        case .interrupted: return interrupted(names)
        case .failed(let reason): throw .refused(reason)
        }
    }

    private func interrupted(_ names: Set<String>) -> ExitCode {
        let first = names.sorted()[0]
        Output.complain(
            "\nmartlet: the nodes run and go on joining: `martlet status` shows how far they are, `martlet "
                + "decommission \(first) --abort` calls \(first) off\n")
        return .interrupted
    }

    // MARK: The file

    private func settings(_ newcomers: Newcomers) throws(Failure) -> [NodeSettings] {
        let present = picture.status["nodes"]?.elements ?? []
        let states = RingAction.states(picture.status)
        if let name = newcomers.name, let listed = file.configuration.nodes.first(where: { $0.name == name })
        {
            // Written before, and not in the ring: it is started again.
            guard states[name] == nil || states[name] == "joining" else { throw nameTaken(name) }
            return [listed]
        }
        if let name = newcomers.name, states[name] != nil { throw nameTaken(name) }
        do throws(ConfigurationIssue) {
            return try file.configuration.additions(
                newcomers.count, name: newcomers.name, address: newcomers.address, zone: newcomers.zone,
                datacenter: newcomers.datacenter,
                besides: present.compactMap { $0["name"]?.text },
                at: present.compactMap { $0["address"]?.text.flatMap { IPAddress($0) } })
        } catch {
            throw .usage(error.text(path: file.loaded.path))
        }
    }

    private func nameTaken(_ name: String) -> Failure {
        .refused(
            "\(name) is in the ring already: give the new node another name (`martlet status` lists all)")
    }

    private func write(_ nodes: [NodeSettings]) throws(Failure) -> ClusterFile {
        var configuration = file.configuration
        let known = Set(configuration.nodes.map(\.name))
        configuration.nodes += nodes.filter { !known.contains($0.name) }
        let text = configuration.yaml(heading: [
            "Written by `martlet up`, with the nodes that were added to the running cluster."
        ])
        let grown: ClusterFile
        do throws(ConfigurationError) {
            grown = ClusterFile(try ConfigurationLoader.load(text: Array(text.utf8), path: file.loaded.path))
        } catch {
            throw .configuration(error)
        }
        if configuration != file.configuration { try Files.replace(path, with: text) }
        return grown
    }
}
