import MartletBase

/// How even rings are that grew, then changed at random, and then were rebalanced: many of one size.
package struct RebalancedResult: Sendable {
    /// How many a ring may have at most, and founded and grown had.
    package let nodes: Int
    package let zones: Int
    /// How many of them.
    package let rings: Int
    /// Of each ring the fullest node's load over what it should hold: after joins alone, after joins and
    /// leaves at random, and after `martlet rebalance`.
    package let grown: Middle
    package let churned: Middle
    package let rebalanced: Middle
    /// What rebalancing moved: percent of all copies, and over what nodes gained on balance.
    package let moved: Middle
    package let overLeast: Middle

    /// The median of some numbers, and the greatest.
    package struct Middle: Hashable, Sendable {
        package let median: Double
        package let worst: Double

        /// Of at least one.
        package init(_ values: [Double]) {
            let sorted = values.sorted()
            invariant(!sorted.isEmpty, "the median of nothing")
            median = sorted[sorted.count / 2]
            worst = sorted[sorted.count - 1]
        }
    }
}

/// Rings of this project's own tokens. A ring grows to its size by joins, each in a zone taken in turn; then
/// twice as many nodes leave or join, as it falls, in zones as it falls; then it is rebalanced.
package struct RebalancedRing {
    private let copies: Int
    private let zones: Int
    private let size: Int
    private var random: Random
    private var tokens: MartletTokens
    private var nodes: [PlacedNode] = []
    private var named = 0

    package static let sizes = [4, 6, 9, 12, 30, 60, 99]

    /// Small rings are the odd ones, and quickly made.
    package static func rings(ofSize size: Int) -> Int { max(5, 300 / size) }

    /// Many of one size. `check` is called before each, and may end it all.
    package static func run(
        size: Int, zones: Int, copies: Int, seed: UInt64, rings: Int,
        check: () throws(Failure) -> Void = {}
    ) throws(Failure) -> RebalancedResult {
        var (grown, churned, rebalanced) = ([Double](), [Double](), [Double]())
        var (moved, overLeast) = ([Double](), [Double]())
        for number in 0..<rings {
            try check()
            var ring = RebalancedRing(
                size: size, zones: zones, copies: copies, seed: seed ^ UInt64(number) << 32)
            ring.grow()
            grown.append(ring.tokens.fullest)
            ring.churn()
            let plan = ring.tokens.rebalance()
            churned.append(plan.before.fullest)
            rebalanced.append(plan.after.fullest)
            moved.append(100 * Double(plan.moved) / Double(max(1, plan.total)))
            if plan.least > 0 { overLeast.append(Double(plan.moved) / Double(plan.least)) }
        }
        return RebalancedResult(
            nodes: size, zones: zones, rings: rings, grown: .init(grown), churned: .init(churned),
            rebalanced: .init(rebalanced), moved: .init(moved),
            overLeast: .init(overLeast.isEmpty ? [1] : overLeast))
    }

    private init(size: Int, zones: Int, copies: Int, seed: UInt64) {
        self.size = size
        self.zones = zones
        self.copies = copies
        random = Random(seed: seed)
        tokens = MartletTokens(copies: copies, tokensPerNode: 16)
    }

    private mutating func grow() {
        nodes = (0..<min(copies, size)).map { PlacedNode(number: $0, zone: $0 % zones) }
        named = nodes.count
        tokens.found(nodes)
        while nodes.count < size { join(zone: named % zones) }
    }

    private mutating func churn() {
        for _ in 0..<(2 * size) {
            if nodes.count > max(copies, size / 2), nodes.count >= size || random.below(2) == 0 {
                tokens.leave(nodes.remove(at: random.below(nodes.count)))
            } else {
                join(zone: random.below(zones))
            }
        }
    }

    private mutating func join(zone: Int) {
        let node = PlacedNode(number: named, zone: zone)
        named += 1
        nodes.append(node)
        tokens.join(node)
    }
}
