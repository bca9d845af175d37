import MartletBase

/// cluster.yaml, typed: the same file on every node of a cluster.
///
/// A value made by `ClusterConfiguration()` has the defaults and no nodes. What each key means, its range and
/// the effect of raising and lowering it stand once, in `Setting.all`, `Setting.ofNodes` and
/// `Setting.ofKeyspaces`, and from there come reading, writing, help and docs/CONFIGURATION.md.
package struct ClusterConfiguration: Hashable, Sendable {
    package var cluster = ClusterSection()
    /// The founding members, in the order of the file.
    package var nodes: [NodeSettings] = []
    /// As given; see `seedAddresses` for whom to ask.
    package var seeds: [Address] = []
    package var ports = PortSettings()
    package var ring = RingSection()
    /// In the order of the file: the place is the index that SELECT takes.
    package var keyspaces: [KeyspaceSettings] = [KeyspaceSettings(name: "default")]
    package var requests = RequestsSection()
    package var storage = StorageSection()
    package var gossip = GossipSection()
    package var repair = RepairSection()
    package var transfer = TransferSection()
    package var log = LogSection()

    package init() {}

    /// The ports that a node listens on: its own where it has any, else the cluster's.
    package func ports(of node: NodeSettings) -> PortSettings {
        PortSettings(
            peers: node.ports.peers ?? ports.peers, redis: node.ports.redis ?? ports.redis,
            redisCluster: node.ports.redisCluster ?? ports.redisCluster, http: node.ports.http ?? ports.http)
    }

    /// Where to ask for the ring: `seeds`, or all of `nodes` when there are none.
    package var seedAddresses: [Address] {
        seeds.isEmpty ? nodes.map { Address(ip: $0.address, port: ports(of: $0).peers) } : seeds
    }
}

package struct ClusterSection: Hashable, Sendable {
    package var name = "martlet"
}

/// One of `nodes`.
package struct NodeSettings: Hashable, Sendable {
    package var name: String
    package var address: IPAddress
    package var zone = "default"
    package var datacenter = "default"
    /// In place of `storage.data`.
    package var data: String?
    package var ports = PortOverrides()

    package init(name: String, address: IPAddress) {
        self.name = name
        self.address = address
    }
}

/// Zero: off.
package struct PortSettings: Hashable, Sendable {
    /// TCP and UDP.
    package var peers: UInt16 = 7600
    package var redis: UInt16 = 7379
    package var redisCluster: UInt16 = 7380
    package var http: UInt16 = 7680

    /// With the names that the file has for them.
    package var named: [(name: String, port: UInt16)] {
        [("peers", peers), ("redis", redis), ("redis_cluster", redisCluster), ("http", http)]
    }
}

/// What one node has different from the cluster's ports.
package struct PortOverrides: Hashable, Sendable {
    package var peers: UInt16?
    package var redis: UInt16?
    package var redisCluster: UInt16?
    package var http: UInt16?
}

package struct RingSection: Hashable, Sendable {
    package var tokensPerNode = 16
}

/// One of `keyspaces`, as founded.
package struct KeyspaceSettings: Hashable, Sendable {
    package var name: String
    package var replicationFactor = Copies.total(3)
    package var conflict = ConflictRule.lww
    package var read = LevelName.quorum
    package var write = LevelName.quorum
    package var sloppyQuorum = false
    /// Zero: none.
    package var ttl = Interval.zero

    package init(name: String) { self.name = name }
}

/// A replication factor: for the whole cluster, or one a data centre, ordered by name.
package enum Copies: Hashable, Sendable {
    case total(Int)
    case perDatacenter([DatacenterCopies])

    package var sum: Int {
        switch self {
        case .total(let copies): copies
        case .perDatacenter(let list): list.reduce(0) { $0 + $1.copies }
        }
    }
}

package struct DatacenterCopies: Hashable, Sendable {
    package var datacenter: String
    package var copies: Int

    package init(datacenter: String, copies: Int) {
        self.datacenter = datacenter
        self.copies = copies
    }
}

/// What becomes of concurrent versions of a key.
package enum ConflictRule: String, CaseIterable, Hashable, Sendable {
    case lww
    case siblings
}

/// A level by its name. ANY is one for writes only.
package enum LevelName: String, CaseIterable, Hashable, Sendable {
    case any = "ANY"
    case one = "ONE"
    case two = "TWO"
    case three = "THREE"
    case quorum = "QUORUM"
    case all = "ALL"
    case localOne = "LOCAL_ONE"
    case localQuorum = "LOCAL_QUORUM"
    case eachQuorum = "EACH_QUORUM"
}

package struct RequestsSection: Hashable, Sendable {
    package var timeout = Interval.seconds(2)
    package var speculative = Speculation.percentile(99)
    package var inFlightMax = 10_000
    package var keyBytesMax = 64 << 10
    package var valueBytesMax = 16 << 20
    package var clientsMax = 10_000
    package var clientOutputMax = 64 << 20
    package var clockSkewMax = Interval.milliseconds(500)
    package var siblingsMax = 64
    package var siblingsWarn = 16
}

/// When a read asks one more replica than it needs.
package enum Speculation: Hashable, Sendable {
    case off
    /// Once it has taken longer than this percentile (50 to 99) of the keyspace's recent reads.
    case percentile(Int)
    case after(Interval)
}

package struct StorageSection: Hashable, Sendable {
    package var data = "data"
    package var durability = Durability.batch
    package var syncInterval = Interval.seconds(1)
    package var blockCache = 256 << 20
    package var recordCache = 32 << 20
    package var memtable = 64 << 20
    package var diskFreeMin = 1 << 30
}

/// When a write is acknowledged: after its sync to disk, or before.
package enum Durability: String, CaseIterable, Hashable, Sendable {
    case batch
    case periodic
}

package struct GossipSection: Hashable, Sendable {
    package var probeInterval = Interval.seconds(1)
    package var probeTimeout = Interval.milliseconds(500)
    package var pushPullInterval = Interval.seconds(30)
    package var packetBytesMax = 1_400
}

package struct RepairSection: Hashable, Sendable {
    package var repairInterval = Interval.minutes(10)
    package var hintWindow = Interval.hours(3)
    package var hintBytesMax = 1 << 30
    package var hints = true
    package var tombstoneGrace = Interval.hours(1)
}

package struct TransferSection: Hashable, Sendable {
    /// Zero: held back by foreground latency only.
    package var transferBytesPerSecondMax = 0
}

package struct LogSection: Hashable, Sendable {
    package var level = LogLevelName.info
    package var format = LogFormat.logfmt
}

/// In order: each includes those after it.
package enum LogLevelName: String, CaseIterable, Hashable, Sendable {
    case debug
    case info
    case warn
    case error
}

package enum LogFormat: String, CaseIterable, Hashable, Sendable {
    case logfmt
    case json
}
