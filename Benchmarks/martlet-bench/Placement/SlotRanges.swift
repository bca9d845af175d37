import MartletBase

/// Redis Cluster's way: each node is the master of as many slots, in a few ranges, and all of a master's
/// slots have the same replicas. Here each machine runs a master and the replicas of others; who joins or
/// leaves moves as few roles as evenness allows.
package struct SlotRanges: PlacementScheme {
    private let copies: Int
    private var table: PartitionTable
    /// By master: the nodes with its replicas.
    private var replicas: [PlacedNode: [PlacedNode]] = [:]

    package init(copies: Int, seed: UInt64) {
        self.copies = copies
        table = PartitionTable(isRandom: false, seed: seed)
    }

    package mutating func join(_ node: PlacedNode) {
        table.join(node)
        replicas[node] = []
        fill()
        // It takes its share of replicas from the nodes that have most.
        while roles(of: node) < copies - 1, let move = moveToward(node) {
            replicas[move.master]![move.place] = node
        }
    }

    package mutating func leave(_ node: PlacedNode) {
        table.leave(node)
        replicas[node] = nil
        for master in table.nodes { replicas[master]!.removeAll { $0 == node } }
        fill()
    }

    package func layout() -> Layout {
        var layout = Layout(copies: copies)
        layout.reserve(PartitionTable.count)
        for (part, master) in table.ring.enumerated() {
            layout.append(
                last: PartitionTable.last(of: part), [master.number] + replicas[master]!.map(\.number))
        }
        return layout
    }

    /// A bitmap of the slots for each master, as the headers of Redis's cluster bus carry it.
    package var metadataBytes: Int { PartitionTable.count / 8 * table.nodes.count }

    package func lookup() -> (UInt64) -> Int { lookupByPart(layout()) }

    private func roles(of node: PlacedNode) -> Int {
        replicas.values.reduce(0) { $0 + ($1.contains(node) ? 1 : 0) }
    }

    /// Gives every master that lacks replicas the nodes of the zones used least, of these those with fewest
    /// roles.
    private mutating func fill() {
        var counts: [PlacedNode: Int] = [:]
        for list in replicas.values { for node in list { counts[node, default: 0] += 1 } }
        for master in table.nodes {
            while replicas[master]!.count < min(copies, table.nodes.count) - 1 {
                let set = [master] + replicas[master]!
                func rank(_ node: PlacedNode) -> (Int, Int, Int) {
                    (set.count { $0.zone == node.zone }, counts[node] ?? 0, mixedRank(node, master))
                }
                guard
                    let best = table.nodes.filter({ !set.contains($0) }).min(by: { rank($0) < rank($1) })
                else { break }
                replicas[master]!.append(best)
                counts[best, default: 0] += 1
            }
        }
    }

    /// A replica that the node can take over: of the node with most roles that has one, where zones stay as
    /// spread as they were.
    private func moveToward(_ node: PlacedNode) -> (master: PlacedNode, place: Int)? {
        var counts: [PlacedNode: Int] = [:]
        for list in replicas.values { for holder in list { counts[holder, default: 0] += 1 } }
        let own = counts[node] ?? 0
        var best: (master: PlacedNode, place: Int)?
        var most = own + 1
        for master in table.nodes where master != node && !replicas[master]!.contains(node) {
            let set = [master] + replicas[master]!
            for (place, holder) in replicas[master]!.enumerated() where (counts[holder] ?? 0) > most {
                let others = set.filter { $0 != holder }
                let before = others.count { $0.zone == holder.zone }
                if others.count(where: { $0.zone == node.zone }) > before { continue }
                most = counts[holder] ?? 0
                best = (master, place)
            }
        }
        return best
    }

    private func mixedRank(_ node: PlacedNode, _ master: PlacedNode) -> Int {
        Int(mix(UInt64(node.number) << 32 | UInt64(master.number)) >> 1)
    }
}
