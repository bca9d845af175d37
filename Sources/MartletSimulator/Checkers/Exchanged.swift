import MartletBase
import MartletNode

/// Exchanged: when an exchange is complete, both of its owners durably hold, of every key that both own, no
/// less than either durably held when it began; when it is one that goes one way, the owner that began it
/// does. Purging, rebuilding and handovers rely on it.
struct Exchanged {
    private struct Begun: Hashable {
        let beginner: Int
        let other: Int
        /// On the beginner's clock.
        let at: Instant
    }

    private var begun: [Begun: [HeldVersion]] = [:]
    private(set) var checked = 0

    /// - Parameter held: by key, the greater of what the two surely hold.
    mutating func began(_ beginner: Int, with other: Int, at instant: Instant, held: [HeldVersion]) {
        begun[Begun(beginner: beginner, other: other, at: instant)] = held
    }

    /// - Parameter holds: of a key, the lesser of what the two surely hold now; nil where they don't share it
    ///   or what was held doesn't count any more.
    mutating func ended(
        _ beginner: Int, with other: Int, begunAt instant: Instant, _ outcome: ExchangeOutcome,
        holds: (Int, HeldVersion) -> HeldVersion?
    ) throws(Violation) {
        let held = begun.removeValue(forKey: Begun(beginner: beginner, other: other, at: instant))
        guard let held, outcome == .complete else { return }
        for key in held.indices {
            guard let now = holds(key, held[key]) else { continue }
            checked += 1
            guard now < held[key] else { continue }
            throw Violation(
                "Exchanged", key: key,
                "an exchange is complete, but one side surely holds only \(now), and \(held[key]) was held "
                    + "when it began")
        }
    }

    /// The process is gone, and its exchanges with it.
    mutating func died(_ process: Int) { begun = begun.filter { $0.key.beginner != process } }

    /// What the process held is gone; an answer that it gave before may still be on its way.
    mutating func lostDisk(_ process: Int) {
        begun = begun.filter { $0.key.beginner != process && $0.key.other != process }
    }
}
