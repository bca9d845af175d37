import MartletBase

/// Each node draws its tokens at random from 64 bits (the Dynamo paper's first strategy, Cassandra before its
/// allocator); a key's owners are the next nodes on the ring.
package struct RandomTokens: PlacementScheme {
    private let copies: Int
    private let tokensPerNode: Int
    private var random: Random
    private var nodes: [PlacedNode] = []
    private var tokens: [(position: UInt64, node: PlacedNode)] = []

    package init(copies: Int, tokensPerNode: Int, seed: UInt64) {
        self.copies = copies
        self.tokensPerNode = tokensPerNode
        random = Random(seed: seed)
    }

    package mutating func join(_ node: PlacedNode) {
        nodes.append(node)
        for _ in 0..<tokensPerNode { tokens.append((random.next(), node)) }
    }

    package mutating func leave(_ node: PlacedNode) {
        nodes.removeAll { $0 == node }
        tokens.removeAll { $0.node == node }
    }

    package func layout() -> Layout {
        let ring = tokens.sorted { $0.position < $1.position }
        var layout = Layout(copies: copies)
        layout.reserve(ring.count + 1)
        var walk = RingWalk(ring.map(\.node), copies: copies, nodes)
        for place in ring.indices { layout.append(last: ring[place].position, walk.owners(from: place)) }
        if ring.last?.position != .max { layout.append(last: .max, walk.owners(from: 0)) }
        return layout
    }

    /// Eight bytes a token.
    package var metadataBytes: Int { 8 * tokens.count }
}

/// Preference lists by walking a ring of nodes.
struct RingWalk {
    private let ring: [PlacedNode]
    private var spread: ZoneSpread

    init(_ ring: [PlacedNode], copies: Int, _ nodes: [PlacedNode]) {
        self.ring = ring
        spread = ZoneSpread(copies: copies, among: nodes)
    }

    mutating func owners(from start: Int) -> [Int] {
        spread.begin()
        for passed in ring.indices {
            if spread.isFull { break }
            spread.offer(ring[(start + passed) % ring.count])
        }
        for passed in ring.indices {
            if spread.isFull { break }
            spread.offerRegardless(ring[(start + passed) % ring.count])
        }
        return spread.picks
    }
}
