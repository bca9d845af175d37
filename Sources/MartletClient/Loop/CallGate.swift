import Synchronization

/// How many calls are under way, each key of a batch being one. Entered by callers, left by the loop; bounds
/// everything behind it, the inbox included.
final class CallGate: Sendable {
    private let count = Atomic(0)
    let countMax: Int

    init(countMax: Int) { self.countMax = countMax }

    /// - Returns: false when that many don't fit in.
    func enter(_ calls: Int = 1) -> Bool {
        let before = count.wrappingAdd(calls, ordering: .relaxed).oldValue
        if before + calls <= countMax { return true }
        count.wrappingSubtract(calls, ordering: .relaxed)
        return false
    }

    func leave() { count.wrappingSubtract(1, ordering: .relaxed) }

    var underWay: Int { count.load(ordering: .relaxed) }
}
