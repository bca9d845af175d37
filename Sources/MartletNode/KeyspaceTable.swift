import MartletBase
import MartletMerkle
import MartletRing
import MartletVersions

/// The keyspaces in the order of their creation, each with its placement as the coordinator needs it, and the
/// definitions of those that were dropped.
struct KeyspaceTable {
    struct Keyspace {
        var definition: KeyspaceDefinition
        /// Known from this node's cluster.yaml alone: what the data folder or another node says of it counts
        /// in its place. (The file may have been edited since: joined, that would change what is in force.)
        fileprivate(set) var isAssumed = false
        /// For each slot its place in `sets`. Empty until the ring has formed.
        var setOfSlot: [UInt16] = []
        var sets: [ReplicaSet] = []
        /// The last slot of each of them: a set is of consecutive slots.
        var lastSlots: [Slot] = []
        var placement: Placement?
        /// How far its slots are purged.
        var marks = PurgeMarks()
        /// What is promised of all slots, durably, as far as this run knows.
        var promisedDurable = HybridTime.zero
        /// When a purge floor has last risen, in this run.
        var floorRaisedAt: Instant?
        /// How long reads take at this coordinator: what speculation waits for.
        var readLatency = LatencyWindow()
        /// The truncation that is durable at this node: at most the definition's.
        var truncationDurable: UInt64 = 0
        /// That through which this node's records have been swept; durable.
        var truncationSwept: UInt64 = 0

        init(_ definition: KeyspaceDefinition) { self.definition = definition }

        func set(of slot: UInt16) -> ReplicaSet? {
            setOfSlot.isEmpty ? nil : sets[Int(setOfSlot[Int(slot)])]
        }
    }

    /// In the order of SELECT's indexes.
    private(set) var all: [Keyspace] = []
    /// By id. They stay for ever, so that no id is given twice.
    private(set) var dropped: [KeyspaceDefinition] = []
    /// The places in `all` of ids that are not their places themselves.
    private var places: [UInt32: Int] = [:]
    /// Covers all definitions.
    private(set) var digest: UInt64 = 0
    /// The ring's shape while a change of it is in hand; else 0.
    var handover: UInt64 = 0

    init(founded: [KeyspaceDefinition]) {
        all = founded.map { definition in
            var keyspace = Keyspace(definition)
            keyspace.isAssumed = true
            return keyspace
        }
        invariant(all.count <= Limits.keyspacesMax, "\(all.count) keyspaces are over the limit")
        invariant(founded.contains { $0.id == KeyspaceDefinition.firstID }, "there is no first keyspace")
        arrange()
    }

    func index(of id: UInt32) -> Int? {
        // Those that the cluster was founded with are at the places of their ids, if none was dropped.
        let guess = Int(id)
        if guess < all.count, all[guess].definition.id == id { return guess }
        return places[id]
    }

    func index(named name: String) -> Int? { all.firstIndex { $0.definition.name == name } }

    subscript(index: Int) -> Keyspace {
        @inline(__always) _read { yield all[index] }
        @inline(__always) _modify { yield &all[index] }
    }

    var indices: Range<Int> { all.indices }

    // MARK: Definitions

    /// Every definition that is known, of dropped ones too.
    var definitions: [KeyspaceDefinition] { all.map(\.definition) + dropped }

    func definition(of id: UInt32) -> KeyspaceDefinition? {
        if let index = index(of: id) { return all[index].definition }
        return dropped.first { $0.id == id }
    }

    func isDropped(_ id: UInt32) -> Bool { dropped.contains { $0.id == id } }

    /// Merges a definition heard or recovered. Returns the ids of the definitions that this changed: none
    /// when it brought nothing new, and more than one when a name that two keyspaces had is settled.
    mutating func merge(_ definition: KeyspaceDefinition) -> [UInt32] {
        if let index = index(of: definition.id) {
            if all[index].isAssumed {
                all[index].isAssumed = false
                all[index].definition = definition
            } else {
                guard all[index].definition.merge(definition) else { return [] }
            }
        } else if let place = dropped.firstIndex(where: { $0.id == definition.id }) {
            guard dropped[place].merge(definition) else { return [] }
        } else {
            guard all.count + dropped.count < Limits.definitionsMax else { return [] }
            all.append(Keyspace(definition))
        }
        let changed = [definition.id] + settleName(definition.name)
        arrange()
        return changed
    }

    /// What the file says counts as if it were heard: there was nobody to hear it from. Returns the ids.
    mutating func confirm() -> [UInt32] {
        let assumed = all.indices.filter { all[$0].isAssumed }
        for index in assumed { all[index].isAssumed = false }
        return assumed.map { all[$0].definition.id }
    }

    /// Which there are, as all have heard, and nothing else of them.
    var standing: UInt64 {
        var writer = ByteWriter()
        for id in all.filter({ !$0.isAssumed }).map(\.definition.id).sorted() { writer.u32(id) }
        return XXH3.hash(writer.bytes.span.bytes)
    }

    /// Those that others may hear of.
    var told: [KeyspaceDefinition] { all.filter { !$0.isAssumed }.map(\.definition) + dropped }

    /// The planted bug: the later definition wins whole.
    mutating func replace(_ definition: KeyspaceDefinition) {
        if let index = index(of: definition.id) { all[index].definition = definition }
    }

    /// Two keyspaces of one name: the later creation is kept, the other is dropped.
    ///
    /// The later one, because who created it took the name for free: either the earlier one had been
    /// dropped, of which this node hasn't heard, or the two were created side by side, and then either will
    /// do. To keep the earlier one would let a node that was away through a drop and a new creation drop the
    /// new one. But the first keyspace, in which connections begin, always stays.
    private mutating func settleName(_ name: String) -> [UInt32] {
        let alike = all.indices.filter { all[$0].definition.name == name }
        guard alike.count > 1 else { return [] }
        let kept =
            alike.first { all[$0].definition.id == KeyspaceDefinition.firstID }
            ?? alike.max { KeyspaceDefinition.isListed(all[$0].definition, before: all[$1].definition) }
        for index in alike where index != kept { all[index].definition.isDropped = true }
        return alike.filter { $0 != kept }.map { all[$0].definition.id }
    }

    /// Puts what has been dropped aside, and the rest in order.
    private mutating func arrange() {
        dropped += all.map(\.definition).filter(\.isDropped)
        dropped.sort { $0.id < $1.id }
        all.removeAll(where: \.definition.isDropped)
        all.sort { KeyspaceDefinition.isListed($0.definition, before: $1.definition) }
        places.removeAll(keepingCapacity: true)
        for (index, keyspace) in all.enumerated() { places[keyspace.definition.id] = index }
        var writer = ByteWriter()
        for definition in definitions { definition.write(to: &writer) }
        digest = XXH3.hash(writer.bytes.span.bytes)
    }

    // MARK: Horizons

    /// Behind what the slot's records don't count any more.
    func horizon(_ index: Int, _ slot: Slot) -> Horizon {
        Horizon(
            truncation: all[index].definition.truncation,
            purgeFloor: replicas(index, of: slot)?.floor.bits ?? 0)
    }

    /// Whether that is one and the same for two slots of a keyspace.
    func haveOneHorizon(_ index: Int, _ a: Slot, _ b: Slot) -> Bool {
        guard !all[index].setOfSlot.isEmpty else { return true }
        let first = all[index].setOfSlot[Int(a.index)]
        let second = all[index].setOfSlot[Int(b.index)]
        return first == second || all[index].sets[Int(first)].floor == all[index].sets[Int(second)].floor
    }

    /// The same by a keyspace's id; of one that isn't there nothing counts.
    func horizon(of id: UInt32, _ slot: Slot) -> Horizon {
        index(of: id).map { horizon($0, slot) } ?? Horizon(truncation: .max)
    }

    /// The same though the ring may not have formed yet.
    func markedHorizon(of id: UInt32, _ slot: Int) -> Horizon {
        guard let index = index(of: id) else { return .none }
        return Horizon(
            truncation: all[index].definition.truncation,
            purgeFloor: all[index].marks[UInt16(slot)].floor.bits)
    }

    // MARK: Placement

    func replicas(_ index: Int, of slot: Slot) -> ReplicaSet? {
        guard !all[index].setOfSlot.isEmpty else { return nil }
        return all[index].sets[Int(all[index].setOfSlot[Int(slot.index)])]
    }

    /// The slots around this one that have its owners and its purge marks.
    func span(_ index: Int, of slot: Slot) -> SlotSpan {
        let set = Int(all[index].setOfSlot[Int(slot.index)])
        return SlotSpan(
            first: set == 0 ? 0 : all[index].lastSlots[set - 1].index + 1,
            last: all[index].lastSlots[set].index)
    }

    /// Takes over risen purge marks into the sets of these slots; false when that would divide a set.
    mutating func raiseMarks(_ index: Int, in spans: [SlotSpan]) -> Bool {
        guard !all[index].setOfSlot.isEmpty else { return true }
        for span in spans {
            var slot = span.first
            while true {
                let place = Int(all[index].setOfSlot[Int(slot)])
                let whole = self.span(index, of: Slot(index: slot))
                guard whole.first >= span.first, whole.last <= span.last else { return false }
                let marks = all[index].marks[slot]
                if all[index].sets[place].marks != marks {
                    all[index].sets[place] = ReplicaSet(all[index].sets[place], marks: marks)
                }
                if whole.last == span.last { break }
                slot = whole.last + 1
            }
        }
        return true
    }

    /// Consecutive slots that are owned by the same nodes, though each node's place may differ.
    struct Run {
        let last: Slot
        /// The places as the first slot has them.
        let replicas: ReplicaSet
        /// Covers what the digests of all the slots do.
        let digest: UInt64
    }

    /// Who owns slots, in no order, before the change in hand and after it.
    private struct Owning: Equatable {
        let old: [PeerIndex]
        let new: [PeerIndex]

        init(_ replicas: ReplicaSet) {
            func peers(_ places: Places) -> [PeerIndex] {
                replicas.peers.indices.filter { places.contains($0) }.map { replicas.peers[$0] }.sorted()
            }
            old = peers(replicas.old)
            new = replicas.isJoint ? peers(replicas.new) : old
        }
    }

    /// The longest run from one slot to another at most; nil while the ring forms.
    func run(_ index: Int, from first: Slot, through bound: Slot) -> Run? {
        guard !all[index].setOfSlot.isEmpty else { return nil }
        var set = Int(all[index].setOfSlot[Int(first.index)])
        let replicas = all[index].sets[set]
        let owners = Owning(replicas)
        // Sets that differ in what doesn't show in their digests are one: other nodes divide them otherwise.
        var writer = ByteWriter()
        while true {
            let digest = all[index].sets[set].digest
            let last = all[index].lastSlots[set]
            set += 1
            let isEnd =
                last >= bound || set == all[index].sets.count || Owning(all[index].sets[set]) != owners
            if isEnd || all[index].sets[set].digest != digest {
                writer.u64(digest)
                writer.u16(min(last, bound).index)
            }
            if isEnd {
                return Run(
                    last: min(last, bound), replicas: replicas, digest: XXH3.hash(writer.bytes.span.bytes))
            }
        }
    }

    /// Whether any of its slots change hands.
    func isJoint(_ index: Int) -> Bool { all[index].sets.contains(where: \.isJoint) }

    /// The slots for which a condition holds, as spans that don't touch.
    func spans(_ index: Int, where condition: (ReplicaSet) -> Bool) -> [SlotSpan] {
        var spans: [SlotSpan] = []
        var first: UInt16 = 0
        for (place, set) in all[index].sets.enumerated() {
            let last = all[index].lastSlots[place].index
            if condition(set) {
                if let before = spans.last, before.last &+ 1 == first {
                    spans[spans.count - 1] = SlotSpan(first: before.first, last: last)
                } else {
                    spans.append(SlotSpan(first: first, last: last))
                }
            }
            first = last &+ 1
        }
        return spans
    }

    /// Whose records this node needs for the change in hand, in order: those of the old owners of the slots
    /// that it gains. A keyspace that gets fewer copies loses owners whose place nobody takes, and what they
    /// alone were counted for must be held by all that stay.
    func sources(_ index: Int) -> [PeerIndex] {
        let isAltered = all[index].placement?.isAltered ?? false
        var sources: Set<PeerIndex> = []
        for set in all[index].sets {
            let needed =
                set.isGained ? set.old : isAltered && set.isKept ? set.old.subtracting(set.new) : .none
            needed.forEach { sources.insert(set.peers[$0]) }
        }
        return sources.sorted()
    }

    /// The other owners of what this node owns, in order.
    func partners(_ index: Int) -> [PeerIndex] {
        var partners: Set<PeerIndex> = []
        for set in all[index].sets where set.own != nil { partners.formUnion(set.peers) }
        partners.remove(PeerTable.own)
        return partners.sorted()
    }

    /// The leaves that this node and a peer both own; nil while the ring forms.
    ///
    /// The digest covers what both must agree on to compare them: the slots, their placements and their
    /// horizons; and while a change of the ring is in hand its shape, because what a new owner has compared
    /// counts only if the old one has not been in another state since.
    func commonLeaves(_ index: Int, with peer: PeerIndex) -> CommonLeaves? {
        guard !all[index].setOfSlot.isEmpty else { return nil }
        // Sets that differ in what doesn't show in their digests are one: other nodes divide them otherwise.
        var leaves = LeafRanges()
        var writer = ByteWriter()
        writer.u64(handover)
        var first: UInt32 = 0
        for (place, set) in all[index].sets.enumerated() {
            let last = UInt32(all[index].lastSlots[place].index)
            let isContinued =
                place + 1 < all[index].sets.count && all[index].sets[place + 1].digest == set.digest
            guard !isContinued else { continue }
            if set.own != nil, set.place(of: peer) != nil {
                leaves.append(first * 16...(last * 16 + 15))
                writer.u32(first)
                writer.u32(last)
                writer.u64(set.digest)
            }
            first = last + 1
        }
        return CommonLeaves(leaves: leaves, digest: XXH3.hash(writer.bytes.span.bytes))
    }
}
