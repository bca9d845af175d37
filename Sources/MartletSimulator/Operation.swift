import MartletBase
import MartletRing
import MartletVersions

/// One request of a client, from its asking to what became of it. Its number is its client ticket, and stands
/// at the front of the value that it writes.
struct Operation {
    enum Kind {
        case get, getLocal, put, delete
        /// Another expiry for the version that was read.
        case expire
    }

    enum State {
        case pending
        case done
        /// Answered by a failure that means: nothing was sent.
        case refused
        case timedOut
        /// Its node died under it: nobody knows.
        case orphaned
    }

    let number: UInt64
    let kind: Kind
    let key: Int
    let level: ConsistencyLevel
    /// The level and the coordinator's data centre, for the checkers.
    let levelClass: Int
    let process: Int
    let life: UInt32
    /// When the client asked, and when its node took the request: later, when the node was paused.
    let began: Instant
    var reached: Instant?
    let timeout: Interval
    /// The operation whose value it writes: itself, or the one that it tries again.
    var source: UInt64
    var state = State.pending
    /// The version that it asks to be written, when it tries again.
    var retried: Stamp?
    var expiry: Int64?
    /// The record whose expiry it changes.
    var record: Blob?

    /// The context that it is written above.
    var above: Stamp?

    /// What a read must show at least.
    var floor = HeldVersion.none
    /// The flush that a read must not look behind.
    var truncationFloor: UInt64 = 0
    /// What of its key had been purged when it reached its node.
    var purged = HeldVersion.none
    /// The stamp of the value that it wrote, or whose expiry it changed, when that is known.
    var written: Stamp?
    /// The version that its timeout named.
    var named: Stamp?
    /// The stamp that a write must exceed.
    var stampFloor = Stamp.zero
    /// Whether anything of it was seen on a way or a disk.
    var wasSent = false

    /// `operation 7 (put of k1 at QUORUM)`.
    var described: String { "operation \(number) (\(kind.text) of k\(key) at \(level))" }

    var isRead: Bool { kind == .get || kind == .getLocal }
}

extension Operation.Kind {
    var text: String {
        switch self {
        case .get: "get"
        case .getLocal: "get (local)"
        case .put: "put"
        case .delete: "delete"
        case .expire: "expire"
        }
    }
}

/// A promise that was broken.
package struct Violation: Error, Sendable {
    /// As messages name it.
    package let invariant: String
    package let text: String
    /// The key it is about.
    package let key: Int?

    init(_ invariant: String, key: Int? = nil, _ text: String) {
        self.invariant = invariant
        self.text = text
        self.key = key
    }
}
