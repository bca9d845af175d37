/// Who holds which part of all keys, whatever the scheme: arcs of the space of 64-bit hashes, each with its
/// owners. What is measured of a scheme is computed from its layouts alone, so all are measured alike.
package struct Layout: Sendable {
    /// In the place of an owner that there is no node for.
    static let nobody = UInt16.max

    let copies: Int
    /// Where each arc ends, ascending; the last one is `UInt64.max`.
    private(set) var lasts: [UInt64] = []
    /// Of each arc `copies` nodes, by their numbers.
    private(set) var owners: [UInt16] = []

    package init(copies: Int) { self.copies = copies }

    package mutating func reserve(_ arcs: Int) {
        lasts.reserveCapacity(arcs)
        owners.reserveCapacity(arcs * copies)
    }

    package mutating func append(last: UInt64, _ nodes: some Sequence<Int>) {
        lasts.append(last)
        var count = 0
        for node in nodes {
            owners.append(UInt16(node))
            count += 1
        }
        for _ in count..<copies { owners.append(Self.nobody) }
    }

    package var arcs: Int { lasts.count }

    package func owners(of arc: Int) -> ArraySlice<UInt16> { owners[(arc * copies)..<((arc + 1) * copies)] }

    /// The first arc that ends at or after the hash.
    func arc(of hash: UInt64) -> Int {
        var (low, high) = (0, lasts.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if lasts[middle] < hash { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The share of all keys in the hashes from `first` to `last`.
    private static func share(_ first: UInt64, _ last: UInt64) -> Double {
        (Double(last - first) + 1) * 0x1p-64
    }

    /// By node number: how much of all keys each node holds a copy of. They sum to the number of copies.
    package func loads(_ numbers: Int) -> [Double] {
        var loads = [Double](repeating: 0, count: numbers)
        var first: UInt64 = 0
        for arc in lasts.indices {
            let share = Self.share(first, lasts[arc])
            for owner in owners(of: arc) where owner != Self.nobody { loads[Int(owner)] += share }
            first = lasts[arc] &+ 1
        }
        return loads
    }

    /// By node number: how much of all keys each node must be sent when this layout follows on `before`.
    package func received(after before: Layout, _ numbers: Int) -> [Double] {
        var received = [Double](repeating: 0, count: numbers)
        var (old, new) = (0, 0)
        var first: UInt64 = 0
        while new < arcs {
            let last = min(lasts[new], before.lasts[old])
            let held = before.owners(of: old)
            for owner in owners(of: new) where owner != Self.nobody && !held.contains(owner) {
                received[Int(owner)] += Self.share(first, last)
            }
            if before.lasts[old] == last { old += 1 }
            if lasts[new] == last { new += 1 }
            first = last &+ 1
        }
        return received
    }

    /// How many different sets of owners there are: when all nodes of one are lost, data is.
    package var distinctSets: Int {
        var sets: [UInt64] = []
        sets.reserveCapacity(arcs)
        for arc in lasts.indices {
            var set = Array(owners(of: arc))
            set.sort()
            sets.append(set.reduce(0) { $0 << 16 | UInt64($1) })
        }
        sets.sort()
        var count = sets.isEmpty ? 0 : 1
        for (a, b) in zip(sets, sets.dropFirst()) where a != b { count += 1 }
        return count
    }
}

/// How even the loads of some nodes are.
package struct Evenness: Hashable, Sendable {
    /// The fullest node's load over the mean.
    package let maximum: Double
    /// The standard deviation over the mean.
    package let deviation: Double

    package init(_ loads: [Double]) {
        let mean = loads.reduce(0, +) / Double(loads.count)
        maximum = (loads.max() ?? 0) / mean
        let squares = loads.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        deviation = (squares / Double(loads.count)).squareRoot() / mean
    }
}
