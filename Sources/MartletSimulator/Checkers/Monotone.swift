import MartletBase
import MartletVersions

/// Monotone: with R + W > N no read shows less than an acknowledged write; with 2R > N none shows less than
/// an earlier read did; for LOCAL levels within the data centre. "Earlier" is by real time: acknowledged, or
/// answered, before the read began.
///
/// Versions are compared in the order of the register's join, so what has expired is no exception: its stamps
/// stay.
///
/// And last writer wins by real time too: a write that began after another was acknowledged has the greater
/// stamp, when their levels meet and both coordinators' clocks were right within the bound.
struct Monotone {
    let levels: LevelTable
    private(set) var checked = 0
    /// By key, then by class: the greatest version that was acknowledged, or shown.
    private var acknowledged: [HeldVersion]
    private var shown: [HeldVersion]
    /// The greatest stamp of those whose coordinators' clocks were right.
    private var stamped: [Stamp]

    init(levels: LevelTable, keys: Int) {
        self.levels = levels
        acknowledged = Array(repeating: .none, count: keys * levels.classes)
        shown = acknowledged
        stamped = Array(repeating: .zero, count: keys * levels.classes)
    }

    /// A disk is lost: what levels acknowledged that need one owner alone, or showed when one alone was sure
    /// to hold it, stands only as far as another owner holds it. True when that changed anything.
    mutating func lost(_ key: Int, heldElsewhere: HeldVersion) -> Bool {
        var hasFallen = false
        let base = key * levels.classes
        for place in 0..<levels.classes where levels.isFragile(place) {
            if acknowledged[base + place] > heldElsewhere {
                acknowledged[base + place] = heldElsewhere
                stamped[base + place] = min(stamped[base + place], heldElsewhere.stamp)
                hasFallen = true
            }
            if shown[base + place] > heldElsewhere {
                shown[base + place] = heldElsewhere
                hasFallen = true
            }
        }
        return hasFallen
    }

    /// What a read that begins now must show.
    func readFloor(_ key: Int, _ levelClass: Int) -> HeldVersion {
        var floor = HeldVersion.none
        let base = key * levels.classes
        for other in 0..<levels.classes {
            let written = acknowledged[base + other]
            if written > floor, levels.meet(other, levelClass) { floor = written }
            let read = shown[base + other]
            if read > floor, levels.keeps(other, for: levelClass) { floor = read }
        }
        return floor
    }

    /// What a write that begins now must exceed.
    func stampFloor(_ key: Int, _ levelClass: Int) -> Stamp {
        var floor = Stamp.zero
        let base = key * levels.classes
        for other in 0..<levels.classes where stamped[base + other] > floor {
            if levels.meet(other, levelClass) { floor = stamped[base + other] }
        }
        return floor
    }

    mutating func wrote(_ operation: Operation, _ version: HeldVersion) throws(Violation) {
        checked += 1
        let place = operation.key * levels.classes + operation.levelClass
        if operation.retried == nil, operation.kind != .expire,
            version.stamp <= operation.stampFloor
        {
            throw Violation(
                "Monotone", key: operation.key,
                "\(operation.described) began "
                    + "after a write stamped \(operation.stampFloor) was acknowledged, but was "
                    + "stamped below it: \(version)"
            )
        }
        acknowledged[place] = max(acknowledged[place], version)
        if operation.retried == nil {
            stamped[place] = max(stamped[place], version.stamp)
        }
    }

    /// - Parameter holders: the owners whose disks surely hold no less than what is shown.
    mutating func read(
        _ operation: Operation, _ version: HeldVersion, holders: Holders
    ) throws(Violation) {
        checked += 1
        guard version >= operation.floor else {
            throw Violation(
                "Monotone", key: operation.key,
                "\(operation.described) shows \(version), though "
                    + "\(operation.floor) was acknowledged or shown before it began")
        }
        guard version == .none || levels.isKept(operation.levelClass, by: holders) else {
            throw Violation(
                "Monotone", key: operation.key,
                "\(operation.described) shows \(version), which only "
                    + "\(holders.total) owners hold durably: a later read may show less")
        }
        let place = operation.key * levels.classes + operation.levelClass
        shown[place] = max(shown[place], version)
    }
}
