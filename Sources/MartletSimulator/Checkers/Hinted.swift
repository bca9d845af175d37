import MartletBase

/// Hinted: what a hint was counted for reaches the owners, and no hint goes before what it holds is there.
///
/// 1. A write that was met with the help of hints (at ANY, or under a sloppy quorum) is durable at owners, or
///    in hints for them, as many as its level asks for (`Durable.acknowledged`, with the hints counted).
/// 2. A hint is deleted when its target durably holds no less, or when nobody counts on it and it is older
///    than the window (`deleted`), or its keeper has left the ring and its target's purge floor is above it.
/// 3. At the end, all faults long over, no hint is left, and the owners themselves hold what was
///    acknowledged, as many as its level asks for (`atTheEnd`).
struct Hinted {
    /// Of a hint on a disk.
    struct Hint: Hashable {
        var key: Int
        var target: NodeID
        var version: HeldVersion
        var counts: Bool
        /// When it was written, in milliseconds since 1970.
        var time: Int64
    }

    private let levels: LevelTable
    private(set) var checked = 0
    /// Deleted for their age. A deletion that the disk refuses is asked for again, whatever the clock shows
    /// by then.
    private var old: Set<Blob> = []
    /// By key, then by class of levels: the greatest version that hints were counted for.
    private var acknowledged: [HeldVersion]

    init(levels: LevelTable, keys: Int) {
        self.levels = levels
        acknowledged = Array(repeating: .none, count: keys * levels.classes)
    }

    mutating func acknowledged(_ operation: Operation, _ version: HeldVersion) {
        let place = operation.key * levels.classes + operation.levelClass
        acknowledged[place] = max(acknowledged[place], version)
    }

    mutating func deleted(
        _ hint: Hint, _ stored: Blob, by name: String, targetHolds held: HeldVersion, isTooOld: Bool
    ) throws(Violation) {
        checked += 1
        if isTooOld, !hint.counts { old.insert(stored) }
        guard held >= hint.version || old.contains(stored) else {
            throw Violation(
                "Hinted", key: hint.key,
                "\(name) deletes a hint of \(hint.version) though its target holds only \(held)")
        }
    }

    /// - Parameter holders: the owners that durably hold no less than a version of a key.
    mutating func atTheEnd(
        exceptFor isFlushed: (HeldVersion) -> Bool, _ holders: (Int, HeldVersion, Int) -> Holders
    ) throws(Violation) {
        for place in acknowledged.indices
        where acknowledged[place] > .none && !isFlushed(acknowledged[place]) {
            checked += 1
            let (key, levelClass) = (place / levels.classes, place % levels.classes)
            guard levels.isMetInTheEnd(levelClass, by: holders(key, acknowledged[place], levelClass)) else {
                throw Violation(
                    "Hinted", key: key,
                    "\(acknowledged[place]) of k\(key) was acknowledged with the help of hints, and in "
                        + "the end too few owners hold it")
            }
        }
    }
}
