import MartletBase
import MartletMerkle
import Testing

@Suite struct MerkleTreeTests {
    /// A tree of random sums, with all leaves clean.
    private func tree(_ random: inout Random, leaves: Int) -> MerkleTree {
        var tree = MerkleTree(isDirty: false)
        for _ in 0..<leaves {
            tree.set(
                UInt32(random.below(MerkleTree.leavesMax)), random.next(), isPurgeable: random.chance(0.3))
        }
        return tree
    }

    private func someLeaves(_ random: inout Random) -> LeafRanges {
        var set = LeafRanges()
        var slot = random.below(100)
        while slot < Limits.slots {
            let last = min(Limits.slots - 1, slot + random.below(1_500))
            set.append(UInt32(16 * slot)...UInt32(16 * last + 15))
            slot = last + 2 + random.below(1_500)
        }
        return set
    }

    @Test func innerSumsAreThoseOfTheLeavesBelowThatAreInTheSet() {
        var random = Random(seed: 1)
        for _ in 0..<20 {
            let tree = tree(&random, leaves: 3_000)
            let set = someLeaves(&random)
            for level in 0..<MerkleTree.levels {
                for _ in 0..<20 {
                    let node = UInt32(random.below(MerkleTree.nodes(of: level)))
                    let leaves = MerkleTree.leaves(of: node, level: level)
                    let expected = leaves.filter { set.contains($0) }.reduce(UInt64(0)) { $0 &+ tree[$1] }
                    #expect(tree.sum(leaves, in: set) == expected)
                }
            }
            let all = (0..<UInt32(MerkleTree.leavesMax)).filter { set.contains($0) }
            #expect(tree.root(in: set) == all.reduce(0) { $0 &+ tree[$1] })
            tree.checkInvariants()
        }
    }

    @Test func aTreeIsTheSameAfterItWasWrittenDownButForOtherHorizons() throws {
        var random = Random(seed: 9)
        var tree = tree(&random, leaves: 5_000)
        for _ in 0..<2_000 { tree.mark(UInt32(random.below(MerkleTree.leavesMax))) }
        func horizon(_ slot: Int) -> Horizon { Horizon(purgeFloor: UInt64(slot / 500)) }
        var writer = ByteWriter()
        tree.write(to: &writer, horizon: horizon)
        #expect(writer.bytes.count <= MerkleTree.checkpointBytesMax)
        let stored = Blob(writer.bytes)
        for isRaised in [false, true] {
            var reader = ByteReader(stored.span)
            let read = try MerkleTree(from: &reader) { slot in
                isRaised && slot >= 700 && slot < 900 ? Horizon(purgeFloor: 99) : horizon(slot)
            }
            try reader.expectEnd()
            read.checkInvariants()
            for leaf in 0..<UInt32(MerkleTree.leavesMax) {
                let isBehind = isRaised && leaf / 16 >= 700 && leaf / 16 < 900
                #expect(read.isDirty(leaf) == (tree.isDirty(leaf) || isBehind))
                guard !read.isDirty(leaf) else { continue }
                #expect(read[leaf] == tree[leaf] && read.isPurgeable(leaf) == tree.isPurgeable(leaf))
            }
        }
        for count in [0, 3, 40, stored.count / 2, stored.count - 1] {
            var reader = ByteReader(stored.span.extracting(0..<count))
            #expect(throws: WireError.self) { try MerkleTree(from: &reader, horizon: horizon) }
        }
    }

    /// The two sides of an exchange, from the root to the leaves, each seeing only what the other sent.
    private func differingLeaves(
        _ a: MerkleTree, _ b: MerkleTree, _ set: LeafRanges, _ abridgement: Abridgement
    ) -> [UInt32] {
        let zero = b.differing(fromRoot: a.rootChildren(in: set, abridgement), in: set, abridgement)
        let one = a.differing(
            from: b.sums(of: zero, level: 0, in: set, abridgement), level: 0, in: set, abridgement)
        let two = b.differing(
            from: a.sums(of: one, level: 1, in: set, abridgement), level: 1, in: set, abridgement)
        return a.differing(
            from: b.sums(of: two, level: 2, in: set, abridgement), level: 2, in: set, abridgement)
    }

    @Test(arguments: [Abridgement(salt: 7), .full]) func theLeavesThatDifferAreFound(
        _ abridgement: Abridgement
    ) {
        var random = Random(seed: 2)
        for round in 0..<20 {
            let a = tree(&random, leaves: 2_000)
            var b = a
            let set = round == 0 ? .all : someLeaves(&random)
            var changed: Set<UInt32> = []
            for _ in 0..<random.below(200) {
                let leaf = UInt32(random.below(MerkleTree.leavesMax))
                b.set(leaf, b[leaf] &+ random.next() | 1, isPurgeable: false)
                if set.contains(leaf) { changed.insert(leaf) }
            }
            #expect(differingLeaves(a, b, set, abridgement) == changed.sorted())
            #expect((a.root(in: set) == b.root(in: set)) == changed.isEmpty)
        }
    }

    @Test func dirtyLeavesAreTakenOnceInOrderAndWithinBounds() {
        var random = Random(seed: 3)
        var tree = MerkleTree(isDirty: false)
        let set = someLeaves(&random)
        var dirty: Set<UInt32> = []
        for _ in 0..<5_000 {
            let leaf = UInt32(random.below(MerkleTree.leavesMax))
            tree.mark(leaf)
            dirty.insert(leaf)
        }
        tree.mark(100_000...100_300)
        dirty.formUnion(100_000...100_300)
        #expect(tree.dirtyCount == dirty.count)
        let wanted = dirty.filter { set.contains($0) }.sorted()
        #expect(tree.dirtyCount(in: set) == wanted.count)
        var taken: [UInt32] = []
        var cursor: UInt32 = 0
        while tree.hasDirty(in: set, from: cursor) {
            let ranges = tree.takeDirty(of: set, from: cursor, leavesMax: 100, rangesMax: 8)
            #expect(ranges.count <= 8 && ranges.reduce(0) { $0 + $1.count } <= 100)
            taken += ranges.flatMap { Array($0) }
            cursor = ranges.last!.upperBound + 1
        }
        #expect(taken == wanted)
        #expect(tree.dirtyCount(in: set) == 0 && tree.dirtyCount == dirty.count - wanted.count)
        tree.checkInvariants()
    }

    /// A floor rises before, while and after a leaf with a tombstone is rescanned.
    @Test func aFloorMakesDirtyOnlyWhatItMayHide() {
        var tree = MerkleTree(isDirty: true)
        func rescan(finding isPurgeable: Bool) {
            for leaf in UInt32(0)...99 { tree.set(leaf, 7, isPurgeable: isPurgeable && leaf % 10 == 0) }
        }
        tree.markPurgeable(0...99)
        #expect(tree.dirtyCount == MerkleTree.leavesMax)
        _ = tree.takeDirty(of: .all, from: 0, leavesMax: .max, rangesMax: 1)
        tree.markPurgeable(0...49)
        #expect(tree.dirtyCount == 50)
        tree.setEmpty(LeafRanges.all.ranges[0])
        rescan(finding: true)
        #expect(tree.dirtyCount == 50)
        _ = tree.takeDirty(of: .all, from: 0, leavesMax: .max, rangesMax: 1)
        rescan(finding: true)
        tree.markPurgeable(20...200)
        #expect((0..<UInt32(300)).filter { tree.isDirty($0) } == [20, 30, 40, 50, 60, 70, 80, 90])
        _ = tree.takeDirty(of: .all, from: 0, leavesMax: .max, rangesMax: 8)
        rescan(finding: false)
        tree.markPurgeable(0...200)
        #expect(tree.dirtyCount == 0)
        tree.checkInvariants()
    }

    @Test func nothingIsKnownAtFirst() {
        var tree = MerkleTree(isDirty: true)
        #expect(tree.dirtyCount == MerkleTree.leavesMax)
        #expect(tree.takeDirty(of: .all, from: 0, leavesMax: .max, rangesMax: 1) == LeafRanges.all.ranges)
        #expect(tree.dirtyCount == 0 && tree.root(in: .all) == 0)
    }

    @Test func emptyIsWhatIsKnownToHoldNothing() {
        var tree = MerkleTree(isDirty: true)
        var empty: [UInt32] = []
        tree.appendEmpty(of: 0...9, to: &empty)
        #expect(empty.isEmpty)
        tree = MerkleTree(isDirty: false)
        tree.set(3, 77, isPurgeable: false)
        tree.mark(5)
        tree.appendEmpty(of: 1...6, to: &empty)
        tree.appendEmpty(of: 8...8, to: &empty)
        #expect(empty == [1, 2, 4, 6, 8])
    }

    @Test func runsOfLeavesHaveTheTokensOfAll() {
        let tokens = MerkleTree.tokens(of: 7...9)
        #expect(MerkleTree.leaves(of: tokens) == 7...9)
        #expect(MerkleTree.leafCount(in: [tokens, MerkleTree.tokens(of: 12)]) == 4)
        let last = UInt32(MerkleTree.leavesMax - 1)
        #expect(MerkleTree.tokens(of: 0...last) == 0...UInt64.max)
        let set = LeafRanges([2...5, 8...9])
        #expect(set.contains(2...5) && set.contains(8...8) && !set.contains(5...8) && !set.contains(9...10))
    }

    @Test func rangesThatTouchBecomeOne() {
        #expect(LeafRanges([0...15, 16...31, 48...63]).ranges == [0...31, 48...63])
        #expect(LeafRanges([0...15, 16...31, 48...63]).count == 48)
    }
}
