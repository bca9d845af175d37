import MartletBase
import MartletGossip
import MartletNode
import MartletRing

/// The cluster as Redis Cluster's clients are shown it: nodes, each the only one of its shard, and for each
/// slot one of them as its master (`MasterPreference`).
///
/// The slots are those of the keyspace that the session has selected: keyspaces with other replication
/// factors have other owners.
///
/// A master is a node that this one reaches: it isn't held dead, and its connection has not just broken. A
/// process that is killed breaks it at once, while gossip takes seconds to be sure of a death; by then
/// clients would have used up their retries. A node that is wrongly passed over costs its slots a hop,
/// nothing more, since any node answers for any key. Nor is one that rebuilds its disk a master: it would
/// hand every read on.
///
/// A node that serves no cluster clients (port 0) isn't shown and is nobody's master, unless no other node
/// owns the slot: that slot is then not covered.
struct ClusterView {
    struct Node {
        let id: NodeID
        let name: String
        let address: String
        let port: Int
        let peersPort: Int
        let epoch: UInt64
        let liveness: Liveness
        let isSelf: Bool
        let isReachable: Bool
        let isRebuilding: Bool
        /// First and last slots, ascending.
        fileprivate(set) var ranges: [ClosedRange<Int>] = []

        var slotCount: Int { ranges.reduce(0) { $0 + $1.count } }
        /// Whether Redis would say `fail`.
        var hasFailed: Bool { !liveness.isPresent }
    }

    struct Range {
        let first: Int
        let last: Int
        /// Into `nodes`.
        let node: Int
        /// Whether the master, or any other owner, lives.
        let isLive: Bool

        var count: Int { last - first + 1 }
    }

    /// Sorted by id; this node among them.
    private(set) var nodes: [Node]
    /// Ascending. Empty while the ring forms.
    private(set) var ranges: [Range] = []
    /// The tokens of the slots whose master this node is, in order and apart from each other.
    private(set) var ownTokens: [ClosedRange<Token>] = []
    let isFormed: Bool

    init(status: NodeStatus, own: NodeID, placement: Placement?, preference: MasterPreference?) {
        isFormed = status.isFormed && placement != nil
        let shown = status.members.filter { member in
            member.entry.id == own
                || (member.entry.ownsTokens && member.entry.ports.redisCluster != 0)
        }.sorted { $0.entry.id < $1.entry.id }
        nodes = shown.map { Node($0, own: own) }
        guard isFormed, let placement, let preference else { return }
        let nodeOfMember = placement.members.map { member in nodes.firstIndex { $0.id == member.id } }
        let masters = preference.masters { ordinal in
            nodeOfMember[ordinal].map { nodes[$0].isReachable && !nodes[$0].isRebuilding } ?? false
        }
        for range in masters.ranges {
            guard let node = nodeOfMember[range.master] else { continue }
            let (first, last) = (Int(range.first.index), Int(range.last.index))
            ranges.append(Range(first: first, last: last, node: node, isLive: range.isLive))
            nodes[node].ranges.append(first...last)
            if nodes[node].isSelf { ownTokens.append(range.tokens) }
        }
    }

    var own: Node? { nodes.first(where: \.isSelf) }

    /// Whether all slots have a live owner: Redis's `cluster_state:ok`.
    var isCovered: Bool {
        isFormed && ranges.reduce(0) { $0 + ($1.isLive ? $1.count : 0) } == Limits.slots
    }
}

extension ClusterView.Node {
    fileprivate init(_ member: NodeStatus.Member, own: NodeID) {
        let entry = member.entry
        id = entry.id
        name = entry.name
        address = entry.address.description
        port = Int(entry.ports.redisCluster)
        peersPort = Int(entry.ports.peers)
        epoch = entry.incarnation
        liveness = entry.id == own ? .up : member.liveness
        isSelf = entry.id == own
        isReachable = isSelf || member.isReachable
        isRebuilding = entry.state == .rebuilding
    }
}

/// The view, computed when a client asks for it after the ring or somebody's liveness has changed; the order
/// of masters, which is dearer, only when the ring has.
struct ClusterViewCache {
    private var stamp: TopologyStamp?
    private var placement: Placement?
    private var preference: MasterPreference?
    private var view: ClusterView?

    mutating func view(_ backend: any RedisBackend, keyspace: UInt32, own: NodeID) -> ClusterView {
        let (stamp, placement) = (backend.topologyStamp, backend.placement(keyspace: keyspace))
        if let view, stamp == self.stamp, placement === self.placement { return view }
        if placement !== self.placement || preference == nil {
            preference = placement.map { MasterPreference($0) }
        }
        let view = ClusterView(
            status: backend.status(), own: own, placement: placement, preference: preference)
        self.stamp = stamp
        self.placement = placement
        self.view = view
        return view
    }
}

extension RedisServer {
    /// The cluster as it is now.
    func clusterView(_ keyspace: UInt32) -> ClusterView {
        clusterViews[keyspace, default: ClusterViewCache()].view(
            backend, keyspace: keyspace, own: settings.nodeID)
    }

    /// The part of the ring that this node answers for where a Redis Cluster's node answers for its own keys
    /// alone (SCAN, KEYS, DBSIZE, RANDOMKEY): its master slots, in order and apart from each other. Empty
    /// while the ring forms.
    package func masterRanges(_ keyspace: UInt32 = 0) -> [ClosedRange<Token>] {
        clusterView(keyspace).ownTokens
    }
}
