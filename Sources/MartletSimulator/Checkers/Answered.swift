import MartletBase
import MartletNode
import MartletVersions

/// Outcomes are exact (`RequestFailure`): every request is answered once, by its deadline, while its node
/// runs; a refusal means that nothing was sent; a timeout names only replicas that acknowledged; and in a
/// healthy cluster nothing fails.
struct Answered {
    /// How much later than its deadline an answer may come: the node's timer, and the turn it waits for.
    static let slack = Interval.milliseconds(5)
    private(set) var checked = 0

    init() {}

    mutating func answered(_ operation: Operation, at now: Instant, resumedAt: Instant) throws(Violation) {
        checked += 1
        guard operation.state == .pending else {
            throw Violation(
                "Answered", key: operation.key, "operation \(operation.number) was answered twice")
        }
        let due = max((operation.reached ?? now) + operation.timeout, resumedAt) + Self.slack
        guard now <= due else {
            throw Violation(
                "Answered", key: operation.key,
                "operation \(operation.number) was answered \((now - due).milliseconds) ms after its deadline"
            )
        }
    }

    /// A failure that says that nothing was sent.
    func refused(_ operation: Operation) throws(Violation) {
        if operation.wasSent {
            throw Violation(
                "Answered", key: operation.key,
                "operation \(operation.number) was refused, but its value had been sent")
        }
    }

    /// - Parameter expected: whether the faults of the run explain a failure now.
    func failed(
        _ operation: Operation, _ failure: RequestFailure, isExplained: Bool
    ) throws(Violation) {
        switch failure {
        case .unavailable(_, _, let required, let alive, let up, _)
        where alive >= required || up.count < alive:
            throw Violation(
                "Answered", key: operation.key,
                "operation \(operation.number) is said to be unavailable: required \(required), "
                    + "alive \(alive)"
            )
        case .timeout(_, _, let required, let acknowledged, _, _, _, let after)
        where acknowledged > required || after > operation.timeout + Self.slack + .seconds(60):
            throw Violation(
                "Answered", key: operation.key,
                "operation \(operation.number) timed out after \(after.milliseconds) ms: required "
                    + "\(required), "
                    + "acknowledged \(acknowledged)")
        default: break
        }
        guard isExplained else {
            throw Violation(
                "Answered", key: operation.key,
                "\(operation.described) failed in "
                    + "a healthy cluster: \(failure)")
        }
    }

    /// The operation should have had its answer by now.
    func overdue(_ operation: Operation) -> Violation {
        Violation(
            "Answered", key: operation.key,
            "\(operation.described) was never "
                + "answered")
    }
}
