import MartletBase

/// Makes a `ClusterConfiguration` of a tree, collecting every complaint on the way instead of stopping at the
/// first.
struct ConfigurationReader {
    var configuration = ClusterConfiguration()
    var issues: [ConfigurationIssue] = []
    /// By the setting's name; what isn't in it has its default.
    var sources: [String: ConfigurationSource] = [:]
    /// Lines of what the relations between values complain about.
    var lineOfNode: [Int] = []
    var lineOfKeyspace: [Int] = []
    var lineOfNodes = 1
    /// Words that only sections of their own have.
    private static let lists = ["nodes", "seeds", "keyspaces"]

    mutating func complain(
        _ source: ConfigurationSource, _ name: String, found: String, allowed: String, hint: String? = nil
    ) {
        if issues.count < Limits.configurationIssuesMax {
            issues.append(ConfigurationIssue(source, name, found: found, allowed: allowed, hint: hint))
        }
    }

    private mutating func complain(_ node: YAMLNode, _ name: String, allowed: String, hint: String? = nil) {
        complain(.file(line: node.line), name, found: node.found, allowed: allowed, hint: hint)
    }

    private mutating func unknownKey(_ entry: YAMLEntry, _ name: String, in words: [String]) {
        let hint = nearestHint(entry.key, in: words)
        complain(
            .file(line: entry.line), name, found: "the unknown key \(quotedForMessage(entry.key))",
            allowed: words.joined(separator: ", "), hint: hint)
    }

    /// The entries of a map; those of nothing when nothing was written, as under a section whose keys are all
    /// commented out.
    private mutating func entries(_ node: YAMLNode, _ name: String) -> [YAMLEntry] {
        if case .mapping(let entries, _) = node { return entries }
        if !node.isNull { complain(node, name, allowed: "a map of keys and values") }
        return []
    }

    // MARK: Sections

    mutating func read(_ root: YAMLNode) {
        guard case .mapping(let sections, _) = root else {
            complain(root, "", allowed: "a map of sections, one of them nodes")
            return
        }
        let words = Setting<ClusterConfiguration>.sections
        for section in sections {
            switch section.key {
            case "nodes": readNodes(section)
            case "seeds": break
            case "keyspaces": readKeyspaces(section)
            case _ where words.contains(section.key): readSection(section)
            default: unknownKey(section, "", in: words + Self.lists)
            }
        }
        // Their default port is that of the section `ports`, wherever that stands.
        for section in sections where section.key == "seeds" { readSeeds(section.value) }
        if !sections.contains(where: { $0.key == "nodes" }) {
            complain(.file(line: 1), "nodes", found: "nothing", allowed: Self.nodesAllowed)
        }
    }

    private mutating func readSection(_ section: YAMLEntry) {
        let settings = Setting<ClusterConfiguration>.all.filter { $0.section == section.key }
        for entry in entries(section.value, section.key) {
            guard let setting = settings.first(where: { $0.key == entry.key }) else {
                unknownKey(entry, section.key, in: settings.map(\.key))
                continue
            }
            set(setting, entry.value, from: .file(line: entry.value.line))
        }
    }

    /// Sets one scalar, from wherever its value came.
    mutating func set(
        _ setting: Setting<ClusterConfiguration>, _ value: YAMLNode, from source: ConfigurationSource
    ) {
        if let refusal = setting.kind.read(value, &configuration) {
            complain(
                source, setting.name, found: refusal.found, allowed: refusal.allowed, hint: refusal.hint)
        } else {
            sources[setting.name] = source
        }
    }

    /// Reads the entries into `root` by its settings; entries that none of them knows come back.
    private mutating func read<Root>(
        _ entries: [YAMLEntry], into root: inout Root, _ settings: [Setting<Root>], name: String,
        except others: [String] = []
    ) {
        for entry in entries where !others.contains(entry.key) {
            guard let setting = settings.first(where: { $0.key == entry.key }) else {
                unknownKey(entry, name, in: settings.map(\.key) + others)
                continue
            }
            if let refusal = setting.kind.read(entry.value, &root) {
                complain(
                    .file(line: entry.value.line), "\(name).\(entry.key)", found: refusal.found,
                    allowed: refusal.allowed, hint: refusal.hint)
            }
        }
    }

    // MARK: Nodes, seeds, keyspaces

    private static let nodesAllowed =
        "a list of 1 to \(Limits.nodesMax) founding members, such as - {name: n1, address: 127.0.0.1}"

    private mutating func readNodes(_ section: YAMLEntry) {
        lineOfNodes = section.line
        guard case .sequence(let items, _) = section.value, (1...Limits.nodesMax).contains(items.count) else {
            complain(section.value, "nodes", allowed: Self.nodesAllowed)
            return
        }
        for (index, item) in items.enumerated() {
            let name = "nodes[\(index)]"
            guard case .mapping(let entries, _) = item else {
                complain(item, name, allowed: "{name: ..., address: ...}")
                continue
            }
            // Stands for a value that is missing or wrong, and is complained about.
            let nowhere = IPAddress(high: 0, low: 0)
            var node = NodeSettings(name: "", address: nowhere)
            let before = issues.count
            read(entries, into: &node, Setting.ofNodes, name: name, except: ["ports"])
            for entry in entries where entry.key == "ports" {
                let ports = self.entries(entry.value, "\(name).ports")
                read(ports, into: &node.ports, Setting.ofNodePorts, name: "\(name).ports")
            }
            for required in ["name", "address"] where !entries.contains(where: { $0.key == required }) {
                complain(
                    .file(line: item.line), "\(name).\(required)", found: "nothing",
                    allowed: required == "name" ? NameRule.node.allowed : "an IP address")
            }
            if issues.count == before {
                configuration.nodes.append(node)
                lineOfNode.append(item.line)
            }
        }
    }

    private mutating func readSeeds(_ value: YAMLNode) {
        guard case .sequence(let items, _) = value else {
            if !value.isNull { complain(value, "seeds", allowed: "a list of addresses") }
            return
        }
        for (index, item) in items.enumerated() {
            guard case .scalar(let text, _, _) = item,
                let address = Address(text, defaultPort: configuration.ports.peers)
            else {
                complain(
                    item, "seeds[\(index)]",
                    allowed: "an IP address, or address:port, [address]:port for IPv6")
                continue
            }
            configuration.seeds.append(address)
        }
    }

    private mutating func readKeyspaces(_ section: YAMLEntry) {
        guard case .mapping(let entries, _) = section.value, (1...Limits.keyspacesMax).contains(entries.count)
        else {
            complain(
                section.value, "keyspaces",
                allowed: "a map of 1 to \(Limits.keyspacesMax) names and their keys")
            return
        }
        configuration.keyspaces = []
        for entry in entries {
            let name = "keyspaces.\(entry.key)"
            guard NameRule.keyspace.accepts(entry.key) else {
                complain(
                    .file(line: entry.line), "keyspaces", found: quotedForMessage(entry.key),
                    allowed: "a name of \(NameRule.keyspace.allowed)")
                continue
            }
            var keyspace = KeyspaceSettings(name: entry.key)
            read(self.entries(entry.value, name), into: &keyspace, Setting.ofKeyspaces, name: name)
            configuration.keyspaces.append(keyspace)
            lineOfKeyspace.append(entry.line)
        }
    }
}
