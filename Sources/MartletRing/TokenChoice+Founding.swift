import MartletBase

extension TokenChoice {
    /// The tokens of the nodes that found a ring, ascending, in the order of `nodes`: a pure function of the
    /// list, not of its order, so that each node computes them alone and publishes its own.
    ///
    /// All nodes are known at once, so nothing need be searched: the tokens of each zone are evenly spaced,
    /// and the zones' tokens interleaved. Within a zone every node has one token a round; the rounds go
    /// through the nodes in different orders, so that a node shares its ranges with many others, and these
    /// share its load when it fails.
    ///
    /// A node gets fewer than `tokensPerNode` when the nodes together would need more slots than there are.
    package static func founding(
        nodes: [(name: String, zone: String, dataCenter: String)], tokensPerNode: Int,
        replication: ReplicationFactor
    ) -> [[Slot]] {
        invariant(nodes.count <= Limits.nodesMax, "\(nodes.count) nodes found a ring")
        if nodes.isEmpty { return [] }
        let rounds = min(tokensPerNode, Limits.slots / nodes.count)
        let order = nodes.indices.sorted {
            let (a, b) = (nodes[$0], nodes[$1])
            return (a.dataCenter, a.zone, a.name) < (b.dataCenter, b.zone, b.name)
        }
        var numbers = ZoneNumbers()
        var zones: [[Int]] = []
        for node in order {
            let zone = numbers.number(nodes[node].zone, nodes[node].dataCenter)
            if zone == zones.count { zones.append([]) }
            zones[zone].append(node)
        }
        var tokens = [[Slot]](repeating: [], count: nodes.count)
        var slots = FreeSlots()
        for (number, zone) in zones.enumerated() {
            let dataCenter = nodes[zone[0]].dataCenter
            let window = window(of: dataCenter, zones: zones.map { nodes[$0[0]].dataCenter }, replication)
            let turns = turns(nodes: zone.count, rounds: rounds, window: window)
            for (k, turn) in turns.enumerated() {
                // The k-th of the zone's tokens, its zone's part of the way to the next one; a token is a
                // last slot.
                let parts = turns.count * zones.count
                let end = ((k * zones.count + number + 1) * Limits.slots + parts - 1) / parts
                guard let slot = slots.take(notBefore: end - 1) else {
                    invariantBroken("\(nodes.count) times \(rounds) tokens don't fit the ring")
                }
                tokens[zone[turn]].append(slot)
            }
        }
        return tokens.map { $0.sorted() }
    }

    /// The same for one factor over all data centres.
    package static func founding(
        nodes: [(name: String, zone: String, dataCenter: String)], tokensPerNode: Int, replication: Int
    ) -> [[Slot]] {
        founding(nodes: nodes, tokensPerNode: tokensPerNode, replication: .count(replication))
    }

    /// How many consecutive tokens of a zone should be of distinct nodes: as many as the zone has copies of a
    /// slot.
    private static func window(of dataCenter: String, zones: [String], _ replication: ReplicationFactor)
        -> Int
    {
        switch replication {
        case .count(let n): return (n + zones.count - 1) / zones.count
        case .perDataCenter(let list):
            let here = zones.filter { $0 == dataCenter }.count
            return ((list.first { $0.name == dataCenter }?.count ?? 1) + here - 1) / here
        }
    }

    /// A sequence in which every node stands once a round, and any `window` consecutive nodes, around the end
    /// too, are distinct as far as possible. A round goes through the nodes with a step that has no factor in
    /// common with their number. Steps and starts differ from round to round: with one start, and zones of
    /// different sizes, a node would meet the other zones' tokens in the same pattern in each round, and
    /// always lose by it or always win.
    private static func turns(nodes: Int, rounds: Int, window: Int) -> [Int] {
        let steps = (1...max(1, nodes - 1)).filter { greatestCommonDivisor($0, nodes) == 1 }
        let tail = min(window, nodes) - 1
        var turns = Array(0..<nodes)
        for round in 1..<max(1, rounds) {
            let isLast = round == rounds - 1
            // Rounds are whole in themselves: only their last and first few nodes can coincide.
            func fits(_ start: Int, _ step: Int) -> Bool {
                func node(_ i: Int) -> Int { (start + i * step) % nodes }
                return (0..<tail).allSatisfy { i in
                    turns.suffix(tail - i).allSatisfy { $0 != node(i) }
                        && (!isLast || (0..<(tail - i)).allSatisfy { turns[$0] != node(nodes - 1 - i) })
                }
            }
            var chosen = (start: 0, step: 1)
            search: for i in steps.indices {
                let step = steps[(i + round) % steps.count]
                for k in 0..<nodes where fits((k + round) % nodes, step) {
                    chosen = ((k + round) % nodes, step)
                    break search
                }
            }
            turns += (0..<nodes).map { (chosen.start + $0 * chosen.step) % nodes }
        }
        return turns
    }

    private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
        b == 0 ? a : greatestCommonDivisor(b, a % b)
    }
}
