import MartletBase
import MartletRing

/// This project's own: the ring, the token choice and the preference lists that nodes run.
package struct MartletTokens: PlacementScheme {
    private let copies: Int
    private let tokensPerNode: Int
    private var entries: [RingEntry] = []
    private var numbers: [NodeID: Int] = [:]

    package init(copies: Int, tokensPerNode: Int) {
        self.copies = copies
        self.tokensPerNode = tokensPerNode
    }

    package mutating func found(_ nodes: [PlacedNode]) {
        let tokens = TokenChoice.founding(
            nodes: nodes.map { (Self.name($0.number), Self.name($0.zone), "default") },
            tokensPerNode: tokensPerNode, replication: copies)
        for (node, tokens) in zip(nodes, tokens) { add(node, tokens) }
    }

    package mutating func join(_ node: PlacedNode) {
        let joiner = (id: Self.id(node.number), zone: Self.name(node.zone), dataCenter: "default")
        add(
            node,
            TokenChoice.choose(count: tokensPerNode, for: joiner, in: ring, replication: copies))
    }

    package mutating func leave(_ node: PlacedNode) {
        let id = Self.id(node.number)
        entries.removeAll { $0.id == id }
    }

    /// Moves tokens as `martlet rebalance` does.
    package mutating func rebalance() -> RingChangePlan {
        let moves = Rebalance.choose(in: ring, replication: .count(copies))
        let plan = RingChangePlan(from: ring, .move(moves), keyspaces: [keyspace])
        entries = ring.fulfilling(.move(moves)).entries
        return plan
    }

    /// The fullest node's load over what it should hold, as far as the zones allow.
    package var fullest: Double { RingBalance(placement).fullest }

    package func layout() -> Layout {
        let placement = placement
        var layout = Layout(copies: copies)
        layout.reserve(placement.ranges.count)
        let numbers = placement.members.map { self.numbers[$0.id]! }
        for range in placement.ranges {
            layout.append(
                last: Token.bounds(of: range.last).upperBound.value,
                range.owners.indices.map { numbers[range.owners[$0]] })
        }
        return layout
    }

    /// Two bytes a token.
    package var metadataBytes: Int { entries.reduce(0) { $0 + 2 * $1.tokens.count } }

    package func lookup() -> (UInt64) -> Int {
        let placement = placement
        return { hash in
            let owners = placement.owners(of: Token(value: hash).slot)
            return owners.indices.reduce(0) { max($0, owners[$1]) }
        }
    }

    private mutating func add(_ node: PlacedNode, _ tokens: [Slot]) {
        let id = Self.id(node.number)
        numbers[id] = node.number
        entries.append(
            RingEntry(
                id: id, incarnation: 1, name: Self.name(node.number),
                address: IPAddress(v4: 10, 0, UInt8(node.number >> 8 & 255), UInt8(node.number & 255)),
                ports: NodePorts(peers: 7_600, redis: 0, redisCluster: 0, http: 0),
                zone: Self.name(node.zone), tokens: tokens, state: .normal, version: Version.text))
    }

    private var ring: Ring {
        do { return try Ring(entries) } catch { invariantBroken("\(error)") }
    }

    private var placement: Placement {
        Placement(ring: ring, keyspace: keyspace)
    }

    private var keyspace: KeyspaceDefinition {
        KeyspaceDefinition(id: 0, name: "default", stamp: 0, replication: .count(copies))
    }

    private static func name(_ number: Int) -> String { "n\(number)" }

    private static func id(_ number: Int) -> NodeID {
        let mixed = mix(UInt64(number))
        return NodeID(short: mixed, middle: mixed, low: 0)
    }
}
