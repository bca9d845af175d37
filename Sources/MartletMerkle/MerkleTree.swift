import MartletBase

/// What a node holds of one keyspace, summed up so that two nodes find where they differ without listing
/// their keys (Merkle, 1987; Dynamo paper, section 4.7).
///
/// **Shape.** Fixed, over the token space, whatever the ring: 262,144 leaves, the top 18 bits of a token,
/// under four levels.
///
///     root ── 64 ── 1,024 ── 16,384 (the slots) ── 262,144 (the leaves)
///
/// Sixteen children a node below the first level, not 64: a node that differs costs its children's digests
/// on the wire, and three times 16 of them are fewer than twice 64.
///
/// **Sums.** A leaf's sum is the wrapping sum of XXH3 over its (key, record digest) pairs, so the order in
/// which they are met makes no difference, and an inner sum is the sum of the leaves below it. So a sum over
/// just the leaves that two nodes both own is as cheap as one over all.
///
/// **Dirty leaves.** A write only sets its leaf's bit. The bit is cleared when the rescan of the leaf is
/// asked for, of a storage that shows it every write asked for before. So a leaf that is clean, and whose
/// rescan has ended, has the sum of what was written when it was asked for; and a leaf that was clean at some
/// time has, whatever happens later, the sum of what was written at that time, or later.
///
/// **Purgeable leaves.** A purge floor that rises changes what a leaf's sum covers only where something in it
/// can come to lie behind a floor: a tombstone, or a value that expires. Rescans learn which leaves these
/// are, so a floor makes no other leaf dirty. A bit may be set where nothing is, never the other way round:
/// it is set when the rescan of the leaf is asked for, and what the rescan finds counts when it has ended. A
/// write needn't set it: it makes its leaf dirty, and a dirty leaf is rescanned whatever its bit says.
///
/// **Restarts.** A clean stop writes down what is known of the leaves (`MerkleTree.write`); whether a start
/// may believe it is for the node to say (`TreeCheckpoint`).
///
/// Deviations from the papers: sums in place of hashes of hashes, which an adversary with write access could
/// bring to collide, and chance can't; rescans in place of updates, so that writes stay blind.
package struct MerkleTree: Sendable {
    package static let leavesMax = 16 * Limits.slots
    /// Nodes by level: 0 has the root's children, 3 the leaves.
    package static let levels = 4
    package static let leafLevel = levels - 1
    /// Children of a node below the first level.
    package static let fanOut = 16
    package static let rootChildren = 64

    /// The bits of a token below those that name its leaf.
    package static let tokenBits: UInt64 = 46

    /// The tokens of a leaf.
    package static func tokens(of leaf: UInt32) -> ClosedRange<UInt64> {
        UInt64(leaf) << tokenBits...(UInt64(leaf) << tokenBits | (1 << tokenBits - 1))
    }

    package static func tokens(of leaves: ClosedRange<UInt32>) -> ClosedRange<UInt64> {
        tokens(of: leaves.lowerBound).lowerBound...tokens(of: leaves.upperBound).upperBound
    }

    /// The leaves in which tokens lie.
    package static func leaves(of tokens: ClosedRange<UInt64>) -> ClosedRange<UInt32> {
        UInt32(
            truncatingIfNeeded: tokens.lowerBound >> tokenBits)...UInt32(
                truncatingIfNeeded: tokens.upperBound >> tokenBits)
    }

    package static func leafCount(in ranges: some Sequence<ClosedRange<UInt64>>) -> Int {
        ranges.reduce(0) { $0 + leaves(of: $1).count }
    }

    private static let wordsMax = leavesMax / 64
    /// The sums of this many leaves are allocated together when one of them isn't zero: a node of level 1.
    private static let blockLeaves = 256
    private static let blocksMax = leavesMax / blockLeaves

    /// Leaves whose sum may be out of date; empty until one is written or asked for.
    private var dirty: ContiguousArray<UInt64>
    package private(set) var dirtyCount: Int
    /// Leaves that may hold what a purge floor can hide, of those that aren't dirty.
    private var purgeable: ContiguousArray<UInt64>
    private var blocks: [ContiguousArray<UInt64>]
    private var blockSums: [UInt64]

    /// - Parameter isDirty: whether nothing is known of the leaves; else all are empty.
    package init(isDirty: Bool) {
        dirty = ContiguousArray(repeating: isDirty ? .max : 0, count: Self.wordsMax)
        dirtyCount = isDirty ? Self.leavesMax : 0
        purgeable = ContiguousArray(repeating: 0, count: Self.wordsMax)
        blocks = Array(repeating: [], count: Self.blocksMax)
        blockSums = Array(repeating: 0, count: Self.blocksMax)
    }

    package static func nodes(of level: Int) -> Int { rootChildren << (4 * level) }

    /// The leaves below a node.
    package static func leaves(of node: UInt32, level: Int) -> ClosedRange<UInt32> {
        let shift = UInt32(4 * (leafLevel - level))
        return node << shift...(node << shift | (1 << shift - 1))
    }

    // MARK: Dirty leaves

    /// A record of the leaf is about to be written.
    @inline(__always)
    package mutating func mark(_ leaf: UInt32) {
        let (word, bit) = (Int(leaf >> 6), UInt64(1) << UInt64(leaf & 63))
        guard dirty[word] & bit == 0 else { return }
        dirty[word] |= bit
        dirtyCount += 1
    }

    /// What is known of the leaves is out of date: the horizon has moved, or records were deleted.
    package mutating func mark(_ leaves: ClosedRange<UInt32>) {
        for word in Self.words(of: leaves) {
            let missing = Self.mask(word, leaves) & ~dirty[word]
            dirty[word] |= missing
            dirtyCount += missing.nonzeroBitCount
        }
    }

    /// The words of bits that hold a range's leaves, and the bits of one of them that are in the range.
    private static func words(of leaves: ClosedRange<UInt32>) -> ClosedRange<Int> {
        Int(leaves.lowerBound >> 6)...Int(leaves.upperBound >> 6)
    }

    private static func mask(_ word: Int, _ leaves: ClosedRange<UInt32>) -> UInt64 {
        var mask = UInt64.max
        if word == Int(leaves.lowerBound >> 6) { mask &= .max << UInt64(leaves.lowerBound & 63) }
        if word == Int(leaves.upperBound >> 6) { mask &= .max >> UInt64(63 - (leaves.upperBound & 63)) }
        return mask
    }

    /// The purge floor of these leaves has risen.
    package mutating func markPurgeable(_ leaves: ClosedRange<UInt32>) {
        for word in Self.words(of: leaves) {
            let new = purgeable[word] & Self.mask(word, leaves) & ~dirty[word]
            dirty[word] |= new
            dirtyCount += new.nonzeroBitCount
        }
    }

    package func isPurgeable(_ leaf: UInt32) -> Bool {
        purgeable[Int(leaf >> 6)] & 1 << UInt64(leaf & 63) != 0
    }

    package func isDirty(_ leaf: UInt32) -> Bool { dirty[Int(leaf >> 6)] & 1 << UInt64(leaf & 63) != 0 }

    /// Takes dirty leaves of a set for a rescan, and forgets what was summed of them: in order, from a leaf
    /// on, at most so many, in at most so many ranges. Their bits are clear afterwards.
    package mutating func takeDirty(
        of set: LeafRanges, from first: UInt32, leavesMax: Int, rangesMax: Int
    ) -> [ClosedRange<UInt32>] {
        guard dirtyCount > 0 else { return [] }
        var taken: [ClosedRange<UInt32>] = []
        var left = leavesMax
        for range in set.ranges[set.firstIndex(endingFrom: first)...] {
            let leaves = max(first, range.lowerBound)...range.upperBound
            for word in Self.words(of: leaves) {
                var bits = dirty[word] & Self.mask(word, leaves)
                while bits != 0 {
                    // Leaves in a row go at once.
                    let start = bits.trailingZeroBitCount
                    let length = min(left, (~(bits >> UInt64(start))).trailingZeroBitCount)
                    let next = UInt32(word << 6 + start)
                    let end = next + UInt32(length) - 1
                    if let last = taken.last, last.upperBound + 1 == next {
                        taken[taken.count - 1] = last.lowerBound...end
                    } else if taken.count < rangesMax {
                        taken.append(next...end)
                    } else {
                        return taken
                    }
                    let run = Self.mask(word, next...end)
                    dirty[word] &= ~run
                    purgeable[word] |= run
                    bits &= ~run
                    dirtyCount -= length
                    left -= length
                    if left == 0 { return taken }
                }
            }
        }
        return taken
    }

    /// Whether any leaf of a set is dirty, from a leaf on.
    package func hasDirty(in set: LeafRanges, from first: UInt32) -> Bool {
        guard dirtyCount > 0 else { return false }
        return set.ranges[set.firstIndex(endingFrom: first)...].contains { range in
            let leaves = max(first, range.lowerBound)...range.upperBound
            return Self.words(of: leaves).contains { dirty[$0] & Self.mask($0, leaves) != 0 }
        }
    }

    /// How many leaves of a set are dirty.
    package func dirtyCount(in set: LeafRanges) -> Int {
        if dirtyCount == 0 { return 0 }
        var count = 0
        for range in set.ranges {
            for word in Self.words(of: range) {
                count += (dirty[word] & Self.mask(word, range)).nonzeroBitCount
            }
        }
        return count
    }

    // MARK: Sums

    package subscript(leaf: UInt32) -> UInt64 {
        let block = blocks[Int(leaf) / Self.blockLeaves]
        return block.isEmpty ? 0 : block[Int(leaf) % Self.blockLeaves]
    }

    /// Adds those of these leaves that are known to hold nothing, in order.
    package func appendEmpty(of leaves: ClosedRange<UInt32>, to empty: inout [UInt32]) {
        for leaf in leaves where self[leaf] == 0 && !isDirty(leaf) { empty.append(leaf) }
    }

    /// A rescan has found this sum in a leaf.
    ///
    /// - Parameter isPurgeable: whether a purge floor that rises may change it.
    package mutating func set(_ leaf: UInt32, _ sum: UInt64, isPurgeable: Bool) {
        let bit: UInt64 = 1 << UInt64(leaf & 63)
        if isPurgeable {
            purgeable[Int(leaf >> 6)] |= bit
        } else {
            purgeable[Int(leaf >> 6)] &= ~bit
        }
        setSum(leaf, sum)
    }

    private mutating func setSum(_ leaf: UInt32, _ sum: UInt64) {
        let (block, place) = (Int(leaf) / Self.blockLeaves, Int(leaf) % Self.blockLeaves)
        if blocks[block].isEmpty {
            guard sum != 0 else { return }
            blocks[block] = ContiguousArray(repeating: 0, count: Self.blockLeaves)
        }
        blockSums[block] &+= sum &- blocks[block][place]
        blocks[block][place] = sum
    }

    /// A rescan has found nothing in these leaves.
    package mutating func setEmpty(_ leaves: ClosedRange<UInt32>) {
        for word in Self.words(of: leaves) { purgeable[word] &= ~Self.mask(word, leaves) }
        var leaf = Int(leaves.lowerBound)
        let end = Int(leaves.upperBound)
        while leaf <= end {
            let block = leaf / Self.blockLeaves
            let last = min(end, (block + 1) * Self.blockLeaves - 1)
            if !blocks[block].isEmpty {
                for leaf in leaf...last { setSum(UInt32(leaf), 0) }
            }
            leaf = last + 1
        }
    }

    /// The sum that a dirty leaf is known to have from a checkpoint.
    mutating func restore(_ leaf: UInt32, _ sum: UInt64, isPurgeable: Bool) {
        invariant(isDirty(leaf), "leaf \(leaf) is known already")
        dirty[Int(leaf >> 6)] &= ~(1 << UInt64(leaf & 63))
        dirtyCount -= 1
        set(leaf, sum, isPurgeable: isPurgeable)
    }

    /// The sum over the leaves of some range that are in the set.
    package func sum(_ bounds: ClosedRange<UInt32>, in set: LeafRanges) -> UInt64 {
        var sum: UInt64 = 0
        set.forEach(within: bounds) { sum &+= self.sum($0) }
        return sum
    }

    private func sum(_ leaves: ClosedRange<UInt32>) -> UInt64 {
        var sum: UInt64 = 0
        var leaf = Int(leaves.lowerBound)
        let end = Int(leaves.upperBound)
        while leaf <= end {
            let block = leaf / Self.blockLeaves
            let last = min(end, (block + 1) * Self.blockLeaves - 1)
            if last - leaf + 1 == Self.blockLeaves {
                sum &+= blockSums[block]
            } else if !blocks[block].isEmpty {
                for place in leaf...last { sum &+= blocks[block][place % Self.blockLeaves] }
            }
            leaf = last + 1
        }
        return sum
    }

    /// The root over a set of leaves.
    package func root(in set: LeafRanges) -> UInt64 {
        set.ranges.reduce(0) { $0 &+ sum($1) }
    }

    /// The shortened sums of a node's children.
    ///
    /// - Parameter level: of the children.
    package func children(
        of node: UInt32, level: Int, in set: LeafRanges, _ abridgement: Abridgement
    ) -> [UInt64] {
        let first = level == 0 ? 0 : node << 4
        return (0..<UInt32(level == 0 ? Self.rootChildren : Self.fanOut)).map { child in
            abridgement.short(sum(Self.leaves(of: first + child, level: level), in: set))
        }
    }

    package func checkInvariants() {
        invariant(
            dirtyCount == dirty.reduce(0) { $0 + $1.nonzeroBitCount }, "\(dirtyCount) dirty leaves counted")
        for (block, sums) in blocks.enumerated() {
            invariant(blockSums[block] == sums.reduce(0, &+), "the sum of block \(block) isn't its leaves'")
        }
    }
}
