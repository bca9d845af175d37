import MartletBase
import MartletRESP
import MartletRing
import Synchronization

/// What a call ends with.
typealias Outcome = Result<RESPValue, MartletError>

/// What a caller and the loop share of a call: whether the caller's task was cancelled.
final class Ticket: Sendable {
    let isCancelled = Atomic(false)
}

/// A call on its way to the loop.
struct Call: Sendable {
    let command: Command
    /// How long it may take in all.
    let within: Interval
    let ticket: Ticket
    let continuation: UnsafeContinuation<Outcome, Never>
}

/// Several calls that are answered together.
struct CallBatch: Sendable {
    let commands: [Command]
    let within: Interval
    let ticket: Ticket
    let continuation: UnsafeContinuation<[Outcome], Never>
}

/// A call under way, with all its attempts. The loop's own.
///
/// It is in the wake queue from its beginning to its end, under the next time at which something is to be
/// done for it: send the next attempt, ask a second node, or give up.
final class Operation: Wakeable {
    enum Sink {
        case call(UnsafeContinuation<Outcome, Never>)
        case batch(BatchInProgress, Int)
        /// The loop's own question.
        case own((Outcome) -> Void)
    }

    let command: Command
    let sink: Sink
    let ticket: Ticket?
    let deadline: Instant

    /// The version to write under: given, or told by a `TIMEOUT`.
    var version: WriteVersion?
    /// Attempts that failed.
    var failures = 0
    /// Attempts that wait for their answer.
    var inFlight = 0
    /// In a node's queue.
    var isWaiting = false
    var isDone = false
    /// A second node was asked, or won't be.
    var hasSpeculated = false
    /// The attempt that is next goes out then; nil when none is due.
    var retryAt: Instant?
    /// The node that was asked last, and when.
    var node: NodeLink?
    var sentAt = Instant.zero
    /// The first failure of an attempt that may have written: what the call ends with unless an attempt
    /// succeeds, since whatever fails later, the write may have happened.
    var uncertain: MartletError?
    var failure: MartletError?

    /// The wake queue's own.
    var wakeAt = Instant.distantFuture
    var place: Int?

    init(_ command: Command, _ sink: Sink, _ ticket: Ticket?, deadline: Instant) {
        self.command = command
        self.sink = sink
        self.ticket = ticket
        self.deadline = deadline
        version = command.version
        // What goes to one node alone is asked of no second one.
        if case .node = command.target { hasSpeculated = true }
        if !command.isRead { hasSpeculated = true }
    }

    var traits: RetryPolicy.Traits {
        RetryPolicy.Traits(
            isRead: command.isRead, takesVersion: command.takesVersion, hasVersion: version != nil,
            mayHappenTwice: command.mayHappenTwice)
    }

    /// What is to be said when it ends now.
    var interrupted: MartletError.Interrupted {
        MartletError.Interrupted(
            mayHaveHappened: !command.isRead && (inFlight > 0 || uncertain != nil), version: version,
            node: node?.address.description)
    }
}

/// The outcomes of a batch, as they come.
final class BatchInProgress {
    private var outcomes: [Outcome]
    private var left: Int
    private let continuation: UnsafeContinuation<[Outcome], Never>

    init(count: Int, _ continuation: UnsafeContinuation<[Outcome], Never>) {
        outcomes = Array(repeating: .success(.null), count: count)
        left = count
        self.continuation = continuation
    }

    func set(_ index: Int, _ outcome: Outcome) {
        outcomes[index] = outcome
        left -= 1
        if left == 0 { continuation.resume(returning: outcomes) }
    }
}
