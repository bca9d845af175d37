import MartletBase

/// What a program is started with beside the file: variables and flags. `--config`, `--name`, `--address` and
/// `--data` have variables of their own; any scalar of the file is overridden by its variable or by `--set
/// section.key=value`.
package struct ConfigurationInputs: Sendable {
    /// All of the process's environment: of it only names that begin with `MARTLET_` count.
    package var environment: [String: String] = [:]
    package var config: String?
    package var name: String?
    package var address: String?
    package var data: String?
    /// The texts of `--set`, in order.
    package var assignments: [String] = []
    /// What else is said of a node that the file doesn't list: `--zone`, `--datacenter` and `--ports`.
    package var zone: String?
    package var datacenter: String?
    package var ports: String?

    package init() {}
}

/// A configuration that was read, with where its values came from.
package struct LoadedConfiguration: Sendable {
    package let configuration: ClusterConfiguration
    /// The file, as it was named.
    package let path: String
    /// What is allowed and may yet be a slip.
    package let warnings: [String]
    /// Which node of the cluster this process was told to be, if it was.
    package let name: String?
    package let address: IPAddress?
    /// What else was said of it, as flags.
    let description: [(flag: String, text: String)]
    let sources: [String: ConfigurationSource]

    /// Where the value of `requests.timeout`, say, came from.
    package func source(of name: String) -> ConfigurationSource { sources[name] ?? .default }

    /// A node's folder. What the file says is relative to the file's folder, what a flag or a variable says
    /// to the working directory.
    package func dataFolder(of node: NodeSettings) -> String {
        switch source(of: "storage.data") {
        case .flag, .environment:
            joinPath(configuration.storage.data, node.name)
        case .file, .default:
            joinPath(
                joinPath(folder(ofPath: path), node.data ?? configuration.storage.data), node.name)
        }
    }

    /// Which node this process is: by name, else by address; the only one of the file when neither was given.
    package func ownNode() throws(ConfigurationError) -> NodeSettings {
        let node = try namedNode()
        guard configuration.nodes.contains(where: { $0.name == node.name }), let given = description.first
        else { return node }
        throw refusal(
            given.flag, found: "\(given.text) for \(node.name), which the file lists",
            allowed: "what the file says of its nodes", hint: "leave \(given.flag) out, or change the file")
    }

    private func namedNode() throws(ConfigurationError) -> NodeSettings {
        let nodes = configuration.nodes
        let known = nodes.map { "\($0.name) (\($0.address))" }.joined(separator: ", ")
        if let name {
            if let node = nodes.first(where: { $0.name == name }) {
                guard let address, address != node.address else { return node }
                throw refusal(
                    "--address", found: "\(address) for \(name)",
                    allowed: "\(node.address), as the file has it",
                    hint: "leave --address out, or change the file on every node")
            }
            if let address { return try joiner(name, address) }
            throw refusal(
                "--name", found: quotedForMessage(name), allowed: "one of nodes: \(known)",
                hint: nearestHint(name, in: nodes.map(\.name))
                    ?? "a node that joins later says its --address too")
        }
        if let address {
            let mine = nodes.filter { $0.address == address }
            if let node = mine.first, mine.count == 1 { return node }
            throw refusal(
                "--address", found: "\(address)", allowed: "the address of one of nodes: \(known)",
                hint: mine.isEmpty
                    ? "a node that joins later says its --name too" : "several have it: say --name")
        }
        if let node = nodes.first, nodes.count == 1 { return node }
        throw refusal(
            "--name", found: "nothing", allowed: "which node this is: \(known)",
            hint: "--name \(nodes[0].name), MARTLET_NAME or --address")
    }

    /// A node that the file doesn't list: it joins the ring of those that the file does, or of its seeds.
    private func joiner(_ name: String, _ address: IPAddress) throws(ConfigurationError) -> NodeSettings {
        var node = NodeSettings(name: name, address: address)
        for (flag, text) in description {
            if flag == "--ports" {
                try readPorts(text, into: &node.ports)
                continue
            }
            let setting = Setting<NodeSettings>.ofNodes.first { "--\($0.key)" == flag }
            guard let wrong = setting?.kind.read(.scalar(text, isPlain: true, line: 0), &node) else {
                continue
            }
            throw refusal(flag, found: wrong.found, allowed: wrong.allowed, hint: wrong.hint)
        }
        let ports = configuration.ports(of: node)
        guard ports.peers != 0 else {
            throw refusal(
                "--ports", found: "no port for peers", allowed: "one: the node joins others", hint: nil)
        }
        let taken = configuration.nodes.first { other in
            let others = configuration.ports(of: other).named.map(\.port)
            return other.address == address
                && ports.named.contains { $0.port != 0 && others.contains($0.port) }
        }
        if let taken {
            throw refusal(
                "--address", found: "\(address), with ports that \(taken.name) has there",
                allowed: "an address of its own, or ports of its own", hint: nil)
        }
        return node
    }

    /// `peers=7601,redis=7378`.
    private func readPorts(_ text: String, into ports: inout PortOverrides) throws(ConfigurationError) {
        let settings = Setting<PortOverrides>.ofNodePorts
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let words = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard words.count == 2, let setting = settings.first(where: { $0.key == words[0] }) else {
                throw refusal(
                    "--ports", found: quotedForMessage(String(part)),
                    allowed: "NAME=PORT, comma-separated, of \(settings.map(\.key).joined(separator: ", "))",
                    hint: "such as peers=7601,redis=7378")
            }
            let value = YAMLNode.scalar(String(words[1]), isPlain: true, line: 0)
            if let wrong = setting.kind.read(value, &ports) {
                throw refusal(
                    "--ports \(setting.key)", found: wrong.found, allowed: wrong.allowed, hint: wrong.hint)
            }
        }
    }

    private func refusal(
        _ flag: String, found: String, allowed: String, hint: String?
    ) -> ConfigurationError {
        ConfigurationError(
            path: path, [ConfigurationIssue(.flag(flag), "", found: found, allowed: allowed, hint: hint)])
    }
}

/// The path's folder: `.` when it has none.
package func folder(ofPath path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// `name` within `folder`, unless it is a path from the root itself.
package func joinPath(_ folder: String, _ name: String) -> String {
    if name.hasPrefix("/") || folder == "." { return name }
    if name == "." { return folder }
    return folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
}
