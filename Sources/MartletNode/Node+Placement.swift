import MartletBase
import MartletRing

/// Who owns which slots, in the form that coordinators and replicas use.
extension Node {
    /// Computes every keyspace's placement anew, in the form that the coordinator uses.
    mutating func placeSlots() {
        guard formation.isFormed else { return }
        noteAlterations()
        isMember = ring[configuration.id]?.isPlaced ?? false
        // Nobody has said otherwise of a keyspace in cluster.yaml. One that has lost its disk may not have
        // heard yet what others say.
        if isMember, rebuilding == nil { for id in keyspaces.confirm() { publishKeyspace(id) } }
        skew.isAlone = ring.entries.count(where: \.ownsTokens) == 1
        keyspaces.handover = ring.change == nil ? 0 : ring.shape
        for index in keyspaces.indices {
            let owned = keyspaces.spans(index) { $0.own != nil }
            placeSlots(index)
            slotsTurned(index, ownedBefore: owned)
        }
        for entry in ring.entries where entry.id != configuration.id {
            if let peer = peers.index(of: entry.id) {
                peers.setRebuilding(peer, entry.state == .rebuilding)
            }
        }
        rebuilding?.tickAt = now.monotonic
        compareWithFile()
        ringTurned()
    }

    /// Where this node is the ring says, whatever its file does: the zone changes by a move, the data centre
    /// never. A file that says otherwise is told of, at the start and when the node has moved.
    private mutating func compareWithFile() {
        guard let own = ring[configuration.id], own.zone != zoneCompared else { return }
        if own.zone != configuration.zone {
            effects.append(.report(.zoneDiffers(file: configuration.zone, ring: own.zone)))
        }
        if zoneCompared == nil, own.dataCenter != configuration.dataCenter {
            effects.append(
                .report(.dataCenterDiffers(file: configuration.dataCenter, ring: own.dataCenter)))
        }
        zoneCompared = own.zone
    }

    /// The same for those of these keyspaces that are there.
    mutating func placeSlots(of ids: [UInt32]) {
        guard formation.isFormed else { return }
        for id in ids { if let index = keyspaces.index(of: id) { placeSlots(index) } }
    }

    private mutating func placeSlots(_ index: Int) {
        keyspaces[index].placement = Placement(ring: ring, keyspace: keyspaces[index].definition)
        layOut(index)
    }

    /// Purge marks have risen in these slots: the sets of others stay. In a large ring every node hears of
    /// floors as often as there are nodes, and its sets are many.
    mutating func layOutMarks(_ index: Int, in spans: [SlotSpan]) {
        if !keyspaces.raiseMarks(index, in: spans) { layOut(index, before: keyspaces[index]) }
    }

    /// Divides the slots of a keyspace's placement by their purge marks as well.
    ///
    /// - Parameter before: how they were divided under the same placement.
    private mutating func layOut(_ index: Int, before: KeyspaceTable.Keyspace? = nil) {
        guard let placement = keyspaces[index].placement else { return }
        let definition = keyspaces[index].definition
        var centers = [ring[configuration.id]?.dataCenter ?? configuration.dataCenter]
        func number(_ name: String) -> Int {
            if let known = centers.firstIndex(of: name) { return known }
            centers.append(name)
            return centers.count - 1
        }
        // The placement numbers data centres otherwise.
        let factors = DataCenterFactors(definition.replication, number: number)
        let nextFactors =
            placement.isAltered
            ? DataCenterFactors(definition.copies.next, number: number) : factors
        let countsNewAlone = configuration.planted == .countJoinerAlone
        var known: [PlaceLayout: LevelRequirements] = [:]
        func requirements(_ layout: PlaceLayout) -> LevelRequirements {
            if let requirements = known[layout] { return requirements }
            let requirements = LevelRequirements(
                layout, factors: factors, nextFactors: nextFactors, countsNewAlone: countsNewAlone)
            known[layout] = requirements
            return requirements
        }
        let members = placement.members.map { (peer: introduced($0), dataCenter: number($0.dataCenter)) }
        var sets: [ReplicaSet] = []
        var lastSlots: [Slot] = []
        var setOfSlot: [UInt16] = []
        setOfSlot.reserveCapacity(Limits.slots)
        // Both the ranges and the runs of marks are ascending, and cover all slots.
        let runs = keyspaces[index].marks.runs
        var run = 0
        for range in placement.ranges {
            lazy var places = Self.places(of: range)
            while lastSlots.last != range.last {
                let last = min(runs[run].last, range.last.index)
                let levels = runs[run].levels
                if runs[run].last == last { run += 1 }
                setOfSlot.append(
                    contentsOf: repeatElement(UInt16(sets.count), count: Int(last) + 1 - setOfSlot.count))
                lastSlots.append(Slot(index: last))
                if let same = before?.set(of: last), same.marks == levels {
                    sets.append(same)
                    continue
                }
                let layout = PlaceLayout(
                    dataCenters: places.ordinals.map { members[$0].dataCenter }, old: places.old,
                    new: places.new)
                sets.append(
                    ReplicaSet(
                        peers: places.ordinals.map { members[$0].peer },
                        digest: placement.digest(of: range.first), marks: levels,
                        requirements: requirements(layout)))
            }
        }
        keyspaces[index].sets = sets
        keyspaces[index].lastSlots = lastSlots
        keyspaces[index].setOfSlot = setOfSlot
    }

    /// The old owners, then those of the new ones that aren't among them.
    private static func places(of range: SlotRange) -> (ordinals: [Int], old: Places, new: Places?) {
        var ordinals = range.owners.array
        let old = Places.first(ordinals.count)
        guard let next = range.next else { return (ordinals, old, nil) }
        var new = Places.none
        for ordinal in next.array {
            if !ordinals.contains(ordinal) { ordinals.append(ordinal) }
            if let place = ordinals.firstIndex(of: ordinal) { new.insert(place) }
        }
        return (ordinals, old, new)
    }

    /// The peer of a ring entry; one that gossip hasn't met yet counts as down.
    private mutating func introduced(_ entry: RingEntry) -> PeerIndex {
        if let peer = peers.index(of: entry.id) { return peer }
        let address = Address(ip: entry.address, port: entry.ports.peers)
        let peer = peers.addMember(entry.id, name: entry.name, address: address)
        effects.append(.introduce(peer, entry.id, address))
        return peer
    }
}
