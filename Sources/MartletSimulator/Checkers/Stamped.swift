import MartletBase
import MartletVersions

/// Stamps are what `Stamp` and `HybridClock` say of them: a node that restarts, with a clock set back or not,
/// issues none at or below what it issued before; and who sends a version again writes that version, and so
/// overtakes nobody. No boot number serves two lives: it is what tells their stamps apart.
struct Stamped {
    /// By process: the greatest time in an acknowledgement of its earlier lives, and of all its lives.
    private var earlier: [HybridTime]
    private var greatest: [HybridTime]
    /// By process: which life has issued stamps with a boot number.
    private var lives: [[UInt32: UInt32]]
    private(set) var checked = 0

    init(processes: Int) {
        earlier = Array(repeating: .zero, count: processes)
        greatest = earlier
        lives = Array(repeating: [:], count: processes)
    }

    mutating func started(_ process: Int) { earlier[process] = greatest[process] }

    /// A disk that has lost something may have lost the ceiling of stamps; its node goes on above what its
    /// peers have heard.
    mutating func lost(_ process: Int) {
        earlier[process] = .zero
        greatest[process] = .zero
    }

    mutating func wrote(
        _ operation: Operation, _ stamp: Stamp, by process: Int, _ id: NodeID
    ) throws(Violation) {
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
        if stamp.writer.node == id.short {
            let life = lives[process][stamp.writer.boot] ?? operation.life
            guard life == operation.life else {
                throw Violation(
                    "Stamped", key: operation.key,
                    "operation \(operation.number) was stamped \(stamp), and an earlier run of the node has "
                        + "had that boot number")
            }
            lives[process][stamp.writer.boot] = life
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
