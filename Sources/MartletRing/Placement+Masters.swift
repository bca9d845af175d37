import MartletBase

/// In which order the owners of each range are its *master*: the one node that a Redis Cluster shows for a
/// slot. Owners are peers, so the choice is free, and made to even out what the clients of a cluster send:
///
///     place 0: the owner with the least slots so far, largest ranges first; then ranges move from their
///              master to another owner for as long as that evens the two out
///     place k: the owner with the least, counting what else it takes over from the same node of place k - 1
///
/// The master of a range is the first node of its order that lives. So when a node dies only its own slots
/// move, spread over all that share ranges with it, and when it returns they come back; and as the order is a
/// function of the placement alone, all nodes that see one ring and the same nodes alive show the same
/// masters, whatever happened before.
///
/// Costs O(ranges x owners), some 10 ms for 1,000 nodes: once a placement. Choosing the live ones from it is
/// a walk over the ranges, once a change of liveness.
package struct MasterPreference: Sendable {
    private let placement: Placement
    /// Of each range of the placement.
    private let orders: [Owners]

    /// Ranges move at most so often between their owners; it takes three or four passes.
    private static let passesMax = 16

    package init(_ placement: Placement) {
        self.placement = placement
        let ranges = placement.ranges
        // Largest first, and at one size as they stand on the ring.
        let largestFirst = ranges.indices.sorted { (ranges[$1].count, $0) < (ranges[$0].count, $1) }
        var slots = [Int](repeating: 0, count: placement.members.count)
        var orders = ranges.map { _ in Owners() }
        for range in largestFirst {
            let owners = ranges[range].owners
            guard let master = owners.array.min(by: { slots[$0] < slots[$1] }) else { continue }
            slots[master] += ranges[range].count
            orders[range].append(master)
        }
        Self.evenOut(ranges, largestFirst, &orders, &slots)
        Self.addSuccessors(ranges, largestFirst, &orders, slots)
        self.orders = orders
    }

    private static func evenOut(
        _ ranges: [SlotRange], _ largestFirst: [Int], _ orders: inout [Owners], _ slots: inout [Int]
    ) {
        for _ in 0..<passesMax {
            var hasMoved = false
            for range in largestFirst where !orders[range].isEmpty {
                let (master, count) = (orders[range][0], ranges[range].count)
                guard let other = ranges[range].owners.array.min(by: { slots[$0] < slots[$1] }),
                    slots[other] + count < slots[master]
                else { continue }
                slots[master] -= count
                slots[other] += count
                orders[range] = Owners([other])
                hasMoved = true
            }
            if !hasMoved { return }
        }
    }

    private static func addSuccessors(
        _ ranges: [SlotRange], _ largestFirst: [Int], _ orders: inout [Owners], _ slots: [Int]
    ) {
        let places = ranges.map(\.owners.count).max() ?? 0
        for place in 1..<max(1, places) {
            // What each node takes over from each other one: few of all pairs share ranges.
            var taken: [UInt32: Int] = [:]
            for range in largestFirst where ranges[range].owners.count > place {
                let order = orders[range]
                let former = UInt32(order[place - 1]) << 16
                func load(_ ordinal: Int) -> Int {
                    slots[ordinal] + taken[former | UInt32(ordinal), default: 0]
                }
                let rest = ranges[range].owners.array.filter { !order.contains($0) }
                guard let next = rest.min(by: { load($0) < load($1) }) else { continue }
                taken[former | UInt32(next), default: 0] += ranges[range].count
                orders[range].append(next)
            }
        }
    }

    /// The masters among the members for which `isLive` holds.
    package func masters(isLive: (Int) -> Bool) -> SlotMasters {
        let live = placement.members.indices.map(isLive)
        var masters: [SlotMasters.Range] = []
        for (range, order) in zip(placement.ranges, orders) where !order.isEmpty {
            let alive = order.array.first { live[$0] }
            // Nobody else has what the slot holds: clients hear of its first owner's death from the node that
            // they ask, not from a node that answers in its name.
            let master = alive ?? range.owners[0]
            if let last = masters.last, last.master == master, last.isLive == (alive != nil) {
                masters[masters.count - 1].last = range.last
            } else {
                masters.append(
                    SlotMasters.Range(
                        first: range.first, last: range.last, master: master, isLive: alive != nil))
            }
        }
        return SlotMasters(ranges: masters)
    }
}

/// The master of each slot: a live owner, or the first owner of a slot whose owners are all dead.
package struct SlotMasters: Hashable, Sendable {
    /// Consecutive slots with one master.
    package struct Range: Hashable, Sendable {
        package var first: Slot
        package var last: Slot
        /// An ordinal of the placement.
        package var master: Int
        package var isLive: Bool

        package var count: Int { Int(last.index) - Int(first.index) + 1 }
        /// The tokens of its slots.
        package var tokens: ClosedRange<Token> {
            Token.bounds(of: first).lowerBound...Token.bounds(of: last).upperBound
        }
    }

    /// Ascending; they cover every slot, unless nobody owns any.
    package let ranges: [Range]

    package func ranges(of ordinal: Int) -> [Range] { ranges.filter { $0.master == ordinal } }

    package func master(of slot: Slot) -> Int? {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].last < slot { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count ? ranges[low].master : nil
    }

    package func slotCount(of ordinal: Int) -> Int {
        ranges.reduce(0) { $0 + ($1.master == ordinal ? $1.count : 0) }
    }
}
