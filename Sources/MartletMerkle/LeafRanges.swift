import MartletBase

/// A set of leaves, as sorted ranges that don't touch: what two nodes both own.
package struct LeafRanges: Hashable, Sendable {
    package private(set) var ranges: [ClosedRange<UInt32>] = []

    package init() {}

    /// - Parameter ranges: ascending and apart.
    package init(_ ranges: [ClosedRange<UInt32>]) { for range in ranges { append(range) } }

    package static let all = LeafRanges([0...UInt32(MerkleTree.leavesMax - 1)])

    package var isEmpty: Bool { ranges.isEmpty }
    package var count: Int { ranges.reduce(0) { $0 + $1.count } }

    /// Appends a range behind all others; one that begins where the last one ends becomes part of it.
    package mutating func append(_ range: ClosedRange<UInt32>) {
        guard let last = ranges.last, range.lowerBound <= last.upperBound + 1 else {
            invariant(range.upperBound < UInt32(MerkleTree.leavesMax), "no leaf \(range.upperBound)")
            ranges.append(range)
            return
        }
        invariant(range.lowerBound > last.upperBound, "ranges of leaves are appended in order")
        ranges[ranges.count - 1] = last.lowerBound...range.upperBound
    }

    /// The index of the first range that ends at or after the leaf.
    func firstIndex(endingFrom leaf: UInt32) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < leaf { low = middle + 1 } else { high = middle }
        }
        return low
    }

    package func contains(_ leaf: UInt32) -> Bool {
        let index = firstIndex(endingFrom: leaf)
        return index < ranges.count && ranges[index].contains(leaf)
    }

    package func contains(_ bounds: ClosedRange<UInt32>) -> Bool {
        let index = firstIndex(endingFrom: bounds.lowerBound)
        return index < ranges.count && ranges[index].lowerBound <= bounds.lowerBound
            && bounds.upperBound <= ranges[index].upperBound
    }

    package func overlaps(_ bounds: ClosedRange<UInt32>) -> Bool {
        let index = firstIndex(endingFrom: bounds.lowerBound)
        return index < ranges.count && ranges[index].lowerBound <= bounds.upperBound
    }

    /// Calls the body with each part of these leaves that lies within the bounds.
    func forEach(within bounds: ClosedRange<UInt32>, _ body: (ClosedRange<UInt32>) -> Void) {
        var index = firstIndex(endingFrom: bounds.lowerBound)
        while index < ranges.count, ranges[index].lowerBound <= bounds.upperBound {
            body(ranges[index].clamped(to: bounds))
            index += 1
        }
    }
}
