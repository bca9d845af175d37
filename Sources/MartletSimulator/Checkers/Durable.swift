import MartletBase

/// Durable: a write that was acknowledged at level L under `batch` and a strict quorum is, for ever after,
/// present at or dominated on every set of replicas that a read at a level meeting L consults.
///
/// Checked in three steps that together say it:
///
/// 1. When a write is acknowledged, owners that satisfy L hold it where no crash can take it back
///    (`acknowledged`).
/// 2. What is there stays there: after each crash, and at the end, each disk is read and holds no less
///    (`stays`).
/// 3. Any set that a read at a level meeting L consults shares an owner with any set that satisfies L; that
///    is arithmetic (`LevelTable`).
struct Durable {
    let levels: LevelTable
    private(set) var checked = 0

    init(levels: LevelTable) { self.levels = levels }

    /// - Parameter holders: the owners whose disks surely hold no less than the version.
    mutating func acknowledged(
        _ operation: Operation, _ version: HeldVersion, holders: Holders
    ) throws(Violation) {
        checked += 1
        guard levels.isMet(operation.levelClass, by: holders) else {
            throw Violation(
                "Durable", key: operation.key,
                "\(operation.described) was "
                    + "acknowledged as \(version), which needs "
                    + "\(levels.required(operation.levelClass, holders.factor)) owners, but only "
                    + "\(holders.total) hold it durably")
        }
    }

    /// A disk is read back.
    mutating func stays(
        _ key: Int, onDiskOf name: String, atLeast durable: HeldVersion, found: HeldVersion
    ) throws(Violation) {
        checked += 1
        guard found >= durable else {
            throw Violation(
                "Durable", key: key, "the disk of \(name) has lost k\(key): it held \(durable), now \(found)")
        }
    }
}
