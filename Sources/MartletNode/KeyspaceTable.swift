import MartletBase
import MartletRing

/// The keyspaces by id, each with its placement as the coordinator needs it.
struct KeyspaceTable {
    struct Keyspace {
        var definition: KeyspaceDefinition
        /// For each slot its place in `sets`. Empty until the ring has formed.
        var setOfSlot: [UInt16] = []
        var sets: [ReplicaSet] = []
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
}
