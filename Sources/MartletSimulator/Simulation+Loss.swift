import MartletBase
import MartletNode
import MartletStorage
import MartletVersions

/// A disk that has lost something, from the fault until the node has rebuilt it.
struct DiskLoss {
    /// What is in the place of the folder.
    enum Kind: String {
        case emptied
        /// An older copy, made of its files.
        case copy
        /// An older state of the whole disk, which looks as it did then down to the files' numbers.
        case image
    }

    var kind: Kind
    var at: Instant
    /// Whether the node knows of it.
    var isNoticed = false
}

/// Lost disks: only so many as the levels tolerate, so one at a time, and none before the last is rebuilt.
///
/// What levels that need one owner alone had acknowledged goes with the disk, unless another owner happens to
/// hold it; the checkers' floors of these fall to that (`Monotone.lost`). All other promises stand.
extension Simulation {
    /// How long it may take until a node knows that its disk isn't what it was.
    static let noticedWithin = Interval.seconds(20)

    /// Between the return of an older image and the node's knowing it, no other fault strikes, and the
    /// network is good: what nobody is there to notice can't be noticed (`Vouching`).
    var isUnnoticed: Bool { processes.contains { $0.loss?.kind == .image && $0.loss?.isNoticed == false } }

    func mayLose(_ process: SimulatedProcess) -> Bool {
        present.count > 1 && process.state == .running && now - process.wellSince > .seconds(5)
            && process.node?.isMember == true
            // Of the ring, too, somebody must be left who knows it.
            && furthestRing.entries.count(where: \.isPlaced) > 1
            // When every folder is empty, that is a new cluster.
            && present.allSatisfy { $0.isFormed && $0.loss == nil && $0.node?.isRebuilding != true }
            // Nor is it the last that has what a dead one had.
            && processes.allSatisfy { !$0.isForsaken || $0.isGone }
    }

    mutating func loseDisk(_ kind: FaultKind) throws(Violation) {
        let candidates = processes.filter { mayLose($0) }
        guard !candidates.isEmpty else { return }
        let process = candidates[faults.below(candidates.count)]
        guard kind == .wipedFolder else {
            record("the disk of \(process.name) is copied")
            let copy = process.disk.copy()
            schedule(
                .restored(process.index, copy), after: faults.within(.milliseconds(500)...(.seconds(20))))
            return
        }
        let empty = SimulatedDisk(durability: plan.durability)
        process.folderID = NodeID(random: &seeds)
        try replace(process, by: empty, .emptied)
    }

    /// An older copy of the disk is put back.
    mutating func restore(_ process: SimulatedProcess, _ copy: SimulatedDisk) throws(Violation) {
        guard phase == .faults, mayLose(process) else { return }
        guard faults.chance(0.5), isNoticeable(process, copy) else {
            copy.isForeign = true
            return try replace(process, by: copy, .copy)
        }
        weather = network.conditions
        network.conditions = SimulatedNetwork.Conditions()
        try replace(process, by: copy, .image)
    }

    /// Whether all others are there, and remember more of the node than the image does.
    private func isNoticeable(_ process: SimulatedProcess, _ image: SimulatedDisk) -> Bool {
        present.allSatisfy { other in
            let isGood = other.clock.wallError(at: now).magnitude < .milliseconds(100)
            guard other !== process else { return isGood }
            guard isGood, other.state == .running, now - other.wellSince > .seconds(5),
                network.isOpen(process.index, other.index),
                let known = other.node?.remembered(process.folderID)
            else { return false }
            return known.time > image.stampCeiling
        }
    }

    mutating func replace(
        _ process: SimulatedProcess, by disk: SimulatedDisk, _ kind: DiskLoss.Kind
    ) throws(Violation) {
        record("\(process.name) is stopped, and its folder is replaced: \(kind.rawValue)")
        try lose(process, by: disk, kind)
        scheduleStart(process, .milliseconds(10)...(.seconds(5)))
    }

    /// The process ends, and what its disk held counts no more.
    mutating func lose(
        _ process: SimulatedProcess, by disk: SimulatedDisk, _ kind: DiskLoss.Kind
    ) throws(Violation) {
        try ended(process, .killed)
        ringLost(by: process)
        process.keepFormerVersions(isLoss: true)
        disk.conditions = process.disk.conditions
        process.disk = disk
        process.loss = DiskLoss(kind: kind, at: now)
        exchanged.lostDisk(process.index)
        lastLossAt = now
        flushed.lost(heldElsewhere: truncationHeld(withoutDiskOf: process))
        operations.updatePending(from: firstPending) {
            $0.truncationFloor = min($0.truncationFloor, flushed.floor($0.levelClass))
        }
        causal.lost(isSloppy: plan.hints.isSloppy)
        for number in cartRequests.keys { cartRequests[number]?.floor = [] }
        stamped.lost(process.index)
        for key in owners.indices where owners[key].all.contains(process.index) {
            if owners[key].lists.contains(where: { $0.owners == [process.index] }) {
                noResurrection.lost(key)
                // What the copy had purged, it doesn't hold.
                let stored = WorkloadKeys.stored(key)
                if disk.read(stored) == nil { disk.letGo([stored]) }
            }
            let rest =
                leastLeft(owners[key], afterLossOf: process) { processes[$0].disk.durableVersion(key) }
                ?? .none
            guard monotone.lost(key, heldElsewhere: rest) else { continue }
            for index in walks.indices { walks[index].floors[key] = .none }
            operations.updatePending(from: firstPending) { operation in
                if operation.key == key {
                    operation.floor = .none
                    operation.purged = noResurrection.purged(key)
                }
            }
        }
    }

    /// The truncation that the rest of every key's owners hold, whatever crashes.
    private func truncationHeld(withoutDiskOf process: SimulatedProcess) -> UInt64 {
        let held = processes.map { $0 === process ? 0 : $0.disk.durableTruncation(keyspace: 0) }
        let shared = owners.filter { $0.all.contains(process.index) }
        return shared.compactMap { leastLeft($0, afterLossOf: process) { held[$0] } }.min() ?? 0
    }

    /// The most that is held in each list of owners that has lost a disk, and of these lists the least: the
    /// change in hand may be completed, or called off.
    private func leastLeft<Held: Comparable>(
        _ owners: KeyOwners, afterLossOf process: SimulatedProcess, _ held: (Int) -> Held
    ) -> Held? {
        owners.lists.map(\.owners).filter { $0.contains(process.index) }
            .compactMap { $0.map(held).max() }.min()
    }

    /// The cluster has told a node what its folder must become.
    mutating func told(_ process: SimulatedProcess, _ order: RebuildOrder) throws(Violation) {
        guard process.hasLost else {
            throw Violation("Rebuilt", "\(process.name) is told to rebuild a disk that has lost nothing")
        }
        guard order.id == process.id else {
            throw Violation("Rebuilt", "\(process.name) is told to be another node than it was")
        }
        try ended(process, .killed)
        process.folderID = order.id
        process.disk.become(order)
        noticed(process)
        scheduleStart(process, .milliseconds(10)...(.milliseconds(200)))
    }

    /// The node knows that it must rebuild.
    mutating func noticed(_ process: SimulatedProcess) {
        guard let loss = process.loss, !loss.isNoticed, process.folderID == process.id else { return }
        process.loss?.isNoticed = true
        if let before = weather, phase == .faults { network.conditions = before }
        weather = nil
    }

    mutating func rebuilt(_ process: SimulatedProcess) {
        process.loss = nil
    }

    /// Once a second.
    func checkLosses() throws(Violation) {
        for process in processes {
            guard let loss = process.loss, loss.kind == .image, !loss.isNoticed,
                now - loss.at > Self.noticedWithin
            else { continue }
            throw Violation(
                "Rebuilt", "\(process.name) runs on an older image of its disk, and nobody has noticed")
        }
    }
}
