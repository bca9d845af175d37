import MartletBase

/// Why a ring does not take an entry.
package enum RingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Two ids with one `short`: stamps could not tell their writes apart.
    case shortIDTaken(entry: NodeID, by: NodeID)
    /// `Limits.nodesMax` ids are known already.
    case full(entry: NodeID)

    package var description: String {
        switch self {
        case .shortIDTaken(let entry, let other):
            "node id \(entry) begins like that of node \(other): give the new node an empty data folder"
        case .full(let entry): "node \(entry) is refused: the ring holds at most \(Limits.nodesMax) nodes"
        }
    }
}

/// Who is in the cluster and which tokens they hold: the union of the nodes' entries (Dynamo paper, sections
/// 4.2, 4.8).
///
/// - A *slot* is one of Redis Cluster's 16,384, an arc of the ring. A *token* of a node is the last slot of a
///   *range*, which begins after the token before it.
/// - The *preference list* of a slot is what `Placement` computes from the ring and a keyspace's definition.
///
/// Beside the entries stands what was said of keyspaces' numbers of copies (`Copies`), because that gives
/// slots other owners as well, and all such changes have one order (`RingChange`).
///
/// Rings merge entry by entry, so they form a semilattice as entries do: nodes that have heard the same
/// entries, in any order, hold equal rings, equal digests and so equal preference lists (invariant Agreed).
/// Removed and left nodes stay in it, so that nothing late brings them back.
///
/// Deviations from the paper: membership isn't reconciled pairwise through logs of changes but joined; tokens
/// aren't random but chosen (`TokenChoice`), and lie on slot boundaries.
package struct Ring: Hashable, Sendable {
    /// Sorted by id.
    package private(set) var entries: [RingEntry] = []

    /// Of keyspaces whose replication factor was ever to be altered, by id; of dropped ones too.
    package private(set) var alterations: [Alteration] = []

    package struct Alteration: Hashable, Sendable {
        package let keyspace: UInt32
        package fileprivate(set) var copies: Copies

        func write(to writer: inout ByteWriter) {
            writer.u32(keyspace)
            copies.write(to: &writer)
        }

        fileprivate var digest: UInt64 {
            var writer = ByteWriter()
            write(to: &writer)
            return XXH3.hash(writer.bytes.span.bytes)
        }
    }

    /// Equal for equal rings. A sum of the digests of all that it holds, so merging one entry costs
    /// that entry alone.
    package private(set) var digest: UInt64 = 0

    package init() {}

    /// Throws when two of the entries can't be in one ring.
    package init(_ entries: some Sequence<RingEntry>) throws(RingError) {
        for entry in entries { try merge(entry) }
    }

    /// Joins the entry into the ring. True when that changed the ring.
    ///
    /// A node that has taken the place of another removes it: the two are one step, whatever the order in
    /// which their entries come, because it is a rule of the join (`replaced`).
    ///
    /// O(n).
    @discardableResult
    package mutating func merge(_ entry: RingEntry) throws(RingError) -> Bool {
        guard try join(entry) else { return false }
        for i in entries.indices where entries[i].replaces != nil && entries[i].isPlaced {
            guard let replaced = entries[i].replaces, var gone = self[replaced],
                gone.verdict?.kind != .removed
            else { continue }
            gone.verdict = Verdict(kind: .removed, stamp: entries[i].joined, by: entries[i].id)
            try join(gone)
        }
        return true
    }

    @discardableResult
    private mutating func join(_ entry: RingEntry) throws(RingError) -> Bool {
        let i = index(notBelow: entry.id)
        if i < entries.count, entries[i].id == entry.id {
            let before = entries[i].digest
            guard entries[i].merge(entry) else { return false }
            digest = digest &- before &+ entries[i].digest
            return true
        }
        // Ids are ordered by `short` first: one that shares it is a neighbour.
        for k in [i - 1, i] where entries.indices.contains(k) && entries[k].id.short == entry.id.short {
            throw .shortIDTaken(entry: entry.id, by: entries[k].id)
        }
        guard entries.count < Limits.nodesMax else { throw .full(entry: entry.id) }
        entries.insert(entry, at: i)
        digest &+= entry.digest
        return true
    }

    /// Joins what a definition says of its keyspace's copies into the ring. True when that changed it.
    @discardableResult
    package mutating func merge(_ definition: KeyspaceDefinition) -> Bool {
        definition.copies.altered > 0
            && merge(Alteration(keyspace: definition.id, copies: definition.copies))
    }

    private mutating func merge(_ alteration: Alteration) -> Bool {
        guard let place = alterations.firstIndex(where: { $0.keyspace == alteration.keyspace }) else {
            alterations.append(alteration)
            alterations.sort { $0.keyspace < $1.keyspace }
            digest &+= alteration.digest
            return true
        }
        let before = alterations[place].digest
        guard alterations[place].copies.merge(alteration.copies) else { return false }
        digest = digest &- before &+ alterations[place].digest
        return true
    }

    /// Joins all that another ring holds into this one.
    package mutating func merge(_ other: Ring) throws(RingError) {
        for entry in other.entries { try merge(entry) }
        for alteration in other.alterations { _ = merge(alteration) }
    }

    package subscript(_ id: NodeID) -> RingEntry? {
        let i = index(notBelow: id)
        return i < entries.count && entries[i].id == id ? entries[i] : nil
    }

    /// The entries with that name, by id. More than one when an operator gave a name twice, or gave a
    /// replacement the name of the node it replaces.
    package func entries(named name: String) -> [RingEntry] {
        entries.filter { $0.name == name }
    }

    private func index(notBelow id: NodeID) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    package func checkInvariants() {
        invariant(entries.count <= Limits.nodesMax, "the ring has \(entries.count) entries")
        invariant(
            zip(entries, entries.dropFirst()).allSatisfy { $0.id.short < $1.id.short },
            "the ring's entries aren't sorted by distinct ids")
        invariant(
            digest == entries.reduce(alterations.reduce(0) { $0 &+ $1.digest }) { $0 &+ $1.digest },
            "the ring's digest isn't that of what it holds")
        for entry in entries { entry.checkInvariants() }
    }
}
