import MartletBase
import MartletConfig
import MartletRing

/// The ring as a node tells it, put together again: plans are reckoned here, by the same code that the nodes
/// place slots with.
package struct RingPicture {
    /// Nodes that own slots, each with its tokens.
    package let ring: Ring
    package let keyspaces: [KeyspaceDefinition]
    /// By name: what they hold on disk.
    package let bytes: [String: Double]
    package let names: [NodeID: String]
    package let status: JSONValue

    /// From MARTLET STATUS, RING and KEYSPACE LIST; nil when one of them isn't understood.
    package init?(status: JSONValue, ring told: JSONValue, keyspaces list: JSONValue) {
        var tokens: [String: [Slot]] = [:]
        for token in told["tokens"]?.elements ?? [] {
            guard let name = token["node"]?.text, let slot = token["slot"]?.integer,
                (0..<Limits.slots).contains(slot)
            else { return nil }
            tokens[name, default: []].append(Slot(slot))
        }
        var entries: [RingEntry] = []
        var bytes: [String: Double] = [:]
        for node in status["nodes"]?.elements ?? [] {
            guard let name = node["name"]?.text, let tokens = tokens[name], !Self.isGone(node) else {
                continue
            }
            guard let id = node["id"]?.text.flatMap({ NodeID(hex: $0) }),
                let address = node["address"]?.text.flatMap({ IPAddress($0) }), Names.isValid(name),
                let zone = node["zone"]?.text, let dataCenter = node["datacenter"]?.text,
                Names.isValid(zone), Names.isValid(dataCenter)
            else { return nil }
            bytes[name] = node["bytes"]?.double
            entries.append(
                RingEntry(
                    id: id, incarnation: 1, name: name, address: address,
                    ports: NodePorts(peers: 0, redis: 0, redisCluster: 0, http: 0), zone: zone,
                    dataCenter: dataCenter, tokens: Set(tokens).sorted(), state: .normal, version: "-"))
        }
        let definitions = (list["keyspaces"]?.elements ?? []).compactMap(Self.keyspace)
        guard let ring = try? Ring(entries), !definitions.isEmpty else { return nil }
        self.ring = ring
        self.bytes = bytes
        self.status = status
        keyspaces = definitions
        names = Dictionary(uniqueKeysWithValues: entries.map { ($0.id, $0.name) })
    }

    private static func isGone(_ node: JSONValue) -> Bool {
        node["state"]?.text == "left" || node["state"]?.text == "removed"
    }

    private static func keyspace(_ told: JSONValue) -> KeyspaceDefinition? {
        guard let name = told["name"]?.text, Names.isValid(name), let factor = told["replication_factor"],
            let id = told["id"]?.integer.flatMap(UInt32.init(exactly:))
        else { return nil }
        let replication: ReplicationFactor
        if let count = factor.integer {
            replication = .count(count)
        } else if case .members(let members) = factor {
            replication = .perDataCenter(
                members.compactMap { member in
                    member.value.integer.map {
                        ReplicationFactor.DataCenterFactor(name: member.name, count: $0)
                    }
                })
        } else {
            return nil
        }
        return replication.isValid
            ? KeyspaceDefinition(id: id, name: name, stamp: 0, replication: replication) : nil
    }

    /// Whose entry a name or an id is; nil when it owns nothing.
    package func node(_ text: String) -> RingEntry? {
        ring.entries.first { $0.name == text } ?? ring.entries.first { $0.id.description == text }
    }

    /// A node that isn't there yet, with the tokens that it would choose now.
    package func joiner(_ name: String, zone: String, dataCenter: String, tokens count: Int) -> RingEntry {
        var random = Random(seed: ring.digest)
        let id = NodeID(random: &random)
        let tokens = TokenChoice.choose(
            count: count, for: (id, zone, dataCenter), in: ring, replication: keyspaces[0].replication)
        return RingEntry(
            id: id, incarnation: 1, name: name, address: IPAddress(v4: 127, 0, 0, 1),
            ports: NodePorts(peers: 0, redis: 0, redisCluster: 0, http: 0), zone: zone,
            dataCenter: dataCenter, tokens: tokens, state: .normal, version: "-")
    }
}

extension RingPicture {
    /// As the session's node tells it, with each node's own figures.
    static func ask(_ session: Session) throws(Failure) -> RingPicture {
        let status = try session.json(["MARTLET", "STATUS"]).raw
        guard status["ring"]?.text == "formed" else {
            throw .refused("the ring is still forming: `martlet status` shows what it waits for")
        }
        let told = try session.json(["MARTLET", "RING"]).raw
        let list = try session.json(["MARTLET", "KEYSPACE", "LIST"]).raw
        guard
            let picture = RingPicture(
                status: StatusReport.filled(status, from: StatusReport.ownFigures(status)), ring: told,
                keyspaces: list)
        else { throw session.notMartlet("its ring makes no sense") }
        return picture
    }
}
