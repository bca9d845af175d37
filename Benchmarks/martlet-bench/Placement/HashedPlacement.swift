import MartletBase

/// Keys stand for all keys where a scheme decides for each by itself.
enum SampledKeys {
    static let count = 1 << 20

    static func layout(copies: Int, _ owners: (UInt64) -> [Int]) -> Layout {
        var layout = Layout(copies: copies)
        layout.reserve(count)
        for key in 0..<count {
            layout.append(last: UInt64(key + 1) << 44 &- 1, owners(mix(UInt64(key))))
        }
        return layout
    }
}

/// Highest random weight (Thaler, Ravishankar, 1998): each node's score for a key is a hash of both, and the
/// owners are the nodes with the highest.
package struct Rendezvous: PlacementScheme {
    private let copies: Int
    private var nodes: [PlacedNode] = []

    package init(copies: Int) { self.copies = copies }

    package mutating func join(_ node: PlacedNode) { nodes.append(node) }
    package mutating func leave(_ node: PlacedNode) { nodes.removeAll { $0 == node } }

    package func layout() -> Layout {
        var scores = Scores(copies: copies, nodes)
        return SampledKeys.layout(copies: copies) { scores.owners(of: $0) }
    }

    package var metadataBytes: Int { 0 }

    package func lookup() -> (UInt64) -> Int {
        var scores = Scores(copies: copies, nodes)
        return { scores.owners(of: $0).reduce(0, max) }
    }

    /// The best few of each zone, in order, of which the owners are picked.
    private struct Scores {
        private let copies: Int
        private let nodes: [PlacedNode]
        private let seeds: [UInt64]
        private var spread: ZoneSpread
        private var best: [(score: UInt64, place: Int)]
        private var counts: [Int]
        private var order: [(score: UInt64, place: Int)] = []

        init(copies: Int, _ nodes: [PlacedNode]) {
            self.copies = copies
            self.nodes = nodes
            seeds = nodes.map { mix(UInt64($0.number) &+ 1 << 32) }
            spread = ZoneSpread(copies: copies, among: nodes)
            let zones = (nodes.map(\.zone).max() ?? 0) + 1
            best = Array(repeating: (0, 0), count: zones * copies)
            counts = Array(repeating: 0, count: zones)
        }

        mutating func owners(of key: UInt64) -> [Int] {
            for zone in counts.indices { counts[zone] = 0 }
            for place in nodes.indices { consider(mix(key ^ seeds[place]), place) }
            order.removeAll(keepingCapacity: true)
            for zone in counts.indices {
                order += best[(zone * copies)..<(zone * copies + counts[zone])]
            }
            order.sort { $0.score > $1.score }
            spread.begin()
            for each in order { spread.offer(nodes[each.place]) }
            for each in order { spread.offerRegardless(nodes[each.place]) }
            return spread.picks
        }

        @inline(__always) private mutating func consider(_ score: UInt64, _ place: Int) {
            let zone = nodes[place].zone
            let base = zone * copies
            var rank = counts[zone]
            if rank == copies {
                if best[base + rank - 1].score >= score { return }
                rank -= 1
            } else {
                counts[zone] += 1
            }
            while rank > 0, best[base + rank - 1].score < score {
                best[base + rank] = best[base + rank - 1]
                rank -= 1
            }
            best[base + rank] = (score, place)
        }
    }
}

/// Jump consistent hashing (Lamping, Veach: "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014). Nodes
/// have numbers without gaps, so the last one takes the place of one that leaves. Further owners come from
/// further hashes of the key.
package struct JumpHash: PlacementScheme {
    /// Hashes tried before zones, then chance, are given up on.
    private static let triesMax = 128

    private let copies: Int
    private var nodes: [PlacedNode] = []

    package init(copies: Int) { self.copies = copies }

    package mutating func join(_ node: PlacedNode) { nodes.append(node) }

    package mutating func leave(_ node: PlacedNode) {
        guard let place = nodes.firstIndex(of: node) else { invariantBroken("only a member can leave") }
        nodes.swapAt(place, nodes.count - 1)
        nodes.removeLast()
    }

    package func layout() -> Layout {
        var spread = ZoneSpread(copies: copies, among: nodes)
        return SampledKeys.layout(copies: copies) { Self.owners(of: $0, nodes, &spread) }
    }

    package var metadataBytes: Int { 0 }

    package func lookup() -> (UInt64) -> Int {
        var spread = ZoneSpread(copies: copies, among: nodes)
        return { [nodes] in Self.owners(of: $0, nodes, &spread).reduce(0, max) }
    }

    private static func owners(
        of key: UInt64, _ nodes: [PlacedNode], _ spread: inout ZoneSpread
    ) -> [Int] {
        spread.begin()
        var hash = key
        for _ in 0..<triesMax {
            if spread.isFull { break }
            spread.offer(nodes[bucket(hash, nodes.count)])
            hash = mix(hash)
        }
        for node in nodes {
            if spread.isFull { break }
            spread.offerRegardless(node)
        }
        return spread.picks
    }

    /// The paper's function.
    package static func bucket(_ key: UInt64, _ count: Int) -> Int {
        var key = key
        var (before, next) = (-1, 0)
        while next < count {
            before = next
            key = key &* 2_862_933_555_777_941_757 &+ 1
            next = Int(Double(before + 1) * (Double(1 << 31) / Double((key >> 33) + 1)))
        }
        return before
    }
}
