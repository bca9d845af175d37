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
    package func ownNode() throws(ConfigurationError) -> OwnNode {
        let nodes = configuration.nodes
        let known = nodes.map { "\($0.name) (\($0.address))" }.joined(separator: ", ")
        if let name {
            if let node = nodes.first(where: { $0.name == name }) {
                guard let address, address != node.address else {
                    return OwnNode(settings: node, isFounding: true)
                }
                throw refusal(
                    "--address", found: "\(address) for \(name)",
                    allowed: "\(node.address), as the file has it",
                    hint: "leave --address out, or change the file on every node")
            }
            if let address {
                return OwnNode(settings: NodeSettings(name: name, address: address), isFounding: false)
            }
            throw refusal(
                "--name", found: quotedForMessage(name), allowed: "one of nodes: \(known)",
                hint: nearestHint(name, in: nodes.map(\.name))
                    ?? "a node that joins later says its --address too")
        }
        if let address {
            let mine = nodes.filter { $0.address == address }
            if let node = mine.first, mine.count == 1 { return OwnNode(settings: node, isFounding: true) }
            throw refusal(
                "--address", found: "\(address)", allowed: "the address of one of nodes: \(known)",
                hint: mine.isEmpty
                    ? "a node that joins later says its --name too" : "several have it: say --name")
        }
        if let node = nodes.first, nodes.count == 1 { return OwnNode(settings: node, isFounding: true) }
        throw refusal(
            "--name", found: "nothing", allowed: "which node this is: \(known)",
            hint: "--name \(nodes[0].name), MARTLET_NAME or --address")
    }

    private func refusal(
        _ flag: String, found: String, allowed: String, hint: String
    ) -> ConfigurationError {
        ConfigurationError(
            path: path, [ConfigurationIssue(.flag(flag), "", found: found, allowed: allowed, hint: hint)])
    }
}

/// The node that a process is.
package struct OwnNode: Hashable, Sendable {
    package let settings: NodeSettings
    /// Listed in the file: it takes part in forming the first ring. Others join a ring that there is.
    package let isFounding: Bool
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
