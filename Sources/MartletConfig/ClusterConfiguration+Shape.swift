import MartletBase

/// What `martlet up` makes of a file for a cluster on one machine: other addresses, fewer or more nodes.
extension ClusterConfiguration {
    /// Gives node i the address `network`.i (from 1), and seeds that were nodes' addresses theirs; `network`
    /// is three numbers, such as 127.77.3.
    package mutating func move(toNetwork network: String) throws(ConfigurationIssue) {
        guard network.split(separator: ".", omittingEmptySubsequences: false).count == 3,
            let base = IPAddress("\(network).0")
        else {
            throw ConfigurationIssue(
                .flag("--network"), "", found: quotedForMessage(network),
                allowed: "the first three numbers of an IPv4 network, such as 127.77.3")
        }
        guard nodes.count <= Self.hostsMax else { throw tooManyHosts(nodes.count) }
        var moved: [IPAddress: IPAddress] = [:]
        for index in nodes.indices {
            let address = base.advanced(by: index + 1)
            moved[nodes[index].address] = address
            nodes[index].address = address
        }
        seeds = seeds.map { Address(ip: moved[$0.ip] ?? $0.ip, port: $0.port) }
    }

    /// Keeps the first `count` nodes, or adds n4, n5… at the addresses that follow the greatest. Says, a
    /// sentence each, what had to change besides.
    package mutating func resize(toNodes count: Int) throws(ConfigurationIssue) -> [String] {
        guard (1...min(Limits.nodesMax, Limits.slots / ring.tokensPerNode)).contains(count) else {
            throw ConfigurationIssue(
                .flag("--nodes"), "", found: "\(count)",
                allowed: "1 to \(min(Limits.nodesMax, Limits.slots / ring.tokensPerNode))",
                hint: count > Limits.nodesMax ? nil : "each node needs ring.tokens_per_node of the slots")
        }
        if count < nodes.count {
            let gone = Set(nodes[count...].map(\.address)).subtracting(nodes[..<count].map(\.address))
            nodes.removeSubrange(count...)
            seeds.removeAll { gone.contains($0.ip) }
        } else if count > nodes.count {
            try addNodes(upTo: count)
        }
        return lowerCopies()
    }

    /// The nodes that come next, n4, n5… at the addresses that follow the greatest; they aren't put among
    /// `nodes`. Other names and addresses that are taken are those of nodes that no file lists. Of a single
    /// one more may be said.
    package func additions(
        _ count: Int, name: String? = nil, address: String? = nil, zone: String? = nil,
        datacenter: String? = nil, besides names: [String], at addresses: [IPAddress]
    ) throws(ConfigurationIssue) -> [NodeSettings] {
        var node = NodeSettings(name: "", address: IPAddress(high: 0, low: 0))
        let texts = [("name", name), ("address", address), ("zone", zone), ("datacenter", datacenter)]
        for (key, text) in texts {
            guard let text, let setting = Setting<NodeSettings>.ofNodes.first(where: { $0.key == key }),
                let wrong = setting.kind.read(.scalar(text, isPlain: true, line: 0), &node)
            else { continue }
            throw ConfigurationIssue(
                .flag(key == "name" ? "NAME" : "--\(key)"), "", found: wrong.found, allowed: wrong.allowed,
                hint: wrong.hint)
        }
        let present = nodes.count + count
        guard present <= min(Limits.nodesMax, Limits.slots / ring.tokensPerNode) else {
            throw ConfigurationIssue(
                .flag("--add"), "", found: "\(count), which makes \(present) nodes",
                allowed: "\(min(Limits.nodesMax, Limits.slots / ring.tokensPerNode)) nodes in all",
                hint: "each node needs ring.tokens_per_node of the slots")
        }
        var taken = Set(nodes.map(\.name) + names)
        let used = Set(nodes.map(\.address) + addresses)
        if address != nil, used.contains(node.address) {
            throw ConfigurationIssue(
                .flag("--address"), "", found: "\(node.address), where another node is",
                allowed: "an address of its own")
        }
        var last = used.max() ?? node.address
        guard address != nil || used.allSatisfy(\.isLoopback) && last.advanced(by: count).isLoopback else {
            throw ConfigurationIssue(
                .flag("--address"), "", found: "nothing",
                allowed: "the node's address: only loopback addresses (127.x.y.z) are counted up")
        }
        var number = nodes.count
        return (0..<count).map { _ in
            var next = node
            repeat { number += 1 } while name == nil && !taken.insert("n\(number)").inserted
            if name == nil { next.name = "n\(number)" }
            last = last.advanced(by: 1)
            if address == nil { next.address = last }
            return next
        }
    }

    /// Addresses of a /24 that `--network` gives out.
    private static var hostsMax: Int { 254 }

    private func tooManyHosts(_ count: Int) -> ConfigurationIssue {
        ConfigurationIssue(
            .flag("--network"), "", found: "\(count) nodes",
            allowed: "at most \(Self.hostsMax) nodes in a network")
    }

    private mutating func addNodes(upTo count: Int) throws(ConfigurationIssue) {
        let missing = count - nodes.count
        guard var last = nodes.map(\.address).max(), nodes.allSatisfy(\.address.isLoopback),
            last.advanced(by: missing).isLoopback
        else {
            throw ConfigurationIssue(
                .flag("--nodes"), "", found: "\(count), and the file has \(nodes.count)",
                allowed: "more nodes than the file has only where all addresses are loopback (127.x.y.z)",
                hint: "add them to nodes, with their addresses")
        }
        var taken = Set(nodes.map(\.name))
        var number = nodes.count
        while nodes.count < count {
            number += 1
            last = last.advanced(by: 1)
            guard taken.insert("n\(number)").inserted else {
                last = last.advanced(by: -1)
                continue
            }
            nodes.append(NodeSettings(name: "n\(number)", address: last))
        }
    }

    /// Replication factors that the nodes can't fill, down to what they can.
    private mutating func lowerCopies() -> [String] {
        var notes: [String] = []
        for index in keyspaces.indices {
            let before = keyspaces[index].replicationFactor
            let after = copiesWithinNodes(before)
            guard after != before else { continue }
            keyspaces[index].replicationFactor = after
            let change = "lowered from \(before.sum) to \(after.sum)"
            notes.append(
                "keyspace \(keyspaces[index].name): replication_factor \(change), because there are "
                    + "\(nodes.count) nodes")
        }
        return notes
    }

    private func copiesWithinNodes(_ copies: Copies) -> Copies {
        switch copies {
        case .total(let copies):
            return .total(min(copies, nodes.count))
        case .perDatacenter(let list):
            let kept = list.compactMap { entry -> DatacenterCopies? in
                let places = nodes.filter { $0.datacenter == entry.datacenter }.count
                let copies = min(entry.copies, places)
                return copies == 0 ? nil : DatacenterCopies(datacenter: entry.datacenter, copies: copies)
            }
            return kept.isEmpty ? .total(min(copies.sum, nodes.count)) : .perDatacenter(kept)
        }
    }
}
