import MartletBase
import MartletNode
import MartletStorage

/// What the checkers see of hints.
extension Simulation {
    /// Whether hints may have helped to meet the level.
    func isWeak(_ operation: Operation) -> Bool { operation.level == .any || plan.hints.isSloppy }

    /// By data centre: the owners that hold no less than the version, whatever crashes, or for whom a hint
    /// that is as durable does.
    func holdersOrHints(_ key: Int, _ version: HeldVersion) -> [Int] {
        var counts = Array(repeating: 0, count: levels.centres)
        guard !owners.isEmpty else { return counts }
        for owner in owners[key] {
            let isHeld =
                processes[owner].disk.durableVersion(key) >= version
                || processes.contains { keeper in
                    keeper.disk.durableHints(key, for: processes[owner].id).contains { $0.version >= version }
                }
            if isHeld { counts[centreOfProcess[owner]] += 1 }
        }
        return counts
    }

    /// Hints are about to be deleted.
    mutating func hintsDeleted(_ process: SimulatedProcess, _ keys: [Blob]) throws(Violation) {
        guard plan.durability == .batch else { return }
        for key in keys {
            guard let hint = process.disk.hint(key),
                let target = processes.first(where: { $0.id == hint.target }), !flushed.mayHide(hint.version)
            else { continue }
            let age = process.clock.now(at: now).wall.milliseconds - hint.time
            try hinted.deleted(
                hint, key, by: process.name, targetHolds: target.everDurableVersion(hint.key),
                isTooOld: Interval.milliseconds(age) >= plan.hints.window)
        }
    }

    /// The cluster has had its time: what was kept for others has been delivered.
    mutating func checkHintsDrained() throws(Violation) {
        for process in processes {
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
        try copy.atTheEnd(exceptFor: { flushed.mayHide($0) }) { holders($0, $1, since: now) }
        hinted = copy
    }
}
