import MartletBase
import MartletVersions

/// Scanned: a key that was there throughout a walk is listed, a key that was away throughout is not, none is
/// listed twice, and a count lies between what was surely and what was possibly there.
///
/// What is sure follows from `Monotone`'s floor when the walk began: a value without expiry that no operation
/// can have removed is there; a tombstone that no put can have replaced is away. Everything else may be
/// either.
struct Scanned {
    private(set) var checked = 0

    init() {}

    enum Certainty { case present, absent, unsure }

    /// What is sure of a key from the beginning of a walk to its end.
    ///
    /// - Parameters:
    ///   - floor: what every replica set of the walk's level showed at least, when the walk began.
    ///   - isTombstone: whether that is a deletion.
    ///   - isFlushed: whether a flush may have hidden that, before the walk or during it.
    ///   - operations: all that clients have asked of the key until now.
    func certainty(
        floor: HeldVersion, isTombstone: Bool, isFlushed: Bool, operations: [Operation]
    ) -> Certainty {
        guard floor > .none, !isFlushed else { return .unsure }
        for operation in operations {
            switch operation.kind {
            case .get, .getLocal: continue
            // Another expiry of the value, or of one before it.
            case .expire: if isTombstone { continue }
            case .delete: if isTombstone { continue }
            case .put: if !isTombstone, operation.expiry == nil { continue }
            }
            if operation.state == .refused, !operation.wasSent { continue }
            if let written = operation.written, written < floor.stamp { continue }
            return .unsure
        }
        return isTombstone ? .absent : .present
    }

    /// A walk has come to its end.
    mutating func walked(_ walk: ScanWalk, _ certainties: [Certainty]) throws(Violation) {
        checked += 1
        switch walk.wanted {
        case .count:
            let sure = certainties.count { $0 == .present }
            let possible = certainties.count { $0 != .absent }
            guard (sure...possible).contains(walk.counted) else {
                throw Violation(
                    "Scanned",
                    "\(walk.described) counted \(walk.counted) keys; at least \(sure) were there throughout, "
                        + "and at most \(possible) can have been")
            }
        case .keys:
            for (key, certainty) in certainties.enumerated() {
                switch certainty {
                case .present where !walk.isListed[key]:
                    throw Violation(
                        "Scanned", key: key,
                        "\(walk.described) does not list k\(key), which was there throughout")
                case .absent where walk.isListed[key]:
                    throw Violation(
                        "Scanned", key: key, "\(walk.described) lists k\(key), which was deleted throughout")
                default: break
                }
            }
        }
    }
}
