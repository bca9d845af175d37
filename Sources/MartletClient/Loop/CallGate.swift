import Synchronization

/// How many calls are under way, each key of a batch being one. Entered by callers, left by whoever ends the
/// call; bounds everything behind it, the inbox included.
///
/// It is also what makes an end safe: after `close` nobody enters, and the loop runs until all who had
/// entered before have been answered, so no call can be left in an inbox that nobody reads any more.
final class CallGate: Sendable {
    /// Added by `close`, far above any limit, so that one number says both.
    private static let closed = 1 << 40

    private let count = Atomic(0)
    private let isClosing = Atomic(false)
    let countMax: Int

    init(countMax: Int) { self.countMax = countMax }

    /// - Throws: `tooManyCalls` when that many don't fit in, `closed` after the end.
    func enter(_ calls: Int = 1) throws(MartletError) {
        let before = count.wrappingAdd(calls, ordering: .relaxed).oldValue
        if before + calls <= countMax { return }
        count.wrappingSubtract(calls, ordering: .relaxed)
        if before < Self.closed { throw .tooManyCalls(max: countMax) }
        throw .closed(.init(mayHaveHappened: false, version: nil, node: nil))
    }

    func leave(_ calls: Int = 1) { count.wrappingSubtract(calls, ordering: .relaxed) }

    /// May be called again.
    func close() {
        if isClosing.exchange(true, ordering: .relaxed) { return }
        count.wrappingAdd(Self.closed, ordering: .relaxed)
    }

    var underWay: Int { count.load(ordering: .relaxed) % Self.closed }
}
