import MartletBase
import MartletRing

/// The keyspaces by id, each with its placement as the coordinator needs it.
struct KeyspaceTable {
    struct Keyspace {
        var definition: KeyspaceDefinition
        /// For each slot its place in `sets`. Empty until the ring has formed.
        var setOfSlot: [UInt16] = []
        var sets: [ReplicaSet] = []
        /// The last slot of each of them: a set is of consecutive slots.
        var lastSlots: [Slot] = []
        var placement: Placement?
        /// How long reads take at this coordinator: what speculation waits for.
        var readLatency = LatencyWindow()
    }

    /// In the order of their ids.
    private(set) var all: [Keyspace]

    init(founded: [KeyspaceDefinition]) {
        all = founded.map { Keyspace(definition: $0) }
        all.sort { $0.definition.id < $1.definition.id }
        invariant(all.count <= Limits.keyspacesMax, "\(all.count) keyspaces are over the limit")
    }

    func index(of id: UInt32) -> Int? {
        // Ids are given in order from zero, so the first guess is nearly always right.
        let guess = Int(id)
        if guess < all.count, all[guess].definition.id == id { return guess }
        return all.firstIndex { $0.definition.id == id }
    }

    subscript(index: Int) -> Keyspace {
        @inline(__always) _read { yield all[index] }
        @inline(__always) _modify { yield &all[index] }
    }

    var indices: Range<Int> { all.indices }

    /// Merges a definition heard or recovered: the later stamp wins. False when it changed nothing.
    mutating func merge(_ definition: KeyspaceDefinition) -> Bool {
        guard let index = index(of: definition.id) else {
            guard all.count < Limits.keyspacesMax else { return false }
            all.append(Keyspace(definition: definition))
            all.sort { $0.definition.id < $1.definition.id }
            return true
        }
        return all[index].definition.merge(definition)
    }

    func replicas(_ index: Int, of slot: Slot) -> ReplicaSet? {
        guard !all[index].setOfSlot.isEmpty else { return nil }
        return all[index].sets[Int(all[index].setOfSlot[Int(slot.index)])]
    }

    /// Consecutive slots that are owned by the same nodes, though each node's place may differ.
    struct Run {
        let last: Slot
        /// The places as the first slot has them.
        let replicas: ReplicaSet
        /// Covers what the digests of all the slots do.
        let digest: UInt64
    }

    /// The longest run from one slot to another at most; nil while the ring forms.
    func run(_ index: Int, from first: Slot, through bound: Slot) -> Run? {
        guard !all[index].setOfSlot.isEmpty else { return nil }
        var set = Int(all[index].setOfSlot[Int(first.index)])
        let replicas = all[index].sets[set]
        let owners = replicas.peers.sorted()
        var writer = ByteWriter()
        while true {
            writer.u64(all[index].sets[set].digest)
            let last = all[index].lastSlots[set]
            set += 1
            if last >= bound || set == all[index].sets.count || all[index].sets[set].peers.sorted() != owners
            {
                return Run(
                    last: min(last, bound), replicas: replicas, digest: XXH3.hash(writer.bytes.span.bytes))
            }
        }
    }
}
