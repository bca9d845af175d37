import MartletBase
import MartletRing
import Testing

/// Whole sizes are for `make test`, which is optimised.
#if DEBUG
private let isOptimised = false
#else
private let isOptimised = true
#endif

/// A cluster that grows by nodes which choose their own tokens.
struct Growth {
    var ring = Ring()
    var world = RingWorld(seed: 7)
    let replication: Int
    let tokens: Int

    init(founders: [String], replication: Int = 3, tokens: Int = 16) throws {
        self.replication = replication
        self.tokens = tokens
        let names = founders.enumerated().map { (name: "n\($0)", zone: $1, dataCenter: "default") }
        let slots = TokenChoice.founding(nodes: names, tokensPerNode: tokens, replication: replication)
        for (zone, chosen) in zip(founders, slots) { try ring.merge(world.entry(zone: zone, tokens: chosen)) }
    }

    mutating func join(zone: String) throws {
        var entry = world.entry(zone: zone, state: .joining)
        let joiner = (id: entry.id, zone: zone, dataCenter: "default")
        entry.tokens = TokenChoice.choose(count: tokens, for: joiner, in: ring, replication: replication)
        try ring.merge(entry)
    }

    var distinctTokens: Int { Set(ring.entries.flatMap(\.tokens)).count }

    /// The largest share of replicated load as a multiple of the mean: of its zone's when there are enough zones.
    var unevenness: Double {
        let placement = Placement(ring: ring, keyspace: keyspace(.count(replication)))
        let zones = Set(placement.members.map(\.zone)).sorted()
        func unevenness(_ ordinals: [Int]) -> Double {
            let loads = ordinals.map(placement.ownsFraction)
            return loads.max()! / (loads.reduce(0, +) / Double(loads.count))
        }
        let all = Array(placement.members.indices)
        if zones.count < replication { return unevenness(all) }
        return zones.map { zone in unevenness(all.filter { placement.members[$0].zone == zone }) }.max()!
    }
}

@Suite struct TokenChoiceTests {
    @Test(arguments: [1, 2, 3], [1, 3])
    func loadStaysEvenWhileNodesJoinOneAfterAnother(founders: Int, zones: Int) throws {
        let largest = isOptimised ? 200 : 20
        var growth = try Growth(founders: (0..<founders).map { "z\($0 % zones)" })
        for count in (founders + 1)...largest {
            try growth.join(zone: "z\((count - 1) % zones)")
            let unevenness = growth.unevenness
            #expect(unevenness <= 1.10, "\(count) nodes in \(zones) zones from \(founders)")
        }
        #expect(growth.distinctTokens == largest * 16)
    }
}
