import MartletBase
import MartletVersions

/// Stamps are what `Stamp` and `HybridClock` say of them: a node that restarts, with a clock set back or not,
/// issues none at or below what it issued before; and who sends a version again writes that version, and so
/// overtakes nobody.
struct Stamped {
    /// By process: the greatest time in an acknowledgement of its earlier lives, and of all its lives.
    private var earlier: [HybridTime]
    private var greatest: [HybridTime]
    private(set) var checked = 0

    init(processes: Int) {
        earlier = Array(repeating: .zero, count: processes)
        greatest = earlier
    }

    mutating func started(_ process: Int) { earlier[process] = greatest[process] }

    mutating func wrote(_ operation: Operation, _ stamp: Stamp, by process: Int) throws(Violation) {
        checked += 1
        if let retried = operation.retried, operation.kind != .expire {
            guard stamp == retried else {
                throw Violation(
                    "Stamped", key: operation.key,
                    "operation \(operation.number) sent the version \(retried) again, and it was "
                        + "written as \(stamp)"
                )
            }
            return
        }
        guard stamp.time > earlier[process] else {
            throw Violation(
                "Stamped", key: operation.key,
                "operation \(operation.number) was stamped \(stamp) by a node that had issued "
                    + "\(earlier[process]) before it "
                    + "was restarted")
        }
        greatest[process] = max(greatest[process], stamp.time)
    }
}
