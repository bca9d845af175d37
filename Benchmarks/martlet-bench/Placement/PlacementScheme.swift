import MartletBase

/// A node as placement sees it. Its number is never given again.
package struct PlacedNode: Hashable, Sendable {
    package let number: Int
    package let zone: Int

    package init(number: Int, zone: Int) {
        self.number = number
        self.zone = zone
    }
}

/// A way to decide which nodes hold a key.
package protocol PlacementScheme {
    /// With the first nodes, all known at once.
    mutating func found(_ nodes: [PlacedNode])
    mutating func join(_ node: PlacedNode)
    mutating func leave(_ node: PlacedNode)
    func layout() -> Layout
    /// What all nodes must hold alike, beside the list of nodes with their zones.
    var metadataBytes: Int { get }
    /// From a key's hash to its owners, prepared as a running node would have it. Gives the first owner.
    func lookup() -> (UInt64) -> Int
}

extension PlacementScheme {
    package mutating func found(_ nodes: [PlacedNode]) { for node in nodes { join(node) } }

    package func lookup() -> (UInt64) -> Int {
        let layout = layout()
        return { hash in layout.owners(of: layout.arc(of: hash)).reduce(0) { max($0, Int($1)) } }
    }
}

/// Picks the owners of one key among nodes that come in an order of preference, so that each zone gives as
/// many as another, the first zones one more where the copies don't divide: the rule of Martlet's preference
/// lists, here for every scheme.
package struct ZoneSpread {
    private let perZone: Int
    private let extraZones: Int
    private let count: Int
    private var extraLeft = 0
    private var taken: [Int]
    /// The nodes picked so far.
    package private(set) var picks: [Int] = []

    package init(copies: Int, among nodes: [PlacedNode]) {
        let zones = Set(nodes.map(\.zone)).count
        count = min(copies, nodes.count)
        perZone = zones == 0 ? 0 : copies / zones
        extraZones = zones == 0 ? 0 : copies % zones
        taken = Array(repeating: 0, count: (nodes.map(\.zone).max() ?? 0) + 1)
    }

    package var isFull: Bool { picks.count == count }

    package mutating func begin() {
        picks.removeAll(keepingCapacity: true)
        for zone in taken.indices { taken[zone] = 0 }
        extraLeft = extraZones
    }

    /// Takes the node if it is new and its zone has room.
    package mutating func offer(_ node: PlacedNode) {
        if isFull || taken[node.zone] > perZone || picks.contains(node.number) { return }
        if taken[node.zone] == perZone {
            if extraLeft == 0 { return }
            extraLeft -= 1
        }
        taken[node.zone] += 1
        picks.append(node.number)
    }

    /// Takes the node if it is new: for what zones with too few nodes leave.
    package mutating func offerRegardless(_ node: PlacedNode) {
        if !isFull, !picks.contains(node.number) { picks.append(node.number) }
    }
}

/// One number well mixed (SplitMix64's last steps): the hash of schemes that hash for themselves.
@inline(__always) func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
}
