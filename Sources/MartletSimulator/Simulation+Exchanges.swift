import MartletBase
import MartletNode
import MartletRing
import MartletVersions

/// What the checkers see of exchanges.
extension Simulation {
    mutating func exchangeBegan(_ process: SimulatedProcess, _ progress: ExchangeProgress) {
        // A transfer says nothing of what both hold.
        guard progress.keyspace == 0, progress.purpose != .transfer, plan.durability == .batch,
            process.loss == nil,
            let other = processes.first(where: { $0.id == progress.peer }), other.loss == nil
        else { return }
        let held = (0..<plan.workload.keys).map { key in
            // Of those that they own together, by the ring as the beginner has it.
            key < process.owners.count && isShared(key, process, other)
                ? max(process.disk.durableVersion(key), other.disk.durableVersion(key)) : .none
        }
        exchanged.began(process.index, with: other.index, at: progress.beganAt, held: held)
    }

    mutating func exchangeEnded(
        _ process: SimulatedProcess, _ progress: ExchangeProgress, _ outcome: ExchangeOutcome
    ) throws(Violation) {
        guard progress.keyspace == 0, progress.purpose != .transfer, !owners.isEmpty,
            let other = processes.first(where: { $0.id == progress.peer })
        else { return }
        let shared = (0..<plan.workload.keys).map { isShared($0, process, other) }
        let began = process.clock.instant(ofMonotonic: progress.beganAt)
        let horizons = [process, other].map { process in
            (0..<plan.workload.keys).map { horizon(process, $0) }
        }
        try exchanged.ended(process.index, with: other.index, begunAt: progress.beganAt, outcome) {
            key, held in
            // What lies behind a horizon may be hidden, and then it isn't moved: behind a truncation by when
            // its value was written, which an expiry set later doesn't change (`Record.isHidden`).
            let latest = max(held.stamp, held.expiryStamp).time.bits
            guard shared[key],
                horizons.allSatisfy({
                    held.stamp.time.bits > $0[key].truncation && latest > $0[key].purgeFloor
                })
            else { return nil }
            // What an owner has erased since it answered, because the slot is others' now, it had.
            return (progress.purpose.isOneWay ? [process] : [process, other]).map {
                $0.erasedAt >= began ? $0.everDurableVersion(key) : $0.disk.durableVersion(key)
            }.min()
        }
    }

    private func isShared(_ key: Int, _ process: SimulatedProcess, _ other: SimulatedProcess) -> Bool {
        let all = process.owners[key].all
        return all.contains(process.index) && all.contains(other.index)
    }

    /// Behind what a key doesn't count any more, as a process knows it.
    func horizon(_ process: SimulatedProcess, _ key: Int) -> Horizon {
        let slot = Token(key: WorkloadKeys.key(key)).slot
        return process.node?.horizon(keyspace: 0, slot) ?? .none
    }

    /// As the owners know it together: the news of a floor may be on its way between them.
    private func horizon(ofOwners owners: [Int], _ key: Int) -> Horizon {
        owners.reduce(into: Horizon.none) { greatest, owner in
            let own = horizon(processes[owner], key)
            greatest.truncation = max(greatest.truncation, own.truncation)
            greatest.purgeFloor = max(greatest.purgeFloor, own.purgeFloor)
        }
    }

    mutating func checkConvergence() throws(Violation) {
        guard !owners.isEmpty else { return }
        for key in 0..<plan.workload.keys {
            let stored = WorkloadKeys.stored(key)
            let agreed = horizon(ofOwners: owners[key].old, key)
            let digests = owners[key].old.map { owner -> (name: String, digest: UInt64) in
                let record = processes[owner].disk.read(stored)
                let isHidden = record.map { Record.isHidden($0.span, behind: agreed) } ?? true
                return (processes[owner].name, isHidden ? 0 : Record.digest(record))
            }
            try convergent.atTheEnd(key, digests)
            for process in present { try checkSum(process, key) }
        }
    }

    /// A node that starts is right about what it believes to know from its last run.
    mutating func checkSums(_ process: SimulatedProcess) throws(Violation) {
        for key in 0..<plan.workload.keys { try checkSum(process, key) }
    }

    /// What a node holds its disk to have in a key's leaf is what it has.
    private mutating func checkSum(_ process: SimulatedProcess, _ key: Int) throws(Violation) {
        let leaf = Token(value: WorkloadKeys.stored(key).token).leaf
        guard let sum = process.node?.leafSum(keyspace: 0, leaf: leaf.index) else { return }
        let held = process.disk.sum(of: leaf, behind: horizon(process, key))
        try convergent.isTrue(sum, held: held, leaf: leaf.index, of: process.name)
    }
}
