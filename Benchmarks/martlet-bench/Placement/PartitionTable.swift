import MartletBase

/// Equal parts of the hash space, each given to one node, and as many to each node as to another: what a
/// joiner takes comes from those that have most, what a leaver gives goes to those that have least.
struct PartitionTable {
    static let count = 16_384

    /// Whether nodes give parts at random, or the last of theirs, so that what they keep is contiguous.
    private let isRandom: Bool
    private var random: Random
    private(set) var nodes: [PlacedNode] = []
    private var parts: [[Int]] = []

    init(isRandom: Bool, seed: UInt64) {
        self.isRandom = isRandom
        random = Random(seed: seed)
    }

    mutating func join(_ node: PlacedNode) {
        nodes.append(node)
        parts.append([])
        let own = parts.count - 1
        if own == 0 {
            parts[0] = Array(0..<Self.count)
            return
        }
        for _ in 0..<(Self.count / parts.count) {
            let giver = parts.indices.dropLast().max { parts[$0].count < parts[$1].count } ?? 0
            if isRandom {
                parts[giver].swapAt(random.below(parts[giver].count), parts[giver].count - 1)
            }
            parts[own].append(parts[giver].removeLast())
        }
    }

    mutating func leave(_ node: PlacedNode) {
        guard let place = nodes.firstIndex(of: node) else { invariantBroken("only a member can leave") }
        nodes.remove(at: place)
        var left = parts.remove(at: place)
        if isRandom { random.shuffle(&left) }
        for part in left {
            let least = parts.map(\.count).min() ?? 0
            let takers = parts.indices.filter { parts[$0].count == least }
            parts[isRandom ? takers[random.below(takers.count)] : takers[0]].append(part)
        }
    }

    /// Each part's node.
    var ring: [PlacedNode] {
        var ring = [PlacedNode](repeating: PlacedNode(number: 0, zone: 0), count: Self.count)
        for (node, parts) in zip(nodes, parts) { for part in parts { ring[part] = node } }
        return ring
    }

    static func last(of part: Int) -> UInt64 { UInt64(part + 1) << 50 &- 1 }
}

/// The Dynamo paper's third strategy (section 6.2): partitions of equal size, as many for each node, given
/// and taken at random; a key's owners are the nodes of its partition and of those that follow.
package struct FixedPartitions: PlacementScheme {
    private let copies: Int
    private var table: PartitionTable

    package init(copies: Int, seed: UInt64) {
        self.copies = copies
        table = PartitionTable(isRandom: true, seed: seed)
    }

    package mutating func join(_ node: PlacedNode) { table.join(node) }
    package mutating func leave(_ node: PlacedNode) { table.leave(node) }

    package func layout() -> Layout {
        var layout = Layout(copies: copies)
        layout.reserve(PartitionTable.count)
        var walk = RingWalk(table.ring, copies: copies, table.nodes)
        for part in 0..<PartitionTable.count {
            layout.append(last: PartitionTable.last(of: part), walk.owners(from: part))
        }
        return layout
    }

    /// Two bytes a partition.
    package var metadataBytes: Int { 2 * PartitionTable.count }

    package func lookup() -> (UInt64) -> Int { lookupByPart(layout()) }
}

/// Reads a table of 16,384 lists by the hash's first 14 bits.
func lookupByPart(_ layout: Layout) -> (UInt64) -> Int {
    { hash in layout.owners(of: Int(hash >> 50)).reduce(0) { max($0, Int($1)) } }
}
