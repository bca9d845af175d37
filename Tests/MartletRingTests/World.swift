import MartletBase
import MartletRing

/// Makes rings for tests.
struct RingWorld {
    var random: Random
    private(set) var named = 0

    init(seed: UInt64) { random = Random(seed: seed) }

    mutating func entry(
        zone: String = "default", dataCenter: String = "default", tokens: [Slot] = [],
        state: NodeState = .normal
    ) -> RingEntry {
        named += 1
        return RingEntry(
            id: NodeID(random: &random), incarnation: 1, name: "n\(named)",
            address: IPAddress(v4: 127, 0, 0, 1).advanced(by: named),
            ports: NodePorts(peers: 7600, redis: 7379, redisCluster: 7380, http: 7680), zone: zone,
            dataCenter: dataCenter, tokens: tokens, state: state, version: "0.1.0")
    }

    /// Up to `count` distinct random slots.
    mutating func slots(_ count: Int) -> [Slot] {
        Set((0..<count).map { _ in Slot(random.below(Limits.slots)) }).sorted()
    }

    /// A ring of nodes with random tokens, which may collide, in random zones.
    mutating func ring(nodes: Int, tokens: Int, zones: Int, dataCenters: Int = 1) throws -> Ring {
        var ring = Ring()
        for _ in 0..<nodes {
            let zone = "z\(random.below(zones))"
            let center = "dc\(random.below(dataCenters))"
            try ring.merge(entry(zone: zone, dataCenter: center, tokens: slots(tokens)))
        }
        return ring
    }
}

func keyspace(
    _ replication: ReplicationFactor = .count(3), id: UInt32 = 0, stamp: UInt64 = 1, truncation: UInt64 = 0
) -> KeyspaceDefinition {
    KeyspaceDefinition(
        id: id, name: "default", stamp: stamp, replication: replication, truncation: truncation)
}

extension Placement {
    /// The ids of a slot's owners.
    func ids(of slot: Slot) -> [NodeID] { owners(of: slot).array.map { members[$0].id } }
}

/// Decodes all of the bytes as one value.
func decode<Value>(
    _ blob: Blob, _ read: (inout ByteReader) throws(WireError) -> Value
) throws(WireError) -> Value {
    var reader = ByteReader(blob.span)
    let value = try read(&reader)
    try reader.expectEnd()
    return value
}
