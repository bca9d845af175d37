import MartletBase

/// How even a ring is: *loads* are the slots that nodes hold a copy of, one keyspace's.
package struct RingBalance: Hashable, Sendable {
    /// One zone of one data centre.
    package struct Zone: Hashable, Sendable {
        package let dataCenter: String
        package let zone: String
        package let nodes: Int
        /// The fullest node's load, of the mean in the zone.
        package let fullest: Double
    }

    /// The greatest ratio of a node's load to what it should hold (`RingBalance.targets`); 1 is even.
    package let fullest: Double
    /// Which node that is; nil of a ring of none.
    package let node: String?
    /// By data centre and name.
    package let zones: [Zone]
    /// How many different sets of nodes hold the copies of some slot: the fewer there are, the less likely it
    /// is that nodes lost at random are all that held one.
    package let replicaSets: Int

    /// Of the owners as they are, before the change in hand.
    package init(_ placement: Placement) {
        let members = placement.members
        let loads = members.indices.map { placement.ownsFraction($0) * Double(Limits.slots) }
        let targets = Self.targets(members, placement.keyspace.replication)
        let ratios = members.indices.map { targets[$0] > 0 ? loads[$0] / targets[$0] : 0 }
        let top = members.indices.filter { members[$0].isPlaced }.max { ratios[$0] < ratios[$1] }
        fullest = top.map { ratios[$0] } ?? 1
        node = top.map { members[$0].name }
        let groups = Dictionary(grouping: members.indices.filter { members[$0].isPlaced }) {
            [members[$0].dataCenter, members[$0].zone]
        }
        zones = groups.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { key, places in
            let sum = places.reduce(0) { $0 + loads[$1] }
            let most = places.map { loads[$0] }.max() ?? 0
            return Zone(
                dataCenter: key[0], zone: key[1], nodes: places.count,
                fullest: sum > 0 ? most * Double(places.count) / sum : 1)
        }
        replicaSets = Set(placement.ranges.map { $0.owners.array.sorted() }).count
    }

    /// How many slots each node should hold a copy of, as far as the zones allow (`TokenModel`); 0 of a node
    /// that owns nothing.
    static func targets(_ members: [RingEntry], _ replication: ReplicationFactor) -> [Double] {
        var targets = [Double](repeating: 0, count: members.count)
        func spread(_ copies: Int, over places: [Int]) {
            guard !places.isEmpty else { return }
            var numbers = ZoneNumbers()
            let zones = places.map { numbers.number(members[$0].zone, members[$0].dataCenter) }
            var sizes = [Int](repeating: 0, count: numbers.count)
            for zone in zones { sizes[zone] += 1 }
            let copiesOfZones = TokenModel.copiesOfZones(copies: copies, sizes: sizes)
            for (place, zone) in zip(places, zones) {
                targets[place] = copiesOfZones[zone] * Double(Limits.slots) / Double(sizes[zone])
            }
        }
        let placed = members.indices.filter { members[$0].isPlaced }
        switch replication {
        case .count(let copies): spread(copies, over: placed)
        case .perDataCenter(let list):
            for each in list {
                spread(each.count, over: placed.filter { members[$0].dataCenter == each.name })
            }
        }
        return targets
    }
}
