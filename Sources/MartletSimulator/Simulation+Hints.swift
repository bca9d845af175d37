import MartletBase
import MartletNode
import MartletRing
import MartletStorage

/// What the checkers see of hints.
extension Simulation {
    /// Whether hints may have helped to meet the level.
    func isWeak(_ operation: Operation) -> Bool { operation.level == .any || plan.hints.isSloppy }

    /// The owners that hold no less than the version, whatever crashes, or for whom a hint
    /// that is as durable does.
    func holdersOrHints(
        _ key: Int, _ version: HeldVersion, seenBy process: SimulatedProcess, isEnough: (Holders) -> Bool
    ) -> Holders {
        counts(key, seenBy: process, isEnough: isEnough) { isHeldOrHinted(key, version, by: $0) }
    }

    func isHeldOrHinted(_ key: Int, _ version: HeldVersion, by owner: Int) -> Bool {
        processes[owner].everDurableVersion(key) >= version
            || processes.contains { keeper in
                keeper.disk.durableHints(key, for: processes[owner].id).contains { $0.version >= version }
            }
    }

    /// Hints are about to be deleted.
    mutating func hintsDeleted(_ process: SimulatedProcess, _ keys: [Blob]) throws(Violation) {
        guard plan.durability == .batch else { return }
        for key in keys {
            guard let hint = process.disk.hint(key),
                let target = processes.first(where: { $0.id == hint.target }), !flushed.mayHide(hint.version)
            else { continue }
            // One that nobody counts on goes where its owners' hints have no room: their leaf is exchanged.
            if !hint.counts, plan.hints.isCapped, isMoved(target, hint.key, seenBy: process) { continue }
            // Whoever has left promises nothing any more: a floor may rise over what nobody counts on.
            if !hint.counts, process.node?.hasLeft == true, isBehindFloor(target, hint) { continue }
            let age = process.clock.now(at: now).wall.milliseconds - hint.time
            try hinted.deleted(
                hint, key, by: process.name, targetHolds: heldFor(target, hint.key, seenBy: process),
                isTooOld: Interval.milliseconds(age) >= plan.hints.window)
        }
    }

    private func isBehindFloor(_ target: SimulatedProcess, _ hint: Hinted.Hint) -> Bool {
        let slot = Token(key: WorkloadKeys.key(hint.key)).slot
        let floor = target.node?.purgeFloor(keyspace: 0, slot)
        return hint.version.stamp.time <= floor ?? .zero
    }

    /// The ring may have turned again between the decision and the deletion.
    private func isMoved(_ target: SimulatedProcess, _ key: Int, seenBy process: SimulatedProcess) -> Bool {
        statesSeen(by: process).contains { !$0[key].all.contains(target.index) }
    }

    /// What a target holds; or, of one that owns the key no more, what each of those that do holds, or a hint
    /// for it.
    private func heldFor(
        _ target: SimulatedProcess, _ key: Int, seenBy process: SimulatedProcess
    ) -> HeldVersion {
        let states = statesSeen(by: process)
        return states.reduce(target.everDurableVersion(key)) { held, state in
            guard !state[key].all.contains(target.index) else { return held }
            let byOwners = state[key].all.map { owner in
                let hinted = processes.flatMap { $0.disk.durableHints(key, for: processes[owner].id) }
                return hinted.reduce(processes[owner].everDurableVersion(key)) { max($0, $1.version) }
            }
            return max(held, byOwners.min() ?? .none)
        }
    }

    /// The cluster has had its time: what was kept for others has been delivered.
    mutating func checkHintsDrained() throws(Violation) {
        for process in present {
            let kept = process.disk.hintCount
            let counted = process.node?.currentMetrics().hints ?? kept
            guard kept == counted else {
                throw Violation("Hinted", "\(process.name) counts \(counted) hints, and has \(kept)")
            }
            guard kept == 0 else {
                throw Violation("Hinted", "\(process.name) still has \(kept) hints at the end")
            }
        }
        // A hint that counted may have been on a disk that is lost.
        guard plan.durability == .batch, lastLossAt == .zero else { return }
        var copy = hinted
        let flushed = flushed
        try copy.atTheEnd(exceptFor: { flushed.mayHide($0) }) { key, version, levelClass in
            holders(key, version, since: now, seenBy: present[0]) { levels.isMetInTheEnd(levelClass, by: $0) }
        }
        hinted = copy
    }
}
