import MartletBase

/// Consecutive slots with one preference list; while they change hands (`RingChange`), with two.
package struct SlotRange: Hashable, Sendable {
    package let first: Slot
    package let last: Slot
    package let owners: Owners
    /// The owners after the change in hand, where they are others, in another order, or counted by another
    /// factor.
    package let next: Owners?

    package var count: Int { Int(last.index) - Int(first.index) + 1 }
}

/// Who owns what: the preference lists of one keyspace on one ring, all computed at once (Dynamo paper,
/// sections 4.2, 4.3 and 6.2, its third strategy with ranges of the nodes' own choosing).
///
/// - *Members* are the nodes that own slots before the change in hand or after it, numbered by their ids'
///   order. An *ordinal* means nothing outside its placement.
/// - A token is the **last** slot of its range; a slot's walk begins at the first token at or after it, and
///   past the last token goes on at the first. Two nodes that chose one token stand there in the order of
///   their ids, and the second one's range is empty until one of them moves.
/// - The *owners* of a slot are the next N distinct nodes, spread over zones (`PreferenceWalk`). *Fallbacks*
///   are the nodes after them, for sloppy quorums.
/// - The *digest* of a slot covers what two nodes must agree on before they may be parts of one quorum: the
///   owners' ids in order and the replication factors, before the change in hand and after it, the keyspace
///   and its definition's stamp, the purge floor. Never liveness: views of that may differ without harm.
///
/// A pure function of the ring and the definition: computed anew whenever one of them changes (3 ms for 1,000
/// nodes), never altered. A lookup is two array reads. It is a class only so that handing it on counts one
/// reference; as a struct of a dozen arrays every copy of it took longer than five lookups.
package final class Placement: Sendable {
    package let keyspace: KeyspaceDefinition
    /// Sorted by id.
    package let members: [RingEntry]
    /// Data centres of members and of the replication factor, sorted; `dataCenter(of:)` is an index into
    /// them.
    package let dataCenters: [String]
    package let factors: DataCenterFactors
    /// After the change in hand.
    package let nextFactors: DataCenterFactors
    /// Whether that gives the keyspace another factor.
    package let isAltered: Bool
    /// The tokens of those that own slots before the change in hand.
    private let walk: RingWalk

    /// Each slot's range.
    @usableFromInline let rangeOfSlot: [UInt16]
    @usableFromInline let ownersOfRange: [Owners]
    /// After the change in hand; nil where that makes no difference.
    @usableFromInline let nextOfRange: [Owners?]
    @usableFromInline let digestOfRange: [UInt64]
    @usableFromInline let lastOfRange: [UInt16]
    @usableFromInline let dataCenterOfMember: [UInt16]
    /// How many slots each member holds a copy of.
    private let slotsOfMember: [Int]

    package init(ring: Ring, keyspace: KeyspaceDefinition) {
        let change = ring.change
        let members = ring.entries.filter { $0.isPlaced || $0.id == change?.node }
        let replication = keyspace.replication
        let isAltered = change?.subject == .keyspace(keyspace.id)
        let nextReplication = isAltered ? keyspace.copies.next : replication
        var centers = Set(members.map(\.dataCenter))
        for case .perDataCenter(let list) in [replication, nextReplication] {
            centers.formUnion(list.map(\.name))
        }
        let dataCenters = centers.sorted()
        func number(_ dataCenter: String) -> Int { dataCenters.firstIndex(of: dataCenter) ?? 0 }

        let walk = RingWalk(members, replication, isIn: \.isPlaced)
        let next = change.flatMap { change in
            change.concerns(keyspace.id)
                ? RingWalk(members.map(change.completed), nextReplication, isIn: \.isPlaced) : nil
        }
        let lasts = next.map { Set($0.lasts).union(walk.lasts).sorted() } ?? walk.lasts
        let owners = lasts.map { walk.owners(of: $0) }
        let nexts = zip(lasts, owners).map { last, owners -> Owners? in
            guard let after = next?.owners(of: last), after != owners || isAltered else { return nil }
            return after
        }
        self.keyspace = keyspace
        self.isAltered = isAltered
        self.members = members
        self.walk = walk
        self.dataCenters = dataCenters
        factors = DataCenterFactors(replication, number: number)
        nextFactors = DataCenterFactors(nextReplication, number: number)
        dataCenterOfMember = members.map { UInt16(number($0.dataCenter)) }
        lastOfRange = lasts
        ownersOfRange = owners
        nextOfRange = nexts
        rangeOfSlot = RingWalk.rangeOfSlot(lasts: lasts)
        digestOfRange = zip(owners, nexts).map {
            Self.digest(
                of: ($0, replication), next: ($1, nextReplication), members: members, keyspace: keyspace)
        }
        slotsOfMember = Self.slots(owners: owners, lasts: lasts, memberCount: members.count)
    }
}

// MARK: Lookups
extension Placement {
    /// The owners of a slot in preference order, before the change in hand: N of them, or all there are. No
    /// allocation.
    @inlinable package func owners(of slot: Slot) -> Owners {
        ownersOfRange[Int(rangeOfSlot[Int(slot.index)])]
    }

    /// What a request carries, so that nobody serves a quorum on another view of the slot. No allocation.
    @inlinable package func digest(of slot: Slot) -> UInt64 {
        digestOfRange[Int(rangeOfSlot[Int(slot.index)])]
    }

    /// Its owners after the change in hand; nil where that makes no difference.
    @inlinable package func next(of slot: Slot) -> Owners? {
        nextOfRange[Int(rangeOfSlot[Int(slot.index)])]
    }

    /// The nodes after the owners, old and new, in the order in which the walk meets them: who stands in for
    /// an owner that is down. At most `max`; allocates, and walks on as far as it must.
    package func fallbacks(of slot: Slot, max: Int = .max) -> [Int] {
        var isListed = [Bool](repeating: false, count: members.count)
        for list in [owners(of: slot), next(of: slot) ?? Owners()] {
            for place in list.indices { isListed[list[place]] = true }
        }
        var list: [Int] = []
        var left = Swift.min(max, isListed.count { !$0 })
        for ordinal in walk.members(from: slot) where left > 0 {
            if !isListed[ordinal] {
                isListed[ordinal] = true
                list.append(ordinal)
                left -= 1
            }
        }
        return list
    }

    /// The member with that id.
    package func ordinal(of id: NodeID) -> Int? {
        var (low, high) = (0, members.count)
        while low < high {
            let middle = (low + high) / 2
            if members[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low < members.count && members[low].id == id ? low : nil
    }

    /// Index into `dataCenters`.
    @inlinable package func dataCenter(of ordinal: Int) -> Int { Int(dataCenterOfMember[ordinal]) }

    /// Index into `dataCenters`; nil for one that holds nothing.
    package func dataCenter(named name: String) -> Int? { dataCenters.firstIndex(of: name) }

    /// What a level asks of these owners. `coordinator` is its data centre's index, -1 where that holds
    /// nothing. No allocation.
    package func requirement(
        _ level: ConsistencyLevel, owners: Owners, coordinator: Int
    ) -> Requirement {
        Requirement(level, factors: factors, coordinator: coordinator, among: Requirement.first(owners.count))
        {
            dataCenter(of: owners[$0])
        }
    }
}

// MARK: What is shown of it
extension Placement {
    /// All slots, ascending.
    package var ranges: [SlotRange] {
        lastOfRange.indices.map { i in
            SlotRange(
                first: Slot(index: i == 0 ? 0 : lastOfRange[i - 1] + 1), last: Slot(index: lastOfRange[i]),
                owners: ownersOfRange[i], next: nextOfRange[i])
        }
    }

    /// Each token and its member, ascending.
    package var tokenOwners: [(slot: Slot, ordinal: Int)] {
        walk.tokens.map { (Slot(index: $0.slot), Int($0.ordinal)) }
    }

    /// The share of all slots that the member holds a copy of, from 0 to 1; over all members they sum to N.
    package func ownsFraction(_ ordinal: Int) -> Double {
        Double(slotsOfMember[ordinal]) / Double(Limits.slots)
    }

    package func checkInvariants() {
        invariant(rangeOfSlot.count == Limits.slots, "the placement doesn't cover every slot")
        for range in ranges {
            invariant(range.first <= range.last, "an empty range at slot \(range.first)")
            for (owners, factors) in [(range.owners, factors), (range.next ?? Owners(), nextFactors)] {
                invariant(owners.count <= factors.total, "more owners than copies")
            }
        }
    }
}

// MARK: Its parts
extension Placement {
    private static func slots(owners: [Owners], lasts: [UInt16], memberCount: Int) -> [Int] {
        var slots = [Int](repeating: 0, count: memberCount)
        var first = 0
        for (range, last) in lasts.enumerated() {
            let count = Int(last) + 1 - first
            first = Int(last) + 1
            for place in owners[range].indices { slots[owners[range][place]] += count }
        }
        return slots
    }

    private static func digest(
        of old: (owners: Owners, replication: ReplicationFactor),
        next: (owners: Owners?, replication: ReplicationFactor), members: [RingEntry],
        keyspace: KeyspaceDefinition
    ) -> UInt64 {
        var writer = ByteWriter(reservingCapacity: 64 + 2 * old.owners.count * NodeID.byteCount)
        writer.u32(keyspace.id)
        writer.u64(keyspace.stamp)
        writer.u64(keyspace.truncation)
        for (list, replication) in [old, (next.owners ?? Owners(), next.replication)] {
            replication.write(to: &writer)
            writer.u8(UInt8(list.count))
            for place in list.indices { members[list[place]].id.write(to: &writer) }
        }
        return XXH3.hash(writer.bytes.span.bytes)
    }
}
