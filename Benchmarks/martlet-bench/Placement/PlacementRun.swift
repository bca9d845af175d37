import MartletBase

/// What is compared.
package enum PlacementKind: String, CaseIterable, Sendable {
    case martlet = "Martlet"
    case random16 = "random 16"
    case random256 = "random 256"
    case partitions = "partitions"
    case slots = "slots"
    case rendezvous = "rendezvous"
    case jump = "jump"

    package func scheme(copies: Int, seed: UInt64) -> any PlacementScheme {
        switch self {
        case .martlet: MartletTokens(copies: copies, tokensPerNode: 16)
        case .random16: RandomTokens(copies: copies, tokensPerNode: 16, seed: seed)
        case .random256: RandomTokens(copies: copies, tokensPerNode: 256, seed: seed)
        case .partitions: FixedPartitions(copies: copies, seed: seed)
        case .slots: SlotRanges(copies: copies, seed: seed)
        case .rendezvous: Rendezvous(copies: copies)
        case .jump: JumpHash(copies: copies)
        }
    }
}

/// One scheme at one size.
package struct PlacementResult: Sendable {
    package let kind: PlacementKind
    package let nodes: Int
    package let zones: Int
    /// After joins alone; after joins and leaves in turns; after a tenth of the nodes was lost for good.
    package let grown: Evenness
    package let churned: Evenness
    package let failed: Evenness
    /// What is sent when one more joins, over what it then holds; when one leaves, over what it held.
    package let joinMoves: Double
    package let leaveMoves: Double
    /// What the joiner then holds, over an even share.
    package let joinerShare: Double
    /// How many nodes take over from a leaver.
    package let receivers: Double
    package let distinctSets: Int
    /// That losing as many nodes as there are copies, any of them, loses data.
    package let lossChance: Double
    package let metadataBytes: Int
    package let lookupNanoseconds: Double
}

/// Grows clusters node by node and measures them on the way.
package struct PlacementRun {
    /// Leavers tried at each size, each from the same cluster.
    private static let leavers = 3
    /// Joins and leaves in turns, of each at most so many.
    private static let churnsMax = 64

    let copies: Int
    let seed: UInt64
    let timesLookups: Bool

    package init(copies: Int, seed: UInt64, timesLookups: Bool) {
        self.copies = copies
        self.seed = seed
        self.timesLookups = timesLookups
    }

    /// The sizes ascend. `check` is called before each join, and may end it all.
    package func run(
        _ kind: PlacementKind, zones: Int, sizes: [Int], check: () throws(Failure) -> Void = {},
        tell: (PlacementResult) throws(Failure) -> Void
    ) throws(Failure) {
        var scheme = kind.scheme(copies: copies, seed: seed)
        let founders = min(copies, sizes[0])
        var nodes = (0..<founders).map { PlacedNode(number: $0, zone: $0 % zones) }
        scheme.found(nodes)
        for size in sizes {
            while nodes.count < size {
                try check()
                let node = PlacedNode(number: nodes.count, zone: nodes.count % zones)
                nodes.append(node)
                scheme.join(node)
            }
            try check()
            try tell(measure(kind, scheme, nodes, zones))
        }
    }

    private func measure(
        _ kind: PlacementKind, _ scheme: any PlacementScheme, _ nodes: [PlacedNode], _ zones: Int
    ) -> PlacementResult {
        var random = Random(seed: seed ^ UInt64(nodes.count))
        let layout = scheme.layout()
        let (join, joinerShare) = join(scheme, layout, nodes, zones)
        let leaves = nodes.count > copies ? leave(scheme, layout, nodes, &random) : (1, 0)
        let sets = layout.distinctSets
        return PlacementResult(
            kind: kind, nodes: nodes.count, zones: zones,
            grown: Self.evenness(layout, nodes),
            churned: churned(scheme, nodes, &random), failed: failed(scheme, nodes, &random),
            joinMoves: join, leaveMoves: leaves.0, joinerShare: joinerShare, receivers: leaves.1,
            distinctSets: sets, lossChance: Double(sets) / Self.choices(nodes.count, copies),
            metadataBytes: scheme.metadataBytes, lookupNanoseconds: timesLookups ? Self.time(scheme) : 0)
    }

    private static func evenness(_ layout: Layout, _ nodes: [PlacedNode]) -> Evenness {
        let loads = layout.loads((nodes.map(\.number).max() ?? 0) + 1)
        return Evenness(nodes.map { loads[$0.number] })
    }

    private func join(
        _ scheme: any PlacementScheme, _ before: Layout, _ nodes: [PlacedNode], _ zones: Int
    ) -> (moves: Double, share: Double) {
        var scheme = scheme
        let joiner = PlacedNode(number: nodes.count, zone: nodes.count % zones)
        scheme.join(joiner)
        let after = scheme.layout()
        let sent = after.received(after: before, nodes.count + 1).reduce(0, +)
        let held = after.loads(nodes.count + 1)[joiner.number]
        return (sent / held, held * Double(nodes.count + 1) / Double(copies))
    }

    private func leave(
        _ scheme: any PlacementScheme, _ before: Layout, _ nodes: [PlacedNode], _ random: inout Random
    ) -> (moves: Double, receivers: Double) {
        let loads = before.loads(nodes.count)
        var (moves, receivers) = (0.0, 0.0)
        for _ in 0..<Self.leavers {
            var scheme = scheme
            let leaver = nodes[random.below(nodes.count)]
            scheme.leave(leaver)
            let received = scheme.layout().received(after: before, nodes.count)
            moves += received.reduce(0, +) / loads[leaver.number]
            receivers += Double(received.count { $0 > 0 })
        }
        return (moves / Double(Self.leavers), receivers / Double(Self.leavers))
    }

    /// Leaves and joins in turns; who joins is of the leaver's zone, so that the zones stay as large.
    private func churned(
        _ scheme: any PlacementScheme, _ nodes: [PlacedNode], _ random: inout Random
    ) -> Evenness {
        var (scheme, nodes) = (scheme, nodes)
        for turn in 0..<min(nodes.count, Self.churnsMax) {
            let place = random.below(nodes.count)
            let leaver = nodes[place]
            let number = nodes.count + turn
            scheme.leave(leaver)
            nodes[place] = PlacedNode(number: number, zone: leaver.zone)
            scheme.join(nodes[place])
        }
        return Self.evenness(scheme.layout(), nodes)
    }

    /// A tenth of the nodes fails and is removed, one after the other, and none replaces them.
    private func failed(
        _ scheme: any PlacementScheme, _ nodes: [PlacedNode], _ random: inout Random
    ) -> Evenness {
        var (scheme, nodes) = (scheme, nodes)
        for _ in 0..<((nodes.count + 9) / 10) where nodes.count > copies {
            scheme.leave(nodes.remove(at: random.below(nodes.count)))
        }
        return Self.evenness(scheme.layout(), nodes)
    }

    /// In how many ways so many can be picked.
    package static func choices(_ nodes: Int, _ picked: Int) -> Double {
        (0..<min(picked, nodes)).reduce(1) { $0 * Double(nodes - $1) / Double($1 + 1) }
    }

    /// The best of five rounds: other work on the machine only ever adds.
    private static func time(_ scheme: any PlacementScheme) -> Double {
        let lookup = scheme.lookup()
        let keys = (0..<4_096).map { mix(UInt64($0) | 1 << 40) }
        var best = Double.infinity
        var sum = 0
        for _ in 0..<5 {
            let began = monotonicNow()
            for key in keys { sum &+= lookup(key) }
            best = min(best, Double((monotonicNow() - began).nanoseconds) / Double(keys.count))
        }
        invariant(sum >= 0, "the sum keeps the look-ups from being left out")
        return best
    }
}
