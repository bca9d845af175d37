import MartletBase

/// A change of the ring, and who is there before and after it.
package enum RebalanceStep: String, CaseIterable, Sendable {
    /// One node more.
    case join
    /// One goes by itself.
    case leave
    /// One dies by kill -9, and another takes its place.
    case replace
    /// Two join at once.
    case double

    package var title: String {
        switch self {
        case .join: "a node joins"
        case .leave: "a node leaves"
        case .replace: "one dies and is replaced"
        case .double: "two nodes join at once"
        }
    }
}

/// What a step cost, and whom.
package struct RebalanceResult: Sendable {
    package var step: RebalanceStep
    /// Names of the owners before and after.
    package var before: [String]
    package var after: [String]
    /// From the act until every node says that all slots have their owners, or until nobody waited longer.
    package var took: Interval
    /// Whether that has come.
    package var isBalanced: Bool
    /// Records that had to move: of each slot, a copy to each owner that it did not have before.
    package var recordsLeast: Int
    package var recordsMoved: Double
    package var bytesMoved: Double
    /// Processors that the nodes used meanwhile, of all nodes together.
    package var processors: Double
    /// Of the clients' requests.
    package var quiet: Latencies
    package var meanwhile: Latencies
    package var afterwards: Latencies
    /// From the load's beginning on: seconds relative to the act.
    package var seconds: [(at: Double, latencies: Latencies)]
    package var errors: [String: LoadTally.Errors]
    /// Due, and not sent until the load's end.
    package var unsent: Int

    package init(
        step: RebalanceStep, before: [String], after: [String], took: Interval, isBalanced: Bool,
        recordsLeast: Int, recordsMoved: Double, bytesMoved: Double, processors: Double, quiet: Latencies,
        meanwhile: Latencies, afterwards: Latencies, seconds: [(at: Double, latencies: Latencies)],
        errors: [String: LoadTally.Errors], unsent: Int
    ) {
        self.step = step
        self.before = before
        self.after = after
        self.took = took
        self.isBalanced = isBalanced
        self.recordsLeast = recordsLeast
        self.recordsMoved = recordsMoved
        self.bytesMoved = bytesMoved
        self.processors = processors
        self.quiet = quiet
        self.meanwhile = meanwhile
        self.afterwards = afterwards
        self.seconds = seconds
        self.errors = errors
        self.unsent = unsent
    }

    package var megabytesPerSecond: Double { bytesMoved / 1e6 / max(took.seconds, 1e-3) }
    /// Sent over what had to be.
    package var overLeast: Double { recordsMoved / Double(max(1, recordsLeast)) }
    package var errorCount: Int { errors.values.reduce(0) { $0 + $1.count } }
}
