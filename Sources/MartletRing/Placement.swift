import MartletBase

/// Where a slot is in a change of its owners (docs/ARCHITECTURE.md, handover). Part of the placement's
/// digest, so that no quorum is made of nodes in two phases that don't meet.
package enum HandoverPhase: UInt8, Sendable, CaseIterable {
    /// One list of owners.
    case normal = 0
    /// The former and the new owners take writes, the former are read.
    case joint = 1
    /// The former and the new owners take writes, the new are read.
    case flipped = 2
}

/// Consecutive slots with one preference list.
package struct SlotRange: Hashable, Sendable {
    package let first: Slot
    package let last: Slot
    package let owners: Owners

    package var count: Int { Int(last.index) - Int(first.index) + 1 }
}

/// Who owns what: the preference lists of one keyspace on one ring, all computed at once (Dynamo paper,
/// sections 4.2, 4.3 and 6.2, its third strategy with ranges of the nodes' own choosing).
///
/// - *Members* are the nodes that own tokens, numbered by their ids' order. An *ordinal* means nothing
///   outside its placement.
/// - A token is the **last** slot of its range; a slot's walk begins at the first token at or after it, and
///   past the last token goes on at the first. Two nodes that chose one token stand there in the order of
///   their ids, and the second one's range is empty until one of them moves.
/// - The *owners* of a slot are the next N distinct nodes, spread over zones (`PreferenceWalk`). *Fallbacks*
///   are the nodes after them, for sloppy quorums.
/// - The *digest* of a slot covers what two nodes must agree on before they may be parts of one quorum: the
///   owners' ids in order, the phase, the keyspace and its definition's stamp, the purge floor. Never
///   liveness: views of that may differ without harm.
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
    /// The members' tokens by slot, then by ordinal.
    private let tokens: [MemberToken]

    /// Each slot's range.
    @usableFromInline let rangeOfSlot: [UInt16]
    /// Of each range. The slots after the last token are a range of their own, equal to the first one in all
    /// but its slots.
    @usableFromInline let ownersOfRange: [Owners]
    @usableFromInline let digestOfRange: [UInt64]
    @usableFromInline let lastOfRange: [UInt16]
    /// Where in `tokens` the walk of a range begins.
    private let firstTokenOfRange: [UInt32]
    @usableFromInline let dataCenterOfMember: [UInt16]
    /// How many slots each member holds a copy of.
    private let slotsOfMember: [Int]

    struct MemberToken {
        let slot: UInt16
        let ordinal: UInt16
    }

    package init(ring: Ring, keyspace: KeyspaceDefinition) {
        let members = ring.entries.filter(\.ownsTokens)
        let tokens = Self.tokens(of: members)
        var centers = Set(members.map(\.dataCenter))
        if case .perDataCenter(let list) = keyspace.replication { centers.formUnion(list.map(\.name)) }
        let dataCenters = centers.sorted()
        func number(_ dataCenter: String) -> Int { dataCenters.firstIndex(of: dataCenter) ?? 0 }

        let starts = Self.rangeStarts(of: tokens)
        var owners = Self.owners(
            tokens: tokens, starts: starts, members: members, replication: keyspace.replication)
        var lasts = tokens.isEmpty ? [] : starts.map { tokens[Int($0)].slot }
        var firstTokens = starts
        if lasts.last != Slot.last.index {
            lasts.append(Slot.last.index)
            owners.append(owners.first ?? Owners())
            firstTokens.append(0)
        }
        self.keyspace = keyspace
        self.members = members
        self.tokens = tokens
        self.dataCenters = dataCenters
        factors = DataCenterFactors(keyspace.replication, number: number)
        dataCenterOfMember = members.map { UInt16(number($0.dataCenter)) }
        lastOfRange = lasts
        ownersOfRange = owners
        firstTokenOfRange = firstTokens
        rangeOfSlot = Self.rangeOfSlot(lasts: lasts)
        digestOfRange = owners.map {
            Self.digest(of: $0, members: members, keyspace: keyspace, phase: .normal)
        }
        slotsOfMember = Self.slots(owners: owners, lasts: lasts, memberCount: members.count)
    }
}

// MARK: Lookups
extension Placement {
    /// The owners of a slot in preference order: N of them, or all there are. No allocation.
    @inlinable package func owners(of slot: Slot) -> Owners {
        ownersOfRange[Int(rangeOfSlot[Int(slot.index)])]
    }

    /// What a request carries, so that nobody serves a quorum on another view of the slot. No allocation.
    @inlinable package func digest(of slot: Slot) -> UInt64 {
        digestOfRange[Int(rangeOfSlot[Int(slot.index)])]
    }

    /// Constant until handovers exist.
    @inlinable package func phase(of slot: Slot) -> HandoverPhase { .normal }

    /// The nodes after the owners, in the order in which the walk meets them: who stands in for an owner that
    /// is down. At most `max`; allocates, and walks on as far as it must.
    package func fallbacks(of slot: Slot, max: Int = .max) -> [Int] {
        var isListed = [Bool](repeating: false, count: members.count)
        let owners = owners(of: slot)
        for place in owners.indices { isListed[owners[place]] = true }
        var list: [Int] = []
        var left = Swift.min(max, members.count - owners.count)
        guard left > 0 else { return [] }
        let start = Int(firstTokenOfRange[Int(rangeOfSlot[Int(slot.index)])])
        for i in 0..<tokens.count where left > 0 {
            let at = start + i
            let ordinal = Int(tokens[at < tokens.count ? at : at - tokens.count].ordinal)
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
        Requirement(level, factors: factors, coordinator: coordinator, places: owners.count) {
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
                owners: ownersOfRange[i])
        }
    }

    /// Each token and its member, ascending.
    package var tokenOwners: [(slot: Slot, ordinal: Int)] {
        tokens.map { (Slot(index: $0.slot), Int($0.ordinal)) }
    }

    /// The share of all slots that the member holds a copy of, from 0 to 1; over all members they sum to N.
    package func ownsFraction(_ ordinal: Int) -> Double {
        Double(slotsOfMember[ordinal]) / Double(Limits.slots)
    }

    package func checkInvariants() {
        invariant(rangeOfSlot.count == Limits.slots, "the placement doesn't cover every slot")
        for range in ranges {
            invariant(range.first <= range.last, "an empty range at slot \(range.first)")
            invariant(range.owners.count <= keyspace.replication.total, "more owners than copies")
        }
    }
}

// MARK: Its parts
extension Placement {
    private static func tokens(of members: [RingEntry]) -> [MemberToken] {
        var keys: [UInt32] = []
        keys.reserveCapacity(members.reduce(0) { $0 + $1.tokens.count })
        for (ordinal, member) in members.enumerated() {
            for token in member.tokens { keys.append(UInt32(token.index) << 16 | UInt32(ordinal)) }
        }
        keys.sort()
        return keys.map { MemberToken(slot: UInt16($0 >> 16), ordinal: UInt16(truncatingIfNeeded: $0)) }
    }

    /// The index of the first token at each slot that has one.
    private static func rangeStarts(of tokens: [MemberToken]) -> [UInt32] {
        var starts: [UInt32] = []
        for i in tokens.indices where i == 0 || tokens[i - 1].slot != tokens[i].slot {
            starts.append(UInt32(i))
        }
        return starts
    }

    /// Of each range that ends at a token: two turns against the ring's direction, the second one read off.
    private static func owners(
        tokens: [MemberToken], starts: [UInt32], members: [RingEntry], replication: ReplicationFactor
    ) -> [Owners] {
        var owners = [Owners](repeating: Owners(), count: starts.count)
        var walk = PreferenceWalk(members: members, replication: replication, tokenCount: tokens.count)
        for token in tokens.reversed() { walk.pass(Int(token.ordinal)) }
        var range = starts.count - 1
        for i in tokens.indices.reversed() {
            walk.pass(Int(tokens[i].ordinal))
            if Int(starts[range]) == i {
                owners[range] = walk.owners()
                range -= 1
            }
        }
        return owners
    }

    private static func rangeOfSlot(lasts: [UInt16]) -> [UInt16] {
        var out: [UInt16] = []
        out.reserveCapacity(Limits.slots)
        for (range, last) in lasts.enumerated() {
            while out.count <= Int(last) { out.append(UInt16(range)) }
        }
        return out
    }

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
        of owners: Owners, members: [RingEntry], keyspace: KeyspaceDefinition, phase: HandoverPhase
    ) -> UInt64 {
        var writer = ByteWriter(reservingCapacity: 32 + owners.count * NodeID.byteCount)
        writer.u32(keyspace.id)
        writer.u64(keyspace.stamp)
        writer.u64(keyspace.truncation)
        writer.u8(phase.rawValue)
        for place in owners.indices { members[owners[place]].id.write(to: &writer) }
        return XXH3.hash(writer.bytes.span.bytes)
    }
}
