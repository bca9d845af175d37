import MartletBase
import MartletNode
import MartletRESP
import MartletRing

/// CLUSTER, READONLY, READWRITE, ASKING.
extension RedisSession {
    func cluster(_ code: CommandCode, _ request: Request) {
        guard face == .cluster else { return refuse("ERR This instance has cluster support disabled") }
        switch code {
        // There are no replicas to read from and no slots on the move: any node answers for any key.
        case .clusterSwitch: answerOK()
        case .clusterSlots: clusterSlots()
        case .clusterShards: clusterShards()
        case .clusterNodes: clusterNodes()
        case .clusterInfo: clusterInfo()
        case .clusterMyID:
            let id = server.settings.nodeID.description
            answer { $0.bulk(id) }
        case .clusterKeySlot: answerNumber(Int64(Slot(key: request[2]).index))
        case .clusterCountKeys: countKeysInSlot(request)
        case .clusterGetKeys: keysInSlot(request)
        case .clusterLinks: clusterLinks()
        case .clusterReplicas:
            let id = Blob(copying: request[2])
            guard server.clusterView(keyspace).nodes.contains(where: { Blob($0.id.description) == id }) else {
                return refuse(Array("ERR Unknown node ".utf8) + id.bytes)
            }
            answer { $0.array(count: 0) }
        case .clusterHelp: help(of: row)
        case .clusterRefused:
            let name = table.rows[row].name.uppercased().replacing("|", with: " ")
            refuse(
                "ERR \(name) is not supported: Martlet's nodes share out the slots themselves, and any node "
                    + "answers for every key (MARTLET RING and MARTLET STATUS show who owns what)")
        default: invariantBroken("\(table.rows[row].name) is no command about the cluster")
        }
    }

    // MARK: Keys of a slot

    /// Of all the keys that the slot has, whoever owns it: every node can tell.
    private func countKeysInSlot(_ request: Request) {
        guard let number = integer(request[2]) else { return }
        guard (0..<Int64(Limits.slots)).contains(number) else { return refuse("ERR Invalid slot") }
        startWalk(.size, ranges: [Token.bounds(of: Slot(Int(number)))])
    }

    private func keysInSlot(_ request: Request) {
        guard let number = integer(request[2]), let count = integer(request[3]) else { return }
        guard (0..<Int64(Limits.slots)).contains(number), count >= 0 else {
            return refuse("ERR Invalid slot or number of keys")
        }
        if count == 0 { return answer { $0.array(count: 0) } }
        startWalk(.some(count: Int(count)), ranges: [Token.bounds(of: Slot(Int(number)))])
    }

    // MARK: Topology

    private func clusterSlots() {
        let view = server.clusterView(keyspace)
        answer { writer in
            writer.array(count: view.ranges.count)
            for range in view.ranges {
                let node = view.nodes[range.node]
                writer.array(count: 3)
                writer.integer(range.first)
                writer.integer(range.last)
                writer.array(count: 4)
                writer.bulk(node.address)
                writer.integer(node.port)
                writer.bulk(node.id.description)
                // Further names of the endpoint: none.
                writer.map(count: 0)
            }
        }
    }

    /// Each node is a shard of its own.
    private func clusterShards() {
        let view = server.clusterView(keyspace)
        answer { writer in
            writer.array(count: view.nodes.count)
            for node in view.nodes {
                writer.map(count: 2)
                writer.bulk("slots")
                writer.array(count: 2 * node.ranges.count)
                for range in node.ranges {
                    writer.integer(range.lowerBound)
                    writer.integer(range.upperBound)
                }
                writer.bulk("nodes")
                writer.array(count: 1)
                writer.map(count: 7)
                writer.bulk("id")
                writer.bulk(node.id.description)
                writer.bulk("port")
                writer.integer(node.port)
                for (name, value) in [
                    ("ip", node.address), ("endpoint", node.address), ("role", "master"),
                ] {
                    writer.bulk(name)
                    writer.bulk(value)
                }
                writer.bulk("replication-offset")
                writer.integer(0)
                writer.bulk("health")
                writer.bulk(node.hasFailed ? "fail" : "online")
            }
        }
    }

    /// `id ip:port@cport flags master ping-sent pong-received epoch link-state slots...`
    private func clusterNodes() {
        let view = server.clusterView(keyspace)
        let now = backend.now.wall.milliseconds
        let acknowledged = Dictionary(
            backend.status().members.map { ($0.entry.id, $0.acknowledgedBefore) }, uniquingKeysWith: { $1 })
        var text = ""
        for node in view.nodes {
            let flags =
                switch node.liveness {
                case .up: node.isSelf ? "myself,master" : "master"
                case .suspect: "master,fail?"
                case .down, .left: "master,fail"
                }
            // Redis's own line shows no pong of itself either.
            let pong = acknowledged[node.id].flatMap { $0 }.map { now - $0.milliseconds } ?? 0
            let link = node.isReachable ? "connected" : "disconnected"
            let slots = node.ranges.map { range in
                range.count == 1 ? " \(range.lowerBound)" : " \(range.lowerBound)-\(range.upperBound)"
            }.joined()
            text += "\(node.id) \(node.address):\(node.port)@\(node.peersPort) \(flags) - 0 \(pong) "
            text += "\(node.epoch) \(link)\(slots)\n"
        }
        answer { $0.verbatim(Blob(text)) }
    }

    private func clusterInfo() {
        let view = server.clusterView(keyspace)
        let slots = view.ranges.reduce(0) { $0 + $1.count }
        let failed = view.ranges.reduce(0) { $0 + ($1.isLive ? 0 : $1.count) }
        let doubted = view.nodes.reduce(0) { $0 + ($1.liveness == .suspect ? $1.slotCount : 0) }
        let values: [(String, String)] = [
            ("state", view.isCovered ? "ok" : "fail"), ("slots_assigned", "\(slots)"),
            ("slots_ok", "\(slots - failed - doubted)"), ("slots_pfail", "\(doubted)"),
            ("slots_fail", "\(failed)"), ("known_nodes", "\(view.nodes.count)"),
            ("size", "\(view.nodes.count { !$0.ranges.isEmpty })"),
            ("current_epoch", "\(view.nodes.map(\.epoch).max() ?? 0)"),
            ("my_epoch", "\(view.own?.epoch ?? 0)"), ("stats_messages_sent", "0"),
            ("stats_messages_received", "0"),
        ]
        let text =
            values.map { "cluster_\($0):\($1)\r\n" }.joined()
            + "total_cluster_links_buffer_limit_exceeded:0\r\n"
        answer { $0.verbatim(Blob(text)) }
    }

    /// This node's connections to others; buffers are the runtime's business, and shown as empty.
    private func clusterLinks() {
        let linked = backend.status().members.filter { $0.isLinked == true }.map(\.entry.id).sorted()
        answer { writer in
            writer.array(count: linked.count)
            for id in linked {
                writer.map(count: 6)
                for (name, value) in [("direction", "to"), ("node", id.description)] {
                    writer.bulk(name)
                    writer.bulk(value)
                }
                writer.bulk("create-time")
                writer.integer(0)
                writer.bulk("events")
                writer.bulk("r")
                for name in ["send-buffer-allocated", "send-buffer-used"] {
                    writer.bulk(name)
                    writer.integer(0)
                }
            }
        }
    }
}
