import MartletBase
import MartletConfig
import MartletGossip
import MartletNode
import MartletRing
import MartletRocksDB
import MartletRuntime
import MartletServer

/// From cluster.yaml's types to those of the node and its parts.
extension ClusterConfiguration {
    func nodeConfiguration(own: NodeSettings, folder: DataFolder, boot: UInt32, seed: UInt64)
        -> NodeConfiguration
    {
        var node = NodeConfiguration(
            cluster: cluster.name, id: folder.identity.node, name: own.name, address: own.address,
            ports: ports(of: own).nodePorts, zone: own.zone, dataCenter: own.datacenter,
            version: Version.text,
            epoch: folder.epoch, boot: boot, seed: seed,
            founders: nodes.map { founder in
                NodeConfiguration.Founder(
                    name: founder.name, address: Address(ip: founder.address, port: ports(of: founder).peers),
                    zone: founder.zone, dataCenter: founder.datacenter)
            },
            seeds: seedAddresses, tokensPerNode: ring.tokensPerNode,
            keyspaces: keyspaces.enumerated().map { $0.element.definition(id: UInt32($0.offset)) },
            gossip: gossip.settings(cluster: cluster.name))
        node.lostEpoch = folder.lostEpoch
        node.requestTimeout = requests.timeout
        node.speculation = requests.speculative.nodeSpeculation
        node.inFlightMax = requests.inFlightMax
        node.siblingsMax = requests.siblingsMax
        node.siblingsWarn = requests.siblingsWarn
        node.keyBytesMax = requests.keyBytesMax
        node.valueBytesMax = requests.valueBytesMax
        node.clockSkewMax = requests.clockSkewMax
        node.keepsHints = repair.hints
        node.hintBytesMax = repair.hintBytesMax
        node.hintWindow = repair.hintWindow
        node.tombstoneGrace = repair.tombstoneGrace
        node.repairInterval = repair.repairInterval
        node.transferBytesPerSecondMax = transfer.transferBytesPerSecondMax
        return node
    }

    var engineSettings: RocksDBSettings {
        RocksDBSettings(
            blockCacheBytes: storage.blockCache, memtableBytes: storage.memtable,
            recordCacheBytes: storage.recordCache, diskFreeMinBytes: storage.diskFreeMin)
    }

    var engineDurability: StorageDriver.Durability {
        switch storage.durability {
        case .batch: .batch
        case .periodic: .periodic(storage.syncInterval)
        }
    }

    /// Every scalar setting, as CONFIG GET shows it.
    var settingTexts: [RedisSettings.ConfigurationValue] {
        Setting<ClusterConfiguration>.all.map {
            RedisSettings.ConfigurationValue("\($0.section).\($0.key)", $0.text(in: self))
        }
    }
}

extension PortSettings {
    var nodePorts: NodePorts {
        NodePorts(peers: peers, redis: redis, redisCluster: redisCluster, http: http)
    }
}

extension KeyspaceSettings {
    func definition(id: UInt32) -> KeyspaceDefinition {
        let replication: ReplicationFactor =
            switch replicationFactor {
            case .total(let n): .count(n)
            case .perDatacenter(let list):
                .perDataCenter(
                    list.map { ReplicationFactor.DataCenterFactor(name: $0.datacenter, count: $0.copies) })
            }
        return KeyspaceDefinition(
            id: id, name: name, stamp: 0, replication: replication,
            conflict: conflict == .lww ? .lww : .siblings, read: read.level, write: write.level,
            sloppyQuorum: sloppyQuorum, ttl: ttl)
    }
}

extension LevelName {
    var level: ConsistencyLevel {
        switch self {
        case .any: .any
        case .one: .one
        case .two: .two
        case .three: .three
        case .quorum: .quorum
        case .all: .all
        case .localOne: .localOne
        case .localQuorum: .localQuorum
        case .eachQuorum: .eachQuorum
        }
    }
}

extension Speculation {
    var nodeSpeculation: NodeConfiguration.Speculation {
        switch self {
        case .off: .off
        case .percentile(let percent): .percentile(Double(percent) / 100)
        case .after(let delay): .after(delay)
        }
    }
}

extension GossipSection {
    func settings(cluster: String) -> GossipSettings {
        var settings = GossipSettings(clusterName: cluster)
        settings.probeInterval = probeInterval
        settings.probeTimeout = probeTimeout
        settings.pushPullInterval = pushPullInterval
        settings.packetBytesMax = packetBytesMax
        return settings
    }
}

extension LogSection {
    func log(node: String) -> Log {
        let logLevel: LogLevel =
            switch level {
            case .debug: .debug
            case .info: .info
            case .warn: .warn
            case .error: .error
            }
        return Log(node: node, level: logLevel, format: format == .logfmt ? .logfmt : .json)
    }
}
