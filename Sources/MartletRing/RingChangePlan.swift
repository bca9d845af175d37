import MartletBase

/// A change that somebody thinks of: what `RingChangePlan` reckons with.
package enum RingWish: Hashable, Sendable {
    case join(RingEntry)
    /// It leaves, or is given up: the slots go the same ways.
    case leave(NodeID)
    /// The entry's node takes the tokens of the other one.
    case replace(NodeID, by: RingEntry)
    case move([RingMove])
    /// The keyspace of that id gets another replication factor.
    case alter(UInt32, ReplicationFactor)
}

/// Tokens that a node should have in place of its own, and perhaps another zone.
package struct RingMove: Hashable, Sendable {
    package let node: NodeID
    /// Ascending.
    package let tokens: [Slot]
    /// Nil: as it is.
    package let zone: String?

    package init(node: NodeID, tokens: [Slot], zone: String? = nil) {
        self.node = node
        self.tokens = tokens
        self.zone = zone
    }
}

extension Ring {
    /// The ring when nothing that is under way goes on: its owners, each for good. Plans begin here.
    package var settled: Ring { Ring(placing: entries.filter(\.isPlaced)) }

    /// The settled ring once the wish is fulfilled.
    package func fulfilling(_ wish: RingWish) -> Ring {
        var placed = settled.entries
        switch wish {
        case .join(let entry): placed.append(entry)
        case .leave(let id): placed.removeAll { $0.id == id }
        case .replace(let id, var entry):
            entry.own.tokens = placed.first { $0.id == id }?.tokens ?? []
            placed.removeAll { $0.id == id }
            placed.append(entry)
        case .move(let moves):
            for move in moves {
                guard let place = placed.firstIndex(where: { $0.id == move.node }) else { continue }
                placed[place].own = RingPosition(
                    tokens: move.tokens, zone: move.zone ?? placed[place].zone)
            }
        case .alter: break
        }
        return Ring(placing: placed)
    }

    /// Of entries that were in one ring, or are to be.
    private init(placing entries: [RingEntry]) {
        self.init()
        for entry in entries {
            let placed = RingEntry(
                id: entry.id, incarnation: entry.incarnation, name: entry.name, address: entry.address,
                ports: entry.ports, zone: entry.zone, dataCenter: entry.dataCenter, tokens: entry.tokens,
                state: .normal, version: entry.version)
            // One that has no place in a full ring is none that a plan can show.
            _ = try? merge(placed)
        }
    }
}

extension KeyspaceDefinition {
    /// With the factor in force that the wish is for.
    fileprivate func fulfilling(_ wish: RingWish) -> KeyspaceDefinition {
        guard case .alter(id, let factor) = wish else { return self }
        var definition = self
        definition.copies = Copies(factor)
        return definition
    }
}

/// What a change of the ring moves, reckoned before it is made.
///
/// The unit is a *copy*: one slot of one keyspace at one node. How many bytes a slot has nobody knows without
/// reading it; over many slots they are as good as equal.
package struct RingChangePlan: Sendable {
    /// Consecutive slots of a keyspace that come to a node in the place of another.
    package struct Transfer: Hashable, Sendable {
        package let keyspace: String
        package let first: Slot
        package let last: Slot
        /// Who holds them no more; where nobody ceases to, the first of those that hold them.
        package let from: String
        package let to: String

        package var count: Int { Int(last.index) - Int(first.index) + 1 }
    }

    /// By keyspace, then by slot.
    package private(set) var transfers: [Transfer] = []
    /// Copies that come to nodes which don't hold them.
    package var moved: Int { transfers.reduce(0) { $0 + $1.count } }
    /// What must move at least for nodes to hold as much as they will: what they gain on balance.
    package private(set) var least = 0
    /// All copies that there are before.
    package private(set) var total = 0
    /// Of the first keyspace, which tokens are chosen for; of the one that is altered.
    package let before: RingBalance
    package let after: RingBalance

    /// Dropped keyspaces count for nothing; there must be another one.
    package init(from old: Ring, _ wish: RingWish, keyspaces: [KeyspaceDefinition]) {
        let (settled, next) = (old.settled, old.fulfilling(wish))
        let present = keyspaces.filter { !$0.isDropped }
        invariant(!present.isEmpty, "a plan for no keyspace")
        let places = present.map { keyspace in
            (
                Placement(ring: settled, keyspace: keyspace),
                Placement(ring: next, keyspace: keyspace.fulfilling(wish))
            )
        }
        var shown = 0
        if case .alter(let id, _) = wish { shown = present.firstIndex { $0.id == id } ?? 0 }
        before = RingBalance(places[shown].0)
        after = RingBalance(places[shown].1)
        for (keyspace, (old, new)) in zip(present, places) { add(keyspace, old, new) }
    }

    private mutating func add(_ keyspace: KeyspaceDefinition, _ old: Placement, _ new: Placement) {
        var gains: [NodeID: Int] = [:]
        let (olds, news) = (old.ranges, new.ranges)
        var (i, k) = (0, 0)
        while i < olds.count, k < news.count {
            let (a, b) = (olds[i], news[k])
            let (first, last) = (max(a.first, b.first), min(a.last, b.last))
            let count = Int(last.index) - Int(first.index) + 1
            let before = a.owners.array.map { old.members[$0].id }
            let after = b.owners.array.map { new.members[$0].id }
            total += before.count * count
            for id in before { gains[id, default: 0] -= count }
            for id in after { gains[id, default: 0] += count }
            let gone = before.filter { !after.contains($0) }
            for (place, id) in after.filter({ !before.contains($0) }).enumerated() {
                guard let from = place < gone.count ? gone[place] : before.first else { continue }
                add(
                    Transfer(
                        keyspace: keyspace.name, first: first, last: last,
                        from: old.ordinal(of: from).map { old.members[$0].name } ?? "",
                        to: new.ordinal(of: id).map { new.members[$0].name } ?? ""))
            }
            if a.last <= last { i += 1 }
            if b.last <= last { k += 1 }
        }
        least += gains.values.reduce(0) { $0 + max(0, $1) }
    }

    /// Slots that follow on each other and go the same way are one transfer.
    private mutating func add(_ transfer: Transfer) {
        let before = transfers.lastIndex {
            $0.keyspace == transfer.keyspace && $0.from == transfer.from && $0.to == transfer.to
        }
        if let before, Int(transfers[before].last.index) + 1 == Int(transfer.first.index) {
            transfers[before] = Transfer(
                keyspace: transfer.keyspace, first: transfers[before].first, last: transfer.last,
                from: transfer.from, to: transfer.to)
        } else {
            transfers.append(transfer)
        }
    }
}
