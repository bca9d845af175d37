import MartletBase

/// The shortened sums of all the children of one node of the tree.
package struct NodeSums: Hashable, Sendable {
    package var node: UInt32
    package var children: [UInt64]

    package init(node: UInt32, children: [UInt64]) {
        self.node = node
        self.children = children
    }
}

extension MerkleTree {
    /// The children of some nodes, for another tree to compare.
    ///
    /// - Parameter level: of the nodes.
    package func sums(
        of nodes: [UInt32], level: Int, in set: LeafRanges, _ abridgement: Abridgement
    ) -> [NodeSums] {
        nodes.map { node in
            NodeSums(node: node, children: children(of: node, level: level + 1, in: set, abridgement))
        }
    }

    /// Which children of some nodes of another tree differ from those here, ascending.
    ///
    /// - Parameter level: of the nodes.
    package func differing(
        from others: [NodeSums], level: Int, in set: LeafRanges, _ abridgement: Abridgement
    ) -> [UInt32] {
        var differing: [UInt32] = []
        for other in others {
            let own = children(of: other.node, level: level + 1, in: set, abridgement)
            for place in own.indices where own[place] != other.children[place] {
                differing.append(other.node << 4 + UInt32(place))
            }
        }
        return differing
    }

    /// The root's children, for another tree to compare.
    package func rootChildren(in set: LeafRanges, _ abridgement: Abridgement) -> [UInt64] {
        children(of: 0, level: 0, in: set, abridgement)
    }

    /// Which of the root's children differ.
    package func differing(
        fromRoot children: [UInt64], in set: LeafRanges, _ abridgement: Abridgement
    ) -> [UInt32] {
        let own = rootChildren(in: set, abridgement)
        return own.indices.filter { own[$0] != children[$0] }.map { UInt32($0) }
    }
}
