import MartletBase

/// What must hold between values, each by itself within its range.
extension ConfigurationReader {
    mutating func checkRelations() {
        let before = issues.count
        checkNames()
        checkSockets()
        checkTokens()
        checkAmounts()
        invariant(
            issues.count > before || !configuration.nodes.isEmpty || before > 0,
            "a configuration without nodes was taken")
    }

    /// A complaint that two values don't go together, at the one that came from further than the defaults.
    private mutating func complain(
        _ name: String, _ found: String, allowed: String, also other: String, hint: String? = nil
    ) {
        let source = sources[name] ?? sources[other] ?? .default
        complain(source, name, found: found, allowed: allowed, hint: hint)
    }

    private mutating func checkNames() {
        var lineOfName: [String: Int] = [:]
        for (node, line) in zip(configuration.nodes, lineOfNode) {
            if let first = lineOfName.updateValue(line, forKey: node.name) {
                complain(
                    .file(line: line), "nodes", found: "the name \(node.name) again",
                    allowed: "each name once",
                    hint: "line \(first) has it already")
            }
        }
    }

    /// No two sockets of the file are the same, of one node or of two.
    private mutating func checkSockets() {
        var owners: [Address: (node: String, port: String, line: Int)] = [:]
        for (node, line) in zip(configuration.nodes, lineOfNode) {
            let ports = configuration.ports(of: node)
            for (name, port) in ports.named where port != 0 {
                let socket = Address(ip: node.address, port: port)
                guard let owner = owners.updateValue((node.name, name, line), forKey: socket) else {
                    continue
                }
                if owner.line == line, owner.node == node.name {
                    complain(
                        .file(line: line), "ports", found: "port \(port) for both \(owner.port) and \(name)",
                        allowed: "a port of its own for each")
                } else {
                    complain(
                        .file(line: line), "nodes",
                        found: "the address \(node.address) again, with port \(port)",
                        allowed: "an address of its own for each node, or ports of its own",
                        hint: "\(owner.node) on line \(owner.line) has it already")
                    break
                }
            }
            if ports.peers == 0, configuration.nodes.count > 1 {
                complain(
                    .file(line: line), "ports.peers", found: "0, which is off, for \(node.name)",
                    allowed: "a port, because there is more than one node")
            }
        }
    }

    private mutating func checkTokens() {
        let tokens = configuration.ring.tokensPerNode
        let nodesMax = Limits.slots / tokens
        if configuration.nodes.count > nodesMax {
            complain(
                "ring.tokens_per_node", "\(tokens) for \(configuration.nodes.count) nodes",
                allowed:
                    "at most \(Limits.slots / configuration.nodes.count): there are \(Limits.slots) slots",
                also: "ring.tokens_per_node")
        }
    }

    private mutating func checkAmounts() {
        let requests = configuration.requests
        let gossip = configuration.gossip
        func text(_ time: Interval) -> String { UnitScale.time.format(time.nanoseconds) }
        func text(_ size: Int) -> String { UnitScale.size.format(Int64(size)) }
        if gossip.probeTimeout >= gossip.probeInterval {
            complain(
                "gossip.probe_timeout", text(gossip.probeTimeout),
                allowed: "less than gossip.probe_interval, which is \(text(gossip.probeInterval))",
                also: "gossip.probe_interval")
        }
        if requests.siblingsWarn > requests.siblingsMax {
            complain(
                "requests.siblings_warn", "\(requests.siblingsWarn)",
                allowed: "at most requests.siblings_max, which is \(requests.siblingsMax)",
                also: "requests.siblings_max")
        }
        if requests.clientOutputMax < requests.valueBytesMax {
            complain(
                "requests.client_output_max", text(requests.clientOutputMax),
                allowed: "at least requests.value_bytes_max, which is \(text(requests.valueBytesMax))",
                also: "requests.value_bytes_max", hint: "a reply with the largest value must fit")
        }
        if case .after(let time) = requests.speculative, time >= requests.timeout {
            complain(
                "requests.speculative", text(time),
                allowed: "less than requests.timeout, which is \(text(requests.timeout))",
                also: "requests.timeout")
        }
        if configuration.repair.tombstoneGrace < requests.clockSkewMax * 2 {
            complain(
                "repair.tombstone_grace", text(configuration.repair.tombstoneGrace),
                allowed: "at least twice requests.clock_skew_max, \(text(requests.clockSkewMax * 2))",
                also: "requests.clock_skew_max")
        }
    }

    /// What is allowed and may yet be a slip: one sentence each.
    func warnings() -> [String] {
        var out: [String] = []
        let datacenters = Set(configuration.nodes.map(\.datacenter))
        for keyspace in configuration.keyspaces {
            let copies = keyspace.replicationFactor.sum
            if copies > configuration.nodes.count {
                out.append(
                    "keyspaces.\(keyspace.name).replication_factor is \(copies), above the number of "
                        + "nodes (\(configuration.nodes.count)): levels count from \(copies) all the same")
            }
            if case .perDatacenter(let list) = keyspace.replicationFactor {
                for entry in list where !datacenters.contains(entry.datacenter) {
                    out.append(
                        "keyspaces.\(keyspace.name).replication_factor names the data centre "
                            + "\(entry.datacenter), in which no node of this file is")
                }
            }
        }
        return out
    }
}
