import MartletBase
import MartletRing
import MartletVersions

/// Flushed: once a FLUSHDB is acknowledged at a level, no read at a level that meets it and begins later
/// shows what was written at or below its truncation; and in the end no disk holds it any more.
///
/// What other checkers expect of versions that a truncation may have hidden is nothing: from when the first
/// node knows of the truncation, each of them may be there or be gone (`mayHide`).
struct Flushed {
    private let levels: LevelTable
    private(set) var checked = 0
    /// The greatest truncation of the clients' keyspace that any node knows of.
    private var known: UInt64 = 0
    /// By class of levels: the greatest one that was acknowledged.
    private var acknowledged: [UInt64]

    init(levels: LevelTable) {
        self.levels = levels
        acknowledged = Array(repeating: 0, count: levels.classes)
    }

    /// A node writes a definition to its disk.
    mutating func met(_ definition: KeyspaceDefinition) {
        if definition.id == 0 { known = max(known, definition.truncation) }
    }

    func mayHide(_ version: HeldVersion) -> Bool { version.stamp.time.bits <= known }

    mutating func acknowledged(_ truncation: UInt64, _ levelClass: Int) {
        acknowledged[levelClass] = max(acknowledged[levelClass], truncation)
    }

    /// Whether one lost disk may take what a level has acknowledged.
    func isFragile(_ levelClass: Int) -> Bool { levels.isFragile(levelClass) }

    /// A disk is lost, and with it perhaps a flush that rested on it alone: it stands only as far as, of each
    /// key, another owner holds it.
    mutating func lost(heldElsewhere: UInt64) {
        for place in acknowledged.indices where isFragile(place) {
            acknowledged[place] = min(acknowledged[place], heldElsewhere)
        }
    }

    /// What a read that begins now must not show.
    func floor(_ levelClass: Int) -> UInt64 {
        var floor: UInt64 = 0
        for other in 0..<levels.classes where levels.meet(other, levelClass) {
            floor = max(floor, acknowledged[other])
        }
        return floor
    }

    mutating func read(_ operation: Operation, _ version: HeldVersion) throws(Violation) {
        checked += 1
        guard version == .none || version.stamp.time.bits > operation.truncationFloor else {
            throw Violation(
                "Flushed", key: operation.key,
                "\(operation.described) shows \(version), though a flush up to "
                    + "\(HybridTime(bits: operation.truncationFloor)) was acknowledged before it began")
        }
    }

    /// A disk is looked at when all is over.
    ///
    /// - Parameter truncation: what its node knows by then. A flush that nobody has acknowledged may have
    /// been
    ///   forgotten in a crash.
    mutating func atTheEnd(
        _ key: Int, onDiskOf name: String, behind truncation: UInt64, found: HeldVersion
    ) throws(Violation) {
        checked += 1
        guard truncation >= (acknowledged.max() ?? 0) else {
            throw Violation("Flushed", "\(name) has forgotten a flush that was acknowledged")
        }
        guard found == .none || found.stamp.time.bits > truncation else {
            throw Violation(
                "Flushed", key: key, "\(name) still holds \(found) of k\(key), which was flushed")
        }
    }
}
