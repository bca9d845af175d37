import MartletBase
import MartletGossip
import MartletRing
import MartletVersions

/// What a node is told when it is made. Times and sizes as in cluster.yaml; see docs/CONFIGURATION.md for
/// what raising and lowering each does.
package struct NodeConfiguration: Sendable {
    package struct Founder: Hashable, Sendable {
        package var name: String
        package var address: Address
        package var zone: String
        package var dataCenter: String

        package init(name: String, address: Address, zone: String = "default", dataCenter: String = "default")
        {
            self.name = name
            self.address = address
            self.zone = zone
            self.dataCenter = dataCenter
        }
    }

    package enum Speculation: Hashable, Sendable {
        case off
        /// After this share of the keyspace's reads is usually answered, 0.5 to 0.99.
        case percentile(Double)
        case after(Interval)
    }

    package var cluster: String
    package var id: NodeID
    package var name: String
    package var address: IPAddress
    package var ports: NodePorts
    package var zone: String
    package var dataCenter: String
    /// Whose place it takes, if it isn't in the ring yet: that of a dead node.
    package var replaces: NodeID?
    /// The software's version, for `status`.
    package var version: String
    /// The data folder's storage epoch.
    package var epoch: UInt64
    /// Counts the starts of the process on this data folder.
    package var boot: UInt32
    /// The epoch in which the folder last began with less than it had held before, or might have; 0 when it
    /// never did. The node rebuilds it, once.
    package var lostEpoch: UInt64 = 0
    /// The seed of all the node's randomness.
    package var seed: UInt64

    package var founders: [Founder]
    package var seeds: [Address]
    package var tokensPerNode: Int
    /// As founded; a gossiped definition with a later stamp replaces them.
    package var keyspaces: [KeyspaceDefinition]
    package var gossip: GossipSettings

    package var requestTimeout = Interval.seconds(2)
    package var speculation = Speculation.percentile(0.99)
    package var inFlightMax = 10_000
    package var keyBytesMax = 64 << 10
    package var valueBytesMax = 16 << 20
    /// Concurrent versions of one key in a keyspace with siblings: a put that would make more is refused, and
    /// those that leave as many as `siblingsWarn` are counted.
    package var siblingsMax = 64
    package var siblingsWarn = 16
    /// Whether writes are kept for replicas that miss them and that nobody counts on; those that count always
    /// are.
    package var keepsHints = true
    /// Bytes kept for one target: of hints that count, and of others.
    package var hintBytesMax = 1 << 30
    /// How long hints that don't count are kept.
    package var hintWindow = Interval.hours(3)
    /// Two owners compare what they hold at least so often.
    package var repairInterval = Interval.minutes(10)
    package var clockSkewMax = Interval.milliseconds(500)
    /// What this node moves at most to heal and to hand over, a second; zero: as much as requests allow.
    package var transferBytesPerSecondMax = 0
    /// How old a tombstone must at least be to be deleted.
    package var tombstoneGrace = Interval.hours(1)
    /// How long a shutdown waits for what is in flight.
    package var drainTimeout = Interval.seconds(4)
    /// Whether this node drives purge rounds. Set by tests alone.
    package var purges = true
    /// Set by the simulator alone.
    package var planted: PlantedBug?

    package init(
        cluster: String, id: NodeID, name: String, address: IPAddress, ports: NodePorts,
        zone: String = "default",
        dataCenter: String = "default", version: String, epoch: UInt64, boot: UInt32, seed: UInt64,
        founders: [Founder], seeds: [Address], tokensPerNode: Int = 16, keyspaces: [KeyspaceDefinition],
        gossip: GossipSettings
    ) {
        self.cluster = cluster
        self.id = id
        self.name = name
        self.address = address
        self.ports = ports
        self.zone = zone
        self.dataCenter = dataCenter
        self.version = version
        self.epoch = epoch
        self.boot = boot
        self.seed = seed
        self.founders = founders
        self.seeds = seeds
        self.tokensPerNode = tokensPerNode
        self.keyspaces = keyspaces
        self.gossip = gossip
    }

    /// The peers' socket of this node.
    package var peersAddress: Address { Address(ip: address, port: ports.peers) }
}

/// What the shell read from the data folder before it made the node.
package struct RecoveredState: Sendable {
    /// Every stamp of earlier runs is at or below it; zero on a new folder.
    package var stampCeiling: HybridTime
    /// The meta entries as `StorageRequest.putMeta` wrote them, in the order of their keys.
    package var meta: [(key: Blob, value: Blob)]
    /// What the store says of the last run, before it knows of this one.
    package var end: RunEnd
    /// What `Node.treeCheckpoint` returned at the end of some run.
    package var trees: Blob?

    package init(
        stampCeiling: HybridTime = .zero, meta: [(key: Blob, value: Blob)] = [], end: RunEnd = RunEnd(),
        trees: Blob? = nil
    ) {
        self.stampCeiling = stampCeiling
        self.meta = meta
        self.end = end
        self.trees = trees
    }
}
